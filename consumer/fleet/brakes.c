#include "consumer/fleet/brakes.h"
#include "pure/arith.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define SLOT_MS 100
#define SPAN_MS 1000 /* over which the accepted rate is measured */
#define FEW 5        /* with fewer requests in it, over: */
#define SPAN_FEW_MS 3000
#define SPAN_MIN_MS 200 /* the least divisor, for a new endpoint */
#define NEW_MS 2000     /* an endpoint in use for less is new */
#define UNUSED_MS 60000
#define PROBE_MAX 1000.0 /* times the peak; in effect no limit */

void brakes_release(struct brakes *b) {
    for (size_t i = 0; i < BRAKES_MAX; i++)
        free(b->items[i].endpoint);
    memset(b, 0, sizeof *b);
}

static struct fleet_brake *brakes_find_room(struct brakes *b, uint64_t now_ms) {
    struct fleet_brake *old = NULL, *end = b->items + BRAKES_MAX;
    for (struct fleet_brake *item = b->items; item != end; item++) {
        if (!item->endpoint)
            return item;
        if (!item->on && now_ms >= item->used_ms + UNUSED_MS && (!old || item->used_ms < old->used_ms))
            old = item;
    }
    return old;
}

struct fleet_brake *brakes_get(struct brakes *b, struct slice endpoint, uint64_t now_ms, bool *reused) {
    *reused = false;
    for (struct fleet_brake *item = b->items, *end = item + BRAKES_MAX; item != end; item++)
        if (item->endpoint && slice_equal(slice_of(item->endpoint), endpoint))
            return item;
    struct fleet_brake *room = brakes_find_room(b, now_ms);
    char *name = room ? slice_dup(endpoint) : NULL;
    if (!name)
        return NULL;
    *reused = room->endpoint != NULL;
    free(room->endpoint);
    *room = (struct fleet_brake){.endpoint = name, .first_ms = now_ms, .used_ms = now_ms};
    return room;
}

struct fleet_brake *brakes_next_on(struct brakes *b, struct fleet_brake *last) {
    for (struct fleet_brake *item = last ? last + 1 : b->items, *end = b->items + BRAKES_MAX; item != end; item++)
        if (item->on)
            return item;
    return NULL;
}

/* ---- the accepted rate ---- */

static uint32_t brake_add(uint32_t a, uint64_t b) {
    return a + (uint32_t)MIN(b, UINT32_MAX - a);
}

static void brake_count(struct fleet_brake *b, uint64_t served, uint64_t refused, uint64_t now_ms) {
    uint64_t slot = now_ms / SLOT_MS;
    struct brake_slot *s = &b->ring[slot % BRAKE_SLOTS];
    if (s->slot != slot)
        *s = (struct brake_slot){.slot = slot};
    s->served = brake_add(s->served, served);
    s->refused = brake_add(s->refused, refused);
}

static uint64_t brake_count_since(const struct fleet_brake *b, uint64_t span_ms, uint64_t now_ms, uint64_t *refused) {
    uint64_t slot = now_ms / SLOT_MS, served = 0;
    *refused = 0;
    for (const struct brake_slot *s = b->ring, *end = s + BRAKE_SLOTS; s != end; s++)
        if (s->slot <= slot && s->slot + span_ms / SLOT_MS > slot) {
            served += s->served;
            *refused += s->refused;
        }
    return served;
}

double brake_served(const struct fleet_brake *b, uint64_t now_ms) {
    uint64_t span_ms = SPAN_MS, refused, sum = brake_count_since(b, span_ms, now_ms, &refused);
    if (sum < FEW) /* one request more or less would distort the rate */
        sum = brake_count_since(b, span_ms = SPAN_FEW_MS, now_ms, &refused);
    uint64_t passed_ms = span_ms - SLOT_MS + now_ms % SLOT_MS, known_ms = now_ms - b->first_ms;
    passed_ms = MIN(known_ms, passed_ms);
    return (double)sum * 1000 / (double)MAX(passed_ms, SPAN_MIN_MS);
}

/* ---- the limit ---- */

double brake_limit(const struct fleet_brake *b, uint64_t now_ms) {
    if (b->doubling) {
        double times = exp2((double)(now_ms - b->cut_ms) / BRAKE_DOUBLE_MS);
        return b->peak * BRAKE_CUT * MIN(times, PROBE_MAX);
    }
    double x =
        ((double)(now_ms - b->cut_ms) - BRAKE_BACK_MS) / BRAKE_BACK_MS; /* -1 at the cut, 0 when the limit is back */
    double times = 1 + (1 - BRAKE_CUT) * x * x * x;
    double limit = b->peak * MIN(times, PROBE_MAX);
    return MAX(limit, BRAKE_FLOOR);
}

static void brake_begin(struct fleet_brake *b, uint64_t now_ms) {
    b->on = true;
    b->doubling = now_ms < b->first_ms + NEW_MS;
    b->begun_ms = b->waited_ms = b->cut_ms = now_ms;
    b->refused = 0;
    double served = brake_served(b, now_ms), least = b->doubling ? BRAKE_FIRST : BRAKE_FLOOR;
    b->peak = MAX(served, least);
}

static bool brake_refused_few(const struct fleet_brake *b, uint64_t now_ms) {
    uint64_t refused, served = brake_count_since(b, SPAN_MS, now_ms, &refused);
    return refused <= 1 || (double)refused <= BRAKE_FEW * (double)(served + refused);
}

static void brake_cut(struct fleet_brake *b, uint64_t now_ms) {
    double served = brake_served(b, now_ms), limit = brake_limit(b, now_ms), least = b->peak / 2;
    if (!b->doubling && limit < 2 * b->peak && brake_refused_few(b, now_ms)) {
        b->peak = MAX(least, MIN(served, limit));
        b->cut_ms = now_ms - BRAKE_BACK_MS; /* the level part of the cubic: the limit holds for a while */
        return;
    }
    if (b->doubling) /* the limit doubled twice in this second: the mean is half of the latest rate */
        served *= 2;
    b->doubling = false;
    b->peak = MIN(served, limit);
    b->peak = MAX(b->peak, least);
    b->peak = MAX(b->peak, BRAKE_FLOOR);
    b->cut_ms = now_ms;
}

/* True: the limit changed. */
static bool brake_refuse(struct fleet_brake *b, uint64_t refused, uint64_t now_ms) {
    bool changed = !b->on || now_ms >= b->changed_ms + BRAKE_WINDOW_MS;
    if (!b->on)
        brake_begin(b, now_ms);
    else if (changed)
        brake_cut(b, now_ms);
    if (changed)
        b->changed_ms = now_ms;
    b->refused += refused;
    b->refused_ms = now_ms;
    return changed;
}

bool brake_note(struct fleet_brake *b, uint64_t served, uint64_t refused, uint32_t pause_ms, bool waited,
                uint64_t now_ms) {
    b->used_ms = now_ms;
    brake_count(b, served, refused, now_ms);
    if (waited)
        b->waited_ms = now_ms;
    bool changed = refused && brake_refuse(b, refused, now_ms);
    uint64_t until_ms = now_ms + MIN(pause_ms, BRAKE_PAUSE_MAX_MS);
    if (b->on && pause_ms) {
        changed = changed || until_ms > b->pause_until_ms + SLOT_MS; /* every uploader reports the same pause */
        b->pause_until_ms = MAX(b->pause_until_ms, until_ms);
    }
    return changed;
}

uint32_t brake_pause_ms(const struct fleet_brake *b, uint64_t now_ms) {
    return (uint32_t)sub_or_zero(b->pause_until_ms, now_ms);
}

bool brake_tick(struct fleet_brake *b, uint64_t now_ms) {
    if (!b->on || now_ms < b->refused_ms + BRAKE_CALM_MS || now_ms < b->waited_ms + BRAKE_FREE_MS ||
        now_ms < b->pause_until_ms)
        return false;
    b->on = false;
    return true;
}
