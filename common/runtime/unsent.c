#include "runtime/unsent.h"
#include "pure/hash.h"
#include "pure/list.h"
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PEER_MAX 255
#define SWEEP_FROM 1024 /* peers remembered, before those with nothing waiting are forgotten */

/* Owned by the sending thread; libzmq's thread lowers bytes. With bytes at 0 no parcel names it. */
struct unsent_peer {
    struct hash_node by_id;
    atomic_size_t bytes;
    uint8_t len;
    uint8_t id[];
};

struct unsent {
    atomic_size_t bytes;
    atomic_size_t users; /* its owner and its parcels */
    size_t sweep_at;
    struct hash_table by_id; /* peers; of the sending thread until the last user is gone */
};

struct parcel {
    struct unsent *all;
    struct unsent_peer *peer;
    size_t counted;
    void (*release)(void *arg); /* of lent bytes; NULL: bytes follow */
    void *arg;
    char bytes[];
};

/* ---- life ---- */

int unsent_new(struct unsent **u) {
    *u = calloc(1, sizeof **u);
    if (!*u)
        return ERR_NOMEM;
    atomic_init(&(*u)->users, 1);
    (*u)->sweep_at = SWEEP_FROM;
    return 0;
}

static void let_go(struct unsent *u) {
    if (atomic_fetch_sub(&u->users, 1) != 1)
        return;
    for (struct hash_node *next, *n = hash_walk(&u->by_id, NULL); n; n = next) {
        next = hash_walk(&u->by_id, n);
        free(list_entry(n, struct unsent_peer, by_id));
    }
    hash_release(&u->by_id);
    free(u);
}

void unsent_destroy(struct unsent **u) {
    if (*u)
        let_go(*u);
    *u = NULL;
}

/* ---- peers ---- */

static void sweep(struct unsent *u) {
    for (struct hash_node *next, *n = hash_walk(&u->by_id, NULL); n; n = next) {
        next = hash_walk(&u->by_id, n);
        struct unsent_peer *p = list_entry(n, struct unsent_peer, by_id);
        if (atomic_load(&p->bytes))
            continue;
        hash_remove(&u->by_id, &p->by_id);
        free(p);
    }
    u->sweep_at = u->by_id.count * 2 > SWEEP_FROM ? u->by_id.count * 2 : SWEEP_FROM;
}

static struct unsent_peer *look_up(const struct unsent *u, const void *id, size_t len) {
    for (struct hash_node *n = hash_first(&u->by_id, hash_bytes(id, len)); n; n = hash_next(n)) {
        struct unsent_peer *p = list_entry(n, struct unsent_peer, by_id);
        if (slice_equal(slice_make(p->id, p->len), slice_make(id, len)))
            return p;
    }
    return NULL;
}

static struct unsent_peer *find(struct unsent *u, const void *id, size_t len) {
    struct unsent_peer *p = look_up(u, id, len);
    if (p)
        return p;
    if (u->by_id.count >= u->sweep_at)
        sweep(u);
    p = calloc(1, sizeof *p + len);
    if (!p)
        return NULL;
    p->len = (uint8_t)len;
    memcpy(p->id, id, len);
    hash_insert(&u->by_id, &p->by_id, hash_bytes(id, len));
    return p;
}

/* ---- parcels ---- */

static bool has_room(const struct unsent *u, const struct unsent_peer *p, size_t bytes) {
    size_t waiting = p ? atomic_load(&p->bytes) : 0;
    if (unsent_bytes(u) + bytes > UNSENT_ALL_MAX)
        return waiting == 0 && bytes <= UNSENT_SMALL;
    return waiting == 0 || waiting + bytes <= UNSENT_PEER_MAX;
}

/* A parcel for len bytes, with room for `inside` of them. */
static int parcel_new(struct unsent *u, const void *peer, size_t peer_len, size_t len, size_t inside,
                      struct parcel **out) {
    *out = NULL;
    if (peer_len > PEER_MAX)
        return ERR_INVALID;
    struct unsent_peer *p = find(u, peer, peer_len);
    if (!p)
        return ERR_NOMEM;
    size_t counted = len + UNSENT_OVERHEAD;
    if (!has_room(u, p, counted))
        return ERR_AGAIN;
    struct parcel *parcel = malloc(sizeof *parcel + inside);
    if (!parcel)
        return ERR_NOMEM;
    *parcel = (struct parcel){.all = u, .peer = p, .counted = counted};
    atomic_fetch_add(&u->users, 1);
    atomic_fetch_add(&u->bytes, counted);
    atomic_fetch_add(&p->bytes, counted);
    *out = parcel;
    return 0;
}

int unsent_wrap(struct unsent *u, const void *peer, size_t peer_len, struct slice data, struct parcel **out) {
    int err = parcel_new(u, peer, peer_len, data.len, data.len, out);
    if (!err && data.len)
        memcpy((*out)->bytes, data.ptr, data.len);
    return err;
}

int unsent_lend(struct unsent *u, const void *peer, size_t peer_len, size_t len, void (*release)(void *arg), void *arg,
                struct parcel **out) {
    int err = parcel_new(u, peer, peer_len, len, 0, out);
    if (!err) {
        (*out)->release = release;
        (*out)->arg = arg;
    }
    return err;
}

bool unsent_has_room(const struct unsent *u, const void *peer, size_t peer_len, size_t len) {
    return has_room(u, look_up(u, peer, peer_len), len + UNSENT_OVERHEAD);
}

void *parcel_bytes(struct parcel *p) {
    return p->bytes;
}

void parcel_free(void *bytes, void *hint) {
    struct parcel *p = hint;
    struct unsent *u = p->all;
    (void)bytes;
    if (p->release)
        p->release(p->arg);
    atomic_fetch_sub(&u->bytes, p->counted);
    atomic_fetch_sub(&p->peer->bytes, p->counted); /* from here on the peer may be gone */
    free(p);
    let_go(u);
}

size_t unsent_bytes(const struct unsent *u) {
    return atomic_load(&u->bytes);
}

bool unsent_is_pressed(const struct unsent *u) {
    return unsent_bytes(u) > UNSENT_ALL_MAX / 2;
}

bool unsent_is_deaf(const struct unsent *u, const void *peer, size_t peer_len) {
    const struct unsent_peer *p = look_up(u, peer, peer_len);
    size_t waiting = p ? atomic_load(&p->bytes) : 0;
    return waiting > 0 && (waiting > UNSENT_PEER_MAX / 2 || unsent_is_pressed(u));
}
