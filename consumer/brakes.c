#include "consumer/brakes.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_MS 100
#define SPAN_MS 1000 /* what the store takes is measured over so much */
#define FEW 5        /* if that was less than so many requests, over: */
#define SPAN_FEW_MS 3000
#define SPAN_MIN_MS 200 /* or less, when it was first heard of so short ago */
#define DOUBT_MS 2000
#define UNUSED_MS 60000
#define PROBE_MAX 1000.0 /* times the peak: as good as no limit */

void brakes_release(struct brakes *b) {
    for (size_t i = 0; i < BRAKES_MAX; i++)
        free(b->items[i].endpoint);
    memset(b, 0, sizeof *b);
}

static struct fleet_brake *find_room(struct brakes *b, uint64_t now_ms) {
    struct fleet_brake *old = NULL;
    for (size_t i = 0; i < BRAKES_MAX; i++) {
        struct fleet_brake *item = &b->items[i];
        if (!item->endpoint)
            return item;
        if (!item->on && now_ms >= item->used_ms + UNUSED_MS && (!old || item->used_ms < old->used_ms))
            old = item;
    }
    return old;
}

struct fleet_brake *brakes_get(struct brakes *b, struct slice endpoint, uint64_t now_ms, bool *reused) {
    *reused = false;
    for (size_t i = 0; i < BRAKES_MAX; i++)
        if (b->items[i].endpoint && slice_equal(slice_of(b->items[i].endpoint), endpoint))
            return &b->items[i];
    struct fleet_brake *room = find_room(b, now_ms);
    char *name = room ? slice_dup(endpoint) : NULL;
    if (!name)
        return NULL;
    *reused = room->endpoint != NULL;
    free(room->endpoint);
    *room = (struct fleet_brake){.endpoint = name, .first_ms = now_ms, .used_ms = now_ms};
    return room;
}

/* ---- what the store takes ---- */

static void count_served(struct fleet_brake *b, uint64_t served, uint64_t now_ms) {
    uint64_t slot = now_ms / SLOT_MS;
    size_t at = slot % BRAKE_SLOTS;
    if (b->ring[at].slot != slot) {
        b->ring[at].slot = slot;
        b->ring[at].served = 0;
    }
    uint64_t sum = b->ring[at].served + served;
    b->ring[at].served = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

static uint64_t count_since(const struct fleet_brake *b, uint64_t span_ms, uint64_t now_ms) {
    uint64_t slot = now_ms / SLOT_MS, sum = 0;
    for (size_t i = 0; i < BRAKE_SLOTS; i++)
        if (b->ring[i].slot <= slot && b->ring[i].slot + span_ms / SLOT_MS > slot)
            sum += b->ring[i].served;
    return sum;
}

double brake_served(const struct fleet_brake *b, uint64_t now_ms) {
    uint64_t span_ms = SPAN_MS, sum = count_since(b, span_ms, now_ms);
    if (sum < FEW) /* one more or less would be much */
        sum = count_since(b, span_ms = SPAN_FEW_MS, now_ms);
    uint64_t passed_ms = span_ms - SLOT_MS + now_ms % SLOT_MS, known_ms = now_ms - b->first_ms;
    passed_ms = known_ms < passed_ms ? known_ms : passed_ms;
    return (double)sum * 1000 / (double)(passed_ms > SPAN_MIN_MS ? passed_ms : SPAN_MIN_MS);
}

/* ---- the limit ---- */

double brake_limit(const struct fleet_brake *b, uint64_t now_ms) {
    if (b->doubling) {
        double times = exp2((double)(now_ms - b->cut_ms) / BRAKE_DOUBLE_MS);
        return b->peak * BRAKE_CUT * (times < PROBE_MAX ? times : PROBE_MAX);
    }
    double x = ((double)(now_ms - b->cut_ms) - BRAKE_BACK_MS) / BRAKE_BACK_MS; /* -1 at the cut, 0 when it is back */
    double times = 1 + (1 - BRAKE_CUT) * x * x * x;
    double limit = b->peak * (times < PROBE_MAX ? times : PROBE_MAX);
    return limit > BRAKE_FLOOR ? limit : BRAKE_FLOOR;
}

static void cut(struct fleet_brake *b, uint64_t now_ms) {
    double served = brake_served(b, now_ms), limit = b->on ? brake_limit(b, now_ms) : served;
    if (b->doubling) /* over a second in which it doubled twice, the mean is half of the last */
        served *= 2;
    b->peak = served < limit ? served : limit;
    if (b->peak < BRAKE_FLOOR)
        b->peak = BRAKE_FLOOR;
    if (!b->on) {
        b->begun_ms = b->waited_ms = now_ms;
        b->refused = 0;
    }
    b->doubling = !b->on && now_ms < b->first_ms + DOUBT_MS;
    b->on = true;
    b->cut_ms = now_ms;
}

bool brake_note(struct fleet_brake *b, uint64_t served, uint64_t refused, uint32_t pause_ms, bool waited,
                uint64_t now_ms) {
    bool news = false;
    b->used_ms = now_ms;
    count_served(b, served, now_ms);
    if (waited)
        b->waited_ms = now_ms;
    if (refused) {
        if (!b->on || now_ms >= b->cut_ms + BRAKE_WINDOW_MS) {
            cut(b, now_ms);
            news = true;
        }
        b->refused += refused;
        b->refused_ms = now_ms;
    }
    uint64_t until_ms = now_ms + (pause_ms < BRAKE_PAUSE_MAX_MS ? pause_ms : BRAKE_PAUSE_MAX_MS);
    if (b->on && pause_ms && until_ms > b->pause_until_ms) {
        news = news || until_ms > b->pause_until_ms + SLOT_MS; /* the same wish is told by each that heard it */
        b->pause_until_ms = until_ms;
    }
    return news;
}

uint32_t brake_pause_ms(const struct fleet_brake *b, uint64_t now_ms) {
    return b->pause_until_ms > now_ms ? (uint32_t)(b->pause_until_ms - now_ms) : 0;
}

bool brake_tick(struct fleet_brake *b, uint64_t now_ms) {
    if (!b->on || now_ms < b->refused_ms + BRAKE_CALM_MS || now_ms < b->waited_ms + BRAKE_FREE_MS ||
        now_ms < b->pause_until_ms)
        return false;
    b->on = false;
    return true;
}
