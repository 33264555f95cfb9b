/*
 * Writes snapshots without making anybody wait: a forked child encodes and writes the state as it was when it was
 * forked. A snapshot of a large state takes seconds, and leases are renewed meanwhile; what the consumer itself pays is
 * the fork, about 10 ms for each GB of its memory, and the copies of the pages it changes while the child is at work.
 * The child needs memory for the encoded body: see docs/ARCHITECTURE.md, Limits.
 *
 * The child holds no descriptor of its parent's, the journal's lock above all, and dies with it. One at a time: they
 * share the temporary name.
 */
#ifndef CHUNKLIFT_CONSUMER_SAVER_H
#define CHUNKLIFT_CONSUMER_SAVER_H

#include "consumer/journal/journal.h"
#include "consumer/state/state.h"
#include <stdbool.h>
#include <sys/types.h>

struct saver {
    pid_t child; /* 0: none */
    bool due;    /* another one was asked for meanwhile */
};

/* A snapshot of s, which is the state at pos, in the background; later when one is being written already. */
void saver_start(struct saver *v, const char *dir, const struct journal_position *pos, const struct state *s);
/* Collects a child that has ended. True when another snapshot is due: call saver_start again. Never blocks. */
bool saver_poll(struct saver *v);
/* Ends the child, if there is one, and waits for its end: its snapshot is left out. */
void saver_stop(struct saver *v);
/* The same snapshot here and now. A failure is only said: a snapshot is a cache. */
void saver_write(const char *dir, const struct journal_position *pos, const struct state *s);

#endif
