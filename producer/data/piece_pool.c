#include "producer/data/piece_pool.h"

#include "pure/proto.h"
#include <stdatomic.h>
#include <stdlib.h>

#define KEPT_MAX 32 /* full pieces that wait to be used again: 8 MiB */

struct piece {
    struct pieces *home;
    struct piece *next;
    size_t size;
    char bytes[];
};

struct pieces {
    _Atomic(struct piece *) returned; /* pushed by any thread; the owner takes all at once, so no piece comes twice */
    atomic_size_t kept, users;        /* users: the owner, and pieces that are not kept */
    struct piece *mine;               /* taken from returned */
};

static void free_list(struct piece *p) {
    for (struct piece *next; p; p = next) {
        next = p->next;
        free(p);
    }
}

int pieces_new(struct pieces **p) {
    *p = calloc(1, sizeof **p);
    if (!*p)
        return ERR_NOMEM;
    atomic_init(&(*p)->users, 1);
    return 0;
}

static void let_go(struct pieces *p) {
    if (atomic_fetch_sub(&p->users, 1) != 1)
        return;
    free_list(atomic_load(&p->returned));
    free_list(p->mine);
    free(p);
}

void pieces_destroy(struct pieces **p) {
    if (*p)
        let_go(*p);
    *p = NULL;
}

static struct piece *take_kept(struct pieces *p) {
    if (!p->mine)
        p->mine = atomic_exchange(&p->returned, NULL);
    struct piece *piece = p->mine;
    if (piece) {
        p->mine = piece->next;
        atomic_fetch_sub(&p->kept, 1);
    }
    return piece;
}

struct piece *piece_get(struct pieces *p, size_t size) {
    bool full = size > PROTO_PIECE_MAX / 2;
    struct piece *piece = full ? take_kept(p) : NULL;
    if (!piece) {
        size_t room = full ? PROTO_PIECE_MAX : size;
        if (!(piece = malloc(sizeof *piece + PIECE_HEAD_MAX + room)))
            return NULL;
        piece->size = room;
        piece->home = p;
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
    struct pieces *home = piece->home;
    if (piece->size < PROTO_PIECE_MAX || atomic_load(&home->kept) >= KEPT_MAX) {
        free(piece);
    } else {
        atomic_fetch_add(&home->kept, 1);
        piece->next = atomic_load(&home->returned);
        while (!atomic_compare_exchange_weak(&home->returned, &piece->next, piece))
            ;
    }
    let_go(home);
}
