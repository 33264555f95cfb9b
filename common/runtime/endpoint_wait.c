#include "pure/arith.h"
#include "pure/array.h"
#include "runtime/endpoint_internal.h"
#include "runtime/zap.h"
#include "system/clock.h"
#include "system/log.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/param.h>
#include <zmq.h>

#define WAIT_ITEMS_ON_STACK 64
#define WATCH_MS 100    /* the longest sleep while the connections of a bound socket are watched */
#define WATCH_ONE_MS 25 /* while the one connection of a client is watched: a fast peer sends 1 GiB a second */
#define REST_MS 1000    /* the longest rest, in case that a wake-up is missed */
#define ZAP_WATCH_MS 20 /* the longest wait of a connecting client for a loop without endpoint_wait */

static int events_from_zmq(int events) {
    return (events & ZMQ_POLLIN ? ENDPOINT_IN : 0) | (events & ZMQ_POLLOUT ? ENDPOINT_OUT : 0);
}

int endpoint_events(struct endpoint *e) {
    int events = 0;
    size_t size = sizeof events;
    e->rests_until_ms = 0;
    endpoint_service_if_due(e, false);
    while (zmq_getsockopt(e->socket, ZMQ_EVENTS, &events, &size) != 0)
        if (errno != EINTR)
            return 0;
    return events_from_zmq(events);
}

int endpoint_rest(struct endpoint *e) {
    uint64_t now_ms = clock_ms();
    if (now_ms < e->rests_until_ms)
        endpoint_service_if_due(e, false); /* may end the rest */
    if (now_ms < e->rests_until_ms)
        return 0;
    int events = endpoint_events(e);
    e->rests_until_ms = events & ENDPOINT_IN ? 0 : now_ms + REST_MS;
    return events;
}

void endpoint_wake(struct endpoint *e) {
    e->rests_until_ms = 0;
}

int endpoint_fd(const struct endpoint *e) {
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(e->socket, ZMQ_FD, &fd, &size);
    return fd;
}

static void wait_item_to_zmq(const struct wait_item *item, zmq_pollitem_t *z) {
    *z = (zmq_pollitem_t){.socket = item->endpoint ? item->endpoint->socket : NULL, .fd = item->fd};
    z->events = (short)((item->want & ENDPOINT_IN ? ZMQ_POLLIN : 0) | (item->want & ENDPOINT_OUT ? ZMQ_POLLOUT : 0));
}

static int endpoint_watch_ms(const struct endpoint *e) {
    if (!connections_are_watched(e->connections))
        return INT_MAX;
    return endpoint_kind_binds(e->kind) ? WATCH_MS : WATCH_ONE_MS;
}

int endpoint_wait_max_ms(const struct endpoint *e) {
    if (e->service_owed)
        return ENDPOINT_SERVICE_MS;
    return e->curve && endpoint_kind_binds(e->kind) ? ZAP_WATCH_MS : endpoint_watch_ms(e);
}

/* Appends the sockets that report connections, and the one that asks about keys. Returns their number. *slice_ms: the
 * longest time of one sleep. */
static size_t wait_add_watches(struct wait_item *items, size_t count, zmq_pollitem_t *z, int *slice_ms) {
    size_t n = 0;
    *slice_ms = INT_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!items[i].endpoint)
            continue;
        endpoint_service(items[i].endpoint, false);
        z[n++] = (zmq_pollitem_t){.socket = connections_waitable(items[i].endpoint->connections), .events = ZMQ_POLLIN};
        int max_ms = endpoint_watch_ms(items[i].endpoint);
        *slice_ms = MIN(max_ms, *slice_ms);
    }
    zap_serve();
    if (zap_waitable())
        z[n++] = (zmq_pollitem_t){.socket = zap_waitable(), .events = ZMQ_POLLIN};
    return n;
}

/* zmq_poll reads ZMQ_EVENTS of every socket before it sleeps and after each wake-up of its fd, as the edge-triggered fds
 * need. True when the wait is over. */
static bool wait_once(struct wait_item *items, size_t count, zmq_pollitem_t *z, uint64_t end_ms, int *err) {
    int slice_ms;
    size_t watches = wait_add_watches(items, count, z + count, &slice_ms);
    uint64_t now_ms = clock_ms(), left_ms = sub_or_zero(end_ms, now_ms);
    bool last = left_ms <= (uint64_t)slice_ms;
    int n = zmq_poll(z, (int)(count + watches), last ? (long)left_ms : slice_ms);
    if (n == -1) {
        if (errno == EINTR)
            return true;
        log_error("cannot wait for messages: %s", zmq_strerror(errno));
        *err = ERR_IO;
        return true;
    }
    bool ready = false;
    for (size_t i = 0; i < count; i++) {
        items[i].ready = events_from_zmq(z[i].revents);
        if (z[i].revents & ZMQ_POLLERR) /* an fd that hung up: the reader sees the reason */
            items[i].ready |= ENDPOINT_IN;
        ready |= items[i].ready != 0;
    }
    return ready || (n == 0 && last);
}

int endpoint_wait(struct wait_item *items, size_t count, int timeout_ms) {
    zmq_pollitem_t few[WAIT_ITEMS_ON_STACK], *z = few;
    uint64_t end_ms = timeout_ms < 0 ? UINT64_MAX : clock_ms() + (uint64_t)timeout_ms;
    size_t most = 2 * count + 1; /* each with its connections, and the questions about keys */
    int err = 0;
    if (most > WAIT_ITEMS_ON_STACK) {
        z = array_zeroed(most, sizeof *z);
        if (!z)
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].ready = 0;
        wait_item_to_zmq(&items[i], &z[i]);
    }
    while (!wait_once(items, count, z, end_ms, &err))
        ;
    if (z != few)
        free(z);
    return err;
}
