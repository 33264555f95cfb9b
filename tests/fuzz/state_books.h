/* Invariants of the consumer's state, and the equality of two states. For fuzz_state and fuzz_snapshot. */
#ifndef CHUNKLIFT_FUZZ_STATE_BOOKS_H
#define CHUNKLIFT_FUZZ_STATE_BOOKS_H

#include "consumer/state/state.h"

/* The state's own books agree with each other: bitmaps with counts, tables with lists. */
void check_books(const struct state *s);
/* a and b hold the same uploads, chunks, finished and ended ones. */
void check_same_state(const struct state *a, const struct state *b);

#endif
