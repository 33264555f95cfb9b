#include "uploader/offer_sockets.h"

#include "pure/deadline.h"
#include "runtime/keys.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define DECLINED_MAX 8
#define AWAY_MIN_MS 500
#define AWAY_MAX_MS 30000
#define CONNECT_AGAIN_MS 1000

/* --- one socket --- */

static void offer_socket_close(struct offer_socket *s) {
    endpoint_close(&s->endpoint);
    free(s->address);
    *s = (struct offer_socket){0};
}

static void offer_socket_connect(struct offer_socket *s, uint64_t now_ms) {
    struct curve_key key;
    s->declined = 0;
    bool known = keys_expected(s->address, TRUST_PRODUCER, &key) == 0; /* a lost key was logged */
    if (!known || endpoint_open(&s->endpoint, ENDPOINT_PULL, s->address)) {
        s->endpoint = NULL;
        s->back_ms = now_ms + CONNECT_AGAIN_MS;
    }
}

void offer_socket_accepted(struct offer_socket *s, size_t jobs, uint64_t bytes) {
    s->declined = 0;
    s->away_ms = AWAY_MIN_MS;
    s->cost += jobs * OFFER_JOB_COST + bytes;
}

void offer_socket_declined(struct offer_socket *s, uint64_t now_ms) {
    if (++s->declined < DECLINED_MAX || !s->endpoint)
        return;
    endpoint_close(&s->endpoint); /* rule 2; offers in its queue are offered again by their producer */
    s->back_ms = now_ms + s->away_ms;
    s->away_ms = MIN(s->away_ms * 2, AWAY_MAX_MS);
}

/* --- the set of sockets --- */

static struct offer_socket *offer_sockets_find(struct offer_sockets *all, struct slice address) {
    for (size_t i = all->count; i-- > 0;)
        if (slice_equal(slice_of(all->items[i].address), address))
            return &all->items[i];
    return NULL;
}

static void offer_sockets_add(struct offer_sockets *all, struct slice address, uint64_t now_ms) {
    if (all->count == OFFER_SOCKETS_MAX) {
        if (!all->full_logged)
            log_warn("more than %d producers offer jobs; the others wait for their turn", OFFER_SOCKETS_MAX);
        all->full_logged = true;
        return;
    }
    char *copy = slice_dup(address);
    if (!copy)
        return;
    struct offer_socket *s = &all->items[all->count++];
    *s = (struct offer_socket){.address = copy, .away_ms = AWAY_MIN_MS, .cost = all->cost, .keep = true};
    log_debug("serving the jobs at %s", copy);
    offer_socket_connect(s, now_ms);
}

static void offer_sockets_remove(struct offer_sockets *all, size_t i) {
    offer_socket_close(&all->items[i]);
    all->count--;
    memmove(&all->items[i], &all->items[i + 1], (all->count - i) * sizeof all->items[0]);
}

void offer_sockets_set(struct offer_sockets *all, const struct slice *addresses, size_t count, uint64_t now_ms) {
    for (size_t i = all->count; i-- > 0;)
        all->items[i].keep = false;
    for (size_t i = 0; i < count; i++) {
        struct offer_socket *s = offer_sockets_find(all, addresses[i]);
        if (s)
            s->keep = true;
    }
    for (size_t i = all->count; i-- > 0;)
        if (!all->items[i].keep)
            offer_sockets_remove(all, i);
    for (size_t i = 0; i < count; i++)
        if (!offer_sockets_find(all, addresses[i]))
            offer_sockets_add(all, addresses[i], now_ms);
}

void offer_sockets_release(struct offer_sockets *all) {
    while (all->count > 0)
        offer_socket_close(&all->items[--all->count]);
    *all = (struct offer_sockets){0};
}

/* The open socket with the least cost of those that are not tried yet. */
static struct offer_socket *offer_sockets_least(struct offer_sockets *all, const bool *tried) {
    struct offer_socket *least = NULL;
    for (size_t i = 0; i < all->count; i++)
        if (!tried[i] && all->items[i].endpoint && (!least || all->items[i].cost < least->cost))
            least = &all->items[i];
    return least;
}

int offer_sockets_recv(struct offer_sockets *all, struct frame *frame, struct offer_socket **from) {
    bool tried[OFFER_SOCKETS_MAX] = {false};
    struct offer_socket *candidate;
    while ((candidate = offer_sockets_least(all, tried))) {
        tried[candidate - all->items] = true;
        if (endpoint_recv(candidate->endpoint, frame))
            continue;
        all->cost = candidate->cost = MAX(candidate->cost, all->cost);
        *from = candidate;
        return 0;
    }
    return ERR_AGAIN;
}

void offer_sockets_wake(struct offer_sockets *all) {
    for (size_t i = all->count; i-- > 0;)
        if (all->items[i].endpoint)
            endpoint_wake(all->items[i].endpoint);
}

uint64_t offer_sockets_tick(struct offer_sockets *all, uint64_t now_ms) {
    uint64_t next_ms = UINT64_MAX;
    for (struct offer_socket *s = all->items; s != all->items + all->count; s++) {
        if (!s->endpoint && s->back_ms <= now_ms)
            offer_socket_connect(s, now_ms);
        if (!s->endpoint)
            deadline_lower(&next_ms, s->back_ms);
    }
    return next_ms;
}
