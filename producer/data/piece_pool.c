#include "producer/data/piece_pool.h"

#include "pure/proto.h"
#include <stdatomic.h>
#include <stdlib.h>

#define KEPT_MAX 32 /* full pieces kept for reuse: 8 MiB */

struct piece {
    struct piece_pool *pool;
    struct piece *next;
    size_t size;
    char bytes[];
};

struct piece_pool {
    _Atomic(struct piece *)
        returned; /* pushed by any thread; the owner takes the whole list at once, so there is no ABA problem */
    atomic_size_t kept, users; /* users: the owner and the pieces in use */
    struct piece *mine;        /* the owner's part of returned */
};

static void piece_free_list(struct piece *p) {
    for (struct piece *next; p; p = next) {
        next = p->next;
        free(p);
    }
}

int piece_pool_new(struct piece_pool **p) {
    *p = calloc(1, sizeof **p);
    if (!*p)
        return ERR_NOMEM;
    atomic_init(&(*p)->users, 1);
    return 0;
}

static void piece_pool_unref(struct piece_pool *p) {
    if (atomic_fetch_sub(&p->users, 1) != 1)
        return;
    piece_free_list(atomic_load(&p->returned));
    piece_free_list(p->mine);
    free(p);
}

void piece_pool_destroy(struct piece_pool **p) {
    if (*p)
        piece_pool_unref(*p);
    *p = NULL;
}

static struct piece *piece_pool_take_kept(struct piece_pool *p) {
    if (!p->mine)
        p->mine = atomic_exchange(&p->returned, NULL);
    struct piece *piece = p->mine;
    if (piece) {
        p->mine = piece->next;
        atomic_fetch_sub(&p->kept, 1);
    }
    return piece;
}

struct piece *piece_pool_get(struct piece_pool *p, size_t size) {
    bool full = size > PROTO_PIECE_MAX / 2;
    struct piece *piece = full ? piece_pool_take_kept(p) : NULL;
    if (!piece) {
        size_t room = full ? PROTO_PIECE_MAX : size;
        if (!(piece = malloc(sizeof *piece + PIECE_HEAD_MAX + room)))
            return NULL;
        piece->size = room;
        piece->pool = p;
    }
    piece->next = NULL;
    atomic_fetch_add(&p->users, 1);
    return piece;
}

char *piece_bytes(struct piece *piece) {
    return piece->bytes + PIECE_HEAD_MAX;
}

void piece_free(void *arg) {
    struct piece *piece = arg;
    struct piece_pool *pool = piece->pool;
    if (piece->size < PROTO_PIECE_MAX || atomic_load(&pool->kept) >= KEPT_MAX) {
        free(piece);
    } else {
        atomic_fetch_add(&pool->kept, 1);
        piece->next = atomic_load(&pool->returned);
        while (!atomic_compare_exchange_weak(&pool->returned, &piece->next, piece))
            ;
    }
    piece_pool_unref(pool);
}
