#include "uploader/offer_sockets.h"

#include "runtime/keys.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>

#define DECLINED_MAX 8
#define AWAY_MIN_MS 500
#define AWAY_MAX_MS 30000
#define CONNECT_AGAIN_MS 1000

static void offer_socket_close(struct offer_socket *feed) {
    endpoint_close(&feed->endpoint);
    free(feed->address);
    *feed = (struct offer_socket){0};
}

static void offer_socket_connect(struct offer_socket *feed, uint64_t now_ms) {
    struct curve_key key;
    feed->declined = 0;
    bool known = keys_expected(feed->address, TRUST_PRODUCER, &key) == 0; /* said when it ceased to be */
    if (!known || endpoint_open(&feed->endpoint, ENDPOINT_PULL, feed->address)) {
        feed->endpoint = NULL;
        feed->back_ms = now_ms + CONNECT_AGAIN_MS;
    }
}

static struct offer_socket *find(struct offer_sockets *f, struct slice address) {
    for (size_t i = 0; i < f->count; i++)
        if (slice_equal(slice_of(f->items[i].address), address))
            return &f->items[i];
    return NULL;
}

static void add(struct offer_sockets *f, struct slice address, uint64_t now_ms) {
    if (f->count == OFFER_SOCKETS_MAX) {
        if (!f->full_logged)
            log_warn("more than %d producers offer jobs; the others wait for their turn", OFFER_SOCKETS_MAX);
        f->full_logged = true;
        return;
    }
    char *copy = slice_dup(address);
    if (!copy)
        return;
    struct offer_socket *feed = &f->items[f->count++];
    *feed = (struct offer_socket){.address = copy, .away_ms = AWAY_MIN_MS, .taken = f->now, .keep = true};
    log_debug("serving the jobs at %s", copy);
    offer_socket_connect(feed, now_ms);
}

void offer_sockets_set(struct offer_sockets *f, const struct slice *addresses, size_t count, uint64_t now_ms) {
    for (size_t i = 0; i < f->count; i++)
        f->items[i].keep = false;
    for (size_t i = 0; i < count; i++) {
        struct offer_socket *feed = find(f, addresses[i]);
        if (feed)
            feed->keep = true;
    }
    for (size_t i = f->count; i-- > 0;)
        if (!f->items[i].keep) {
            offer_socket_close(&f->items[i]);
            f->count--;
            memmove(&f->items[i], &f->items[i + 1], (f->count - i) * sizeof f->items[0]);
        }
    for (size_t i = 0; i < count; i++)
        if (!find(f, addresses[i]))
            add(f, addresses[i], now_ms);
}

void offer_sockets_release(struct offer_sockets *f) {
    for (size_t i = 0; i < f->count; i++)
        offer_socket_close(&f->items[i]);
    *f = (struct offer_sockets){0};
}

/* Of those not tried yet. */
static struct offer_socket *least(struct offer_sockets *f, const bool *tried) {
    struct offer_socket *found = NULL;
    for (size_t i = 0; i < f->count; i++)
        if (!tried[i] && f->items[i].endpoint && (!found || f->items[i].taken < found->taken))
            found = &f->items[i];
    return found;
}

int offer_sockets_recv(struct offer_sockets *f, struct frame *frame, struct offer_socket **feed) {
    bool tried[OFFER_SOCKETS_MAX] = {false};
    struct offer_socket *candidate;
    while ((candidate = least(f, tried))) {
        tried[candidate - f->items] = true;
        if (endpoint_recv(candidate->endpoint, frame))
            continue;
        if (candidate->taken < f->now)
            candidate->taken = f->now;
        f->now = candidate->taken;
        *feed = candidate;
        return 0;
    }
    return ERR_AGAIN;
}

void offer_socket_accepted(struct offer_socket *feed, size_t jobs, uint64_t bytes) {
    feed->declined = 0;
    feed->away_ms = AWAY_MIN_MS;
    feed->taken += jobs * OFFER_JOB_COST + bytes;
}

void offer_socket_declined(struct offer_socket *feed, uint64_t now_ms) {
    if (++feed->declined < DECLINED_MAX || !feed->endpoint)
        return;
    /* rule 2; what its pipe still holds is offered again by its producer */
    endpoint_close(&feed->endpoint);
    feed->back_ms = now_ms + feed->away_ms;
    feed->away_ms = feed->away_ms * 2 < AWAY_MAX_MS ? feed->away_ms * 2 : AWAY_MAX_MS;
}

uint64_t offer_sockets_tick(struct offer_sockets *f, uint64_t now_ms) {
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < f->count; i++) {
        struct offer_socket *feed = &f->items[i];
        if (!feed->endpoint && feed->back_ms <= now_ms)
            offer_socket_connect(feed, now_ms);
        if (!feed->endpoint && feed->back_ms < next_ms)
            next_ms = feed->back_ms;
    }
    return next_ms;
}
