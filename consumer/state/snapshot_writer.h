/*
 * Writes snapshots in the background: a forked child encodes and writes the state as of the fork. A
 * snapshot of a large state takes seconds, and leases must be renewed during that time. The
 * consumer pays for the fork, about 10 ms for each GB of its memory, and for the copies of the
 * pages that it changes while the child works. The child needs memory for one piece of the body, and
 * frees the table of finished uploads first, because the consumer changes all of its pages.
 *
 * The child closes its parent's descriptors, in particular the journal's lock, and dies with its
 * parent. There is at most one child, because children would share the temporary name.
 */
#ifndef CHUNKLIFT_CONSUMER_SNAPSHOT_WRITER_H
#define CHUNKLIFT_CONSUMER_SNAPSHOT_WRITER_H

#include "consumer/journal/journal.h"
#include "consumer/state/state.h"
#include <stdbool.h>
#include <sys/types.h>

struct snapshot_writer {
    pid_t child; /* 0: none */
    bool due;    /* another snapshot was requested while the child worked */
};

/* Starts a snapshot of s, which is the state at pos. While a child works it only sets due. */
void snapshot_writer_start(struct snapshot_writer *v, const char *dir, const struct journal_position *pos,
                           struct state *s);
/* Collects a child that has ended. True: another snapshot is due, call snapshot_writer_start again.
 * Never blocks. */
bool snapshot_writer_poll(struct snapshot_writer *v);
/* Kills the child, if there is one, and waits for its end. Its snapshot is not written. */
void snapshot_writer_stop(struct snapshot_writer *v);
/* Writes a snapshot in this process. A failure is only logged: a snapshot is a cache. Blocks. */
void snapshot_write_state(const char *dir, const struct journal_position *pos, const struct state *s);

#endif
