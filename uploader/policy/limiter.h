/*
 * Slots: how many transfers run at a time, and the order in which the others start.
 *
 * Waiting entries start in the order in which they were added. The limit may change at any time. When it is raised, more
 * entries start at once. When it is lowered, running transfers go on, and nothing starts until fewer of them run. A slot
 * is held from limiter_next to limiter_finish, through retries as well. Pure: it starts nothing itself.
 */
#ifndef CHUNKLIFT_LIMITER_H
#define CHUNKLIFT_LIMITER_H

#include "pure/list.h"
#include <stdint.h>

struct limiter {
    uint32_t limit;
    uint32_t active;  /* slots held */
    uint32_t pending; /* waiting */
    struct list waiting;
};

struct limiter_entry {
    struct list node;
    bool waiting;
};

void limiter_init(struct limiter *l, uint32_t limit);
void limiter_entry_init(struct limiter_entry *e);
/* e must not wait already. It must live until it is started or removed. */
void limiter_add(struct limiter *l, struct limiter_entry *e);
/* The entry that starts now; it holds a slot. NULL: none waits, or no slot is free. */
struct limiter_entry *limiter_next(struct limiter *l);
/* Frees a slot. */
void limiter_finish(struct limiter *l);
/* Removes a waiting entry; does nothing to one that does not wait. */
void limiter_remove(struct limiter *l, struct limiter_entry *e);
void limiter_set_limit(struct limiter *l, uint32_t limit);

#endif
