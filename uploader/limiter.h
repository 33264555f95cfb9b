/*
 * Slots: how many transfers run at a time, and in which order the others start.
 *
 * What waits starts in the order it was added. The limit may change at any time: raised, more start at once; lowered,
 * what runs goes on and nothing starts until fewer run than the new limit. A slot is held from limiter_next to
 * limiter_finish, whatever happens in between (retries too). Pure: it starts nothing itself.
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
/* e must be waiting nowhere; it lives until it was started or removed. */
void limiter_add(struct limiter *l, struct limiter_entry *e);
/* The entry that starts now (it holds a slot from here on), or NULL: none waits, or no slot is free. */
struct limiter_entry *limiter_next(struct limiter *l);
/* Gives a slot back. */
void limiter_finish(struct limiter *l);
/* What waits does so no longer; nothing happens to one that does not wait. */
void limiter_remove(struct limiter *l, struct limiter_entry *e);
void limiter_set_limit(struct limiter *l, uint32_t limit);

#endif
