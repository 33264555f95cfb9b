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

struct snapshot_writer {
    pid_t child; /* 0: none */
    bool due;    /* another one was asked for meanwhile */
};

/* A snapshot of s, which is the state at pos, in the background; later when one is being written already. */
void snapshot_writer_start(struct snapshot_writer *v, const char *dir, const struct journal_position *pos,
                           const struct state *s);
/* Collects a child that has ended. True when another snapshot is due: call snapshot_writer_start again. Never blocks. */
bool snapshot_writer_poll(struct snapshot_writer *v);
/* Ends the child, if there is one, and waits for its end: its snapshot is left out. */
void snapshot_writer_stop(struct snapshot_writer *v);
/* The same snapshot here and now. A failure is only said: a snapshot is a cache. */
void snapshot_write_state(const char *dir, const struct journal_position *pos, const struct state *s);

#endif
