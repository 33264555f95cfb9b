#include "runtime/send_queue.h"
#include "pure/hash.h"
#include "pure/list.h"
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define PEER_MAX 255
#define SWEEP_FROM 1024 /* peers; from here on those without waiting bytes are removed now and then */

/* Owned by the sending thread; libzmq's thread only lowers bytes. With bytes at 0 no buffer points to it. */
struct send_queue_peer {
    struct hash_node by_id;
    atomic_size_t bytes;
    uint8_t len;
    uint8_t id[];
};

struct send_queue {
    atomic_size_t bytes;
    atomic_size_t users; /* the owner and each buffer */
    size_t sweep_at;
    struct hash_table by_id; /* peers; used by the sending thread only, until the last user ends */
};

struct send_buffer {
    struct send_queue *all;
    struct send_queue_peer *peer;
    size_t counted;
    void (*release)(void *arg); /* of lent bytes; NULL: bytes follow */
    void *arg;
    char bytes[];
};

int send_queue_new(struct send_queue **u) {
    *u = calloc(1, sizeof **u);
    if (!*u)
        return ERR_NOMEM;
    atomic_init(&(*u)->users, 1);
    (*u)->sweep_at = SWEEP_FROM;
    return 0;
}

static void send_queue_unref(struct send_queue *u) {
    if (atomic_fetch_sub(&u->users, 1) != 1)
        return;
    for (struct hash_node *next, *n = hash_walk(&u->by_id, NULL); n; n = next) {
        next = hash_walk(&u->by_id, n);
        free(list_entry(n, struct send_queue_peer, by_id));
    }
    hash_release(&u->by_id);
    free(u);
}

void send_queue_destroy(struct send_queue **u) {
    if (*u)
        send_queue_unref(*u);
    *u = NULL;
}

/* ---- peers ---- */

static void send_queue_sweep(struct send_queue *u) {
    for (struct hash_node *next, *n = hash_walk(&u->by_id, NULL); n; n = next) {
        next = hash_walk(&u->by_id, n);
        struct send_queue_peer *p = list_entry(n, struct send_queue_peer, by_id);
        if (atomic_load(&p->bytes))
            continue;
        hash_remove(&u->by_id, &p->by_id);
        free(p);
    }
    u->sweep_at = MAX(u->by_id.count * 2, SWEEP_FROM);
}

static struct send_queue_peer *send_queue_find_peer(const struct send_queue *u, const void *id, size_t len) {
    for (struct hash_node *n = hash_first(&u->by_id, hash_bytes(id, len)); n; n = hash_next(n)) {
        struct send_queue_peer *p = list_entry(n, struct send_queue_peer, by_id);
        if (slice_equal(slice_make(p->id, p->len), slice_make(id, len)))
            return p;
    }
    return NULL;
}

static struct send_queue_peer *send_queue_get_peer(struct send_queue *u, const void *id, size_t len) {
    struct send_queue_peer *p = send_queue_find_peer(u, id, len);
    if (p)
        return p;
    if (u->by_id.count >= u->sweep_at)
        send_queue_sweep(u);
    p = calloc(1, sizeof *p + len);
    if (!p)
        return NULL;
    p->len = (uint8_t)len;
    memcpy(p->id, id, len);
    hash_insert(&u->by_id, &p->by_id, hash_bytes(id, len));
    return p;
}

/* ---- buffers ---- */

static bool peer_has_room(const struct send_queue *u, const struct send_queue_peer *p, size_t bytes) {
    size_t waiting = p ? atomic_load(&p->bytes) : 0;
    if (send_queue_bytes(u) + bytes > SEND_QUEUE_ALL_MAX)
        return waiting == 0 && bytes <= SEND_QUEUE_SMALL;
    return waiting == 0 || waiting + bytes <= SEND_QUEUE_PEER_MAX;
}

/* A buffer for len counted bytes, with memory for `inside` of them. */
static int send_buffer_new(struct send_queue *u, const void *peer, size_t peer_len, size_t len, size_t inside,
                           struct send_buffer **out) {
    *out = NULL;
    if (peer_len > PEER_MAX)
        return ERR_INVALID;
    struct send_queue_peer *p = send_queue_get_peer(u, peer, peer_len);
    if (!p)
        return ERR_NOMEM;
    size_t counted = len + SEND_QUEUE_OVERHEAD;
    if (!peer_has_room(u, p, counted))
        return ERR_AGAIN;
    struct send_buffer *buffer = malloc(sizeof *buffer + inside);
    if (!buffer)
        return ERR_NOMEM;
    *buffer = (struct send_buffer){.all = u, .peer = p, .counted = counted};
    atomic_fetch_add(&u->users, 1);
    atomic_fetch_add(&u->bytes, counted);
    atomic_fetch_add(&p->bytes, counted);
    *out = buffer;
    return 0;
}

int send_queue_wrap(struct send_queue *u, const void *peer, size_t peer_len, struct slice data,
                    struct send_buffer **out) {
    int err = send_buffer_new(u, peer, peer_len, data.len, data.len, out);
    if (!err && data.len)
        memcpy((*out)->bytes, data.ptr, data.len);
    return err;
}

int send_queue_lend(struct send_queue *u, const void *peer, size_t peer_len, size_t len, void (*release)(void *arg),
                    void *arg, struct send_buffer **out) {
    int err = send_buffer_new(u, peer, peer_len, len, 0, out);
    if (!err) {
        (*out)->release = release;
        (*out)->arg = arg;
    }
    return err;
}

bool send_queue_has_room(const struct send_queue *u, const void *peer, size_t peer_len, size_t len) {
    return peer_has_room(u, send_queue_find_peer(u, peer, peer_len), len + SEND_QUEUE_OVERHEAD);
}

void *send_buffer_bytes(struct send_buffer *p) {
    return p->bytes;
}

void send_buffer_free(void *bytes, void *hint) {
    struct send_buffer *p = hint;
    struct send_queue *u = p->all;
    (void)bytes;
    if (p->release)
        p->release(p->arg);
    atomic_fetch_sub(&u->bytes, p->counted);
    atomic_fetch_sub(&p->peer->bytes, p->counted); /* from here on the sending thread may free the peer */
    free(p);
    send_queue_unref(u);
}

size_t send_queue_bytes(const struct send_queue *u) {
    return atomic_load(&u->bytes);
}

bool send_queue_is_under_pressure(const struct send_queue *u) {
    return send_queue_bytes(u) > SEND_QUEUE_ALL_MAX / 2;
}

bool send_queue_is_backpressured(const struct send_queue *u, const void *peer, size_t peer_len) {
    const struct send_queue_peer *p = send_queue_find_peer(u, peer, peer_len);
    size_t waiting = p ? atomic_load(&p->bytes) : 0;
    return waiting > 0 && (waiting > SEND_QUEUE_PEER_MAX / 2 || send_queue_is_under_pressure(u));
}
