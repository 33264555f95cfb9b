/*
 * Runs of `cp` on one journal that must not overlap (--lock-wait). Every `cp` that uses a journal directory has a record
 * lock (fcntl) on DIR/runs, a file without content:
 *
 *   byte 0     a run with --lock-wait. It starts when it has this byte and no other process has any byte
 *   byte PID   a run without. It waits for nothing
 *
 * The kernel knows the pids of the holders, and frees the lock of a process that ends in any way. A process loses its
 * locks when it closes any descriptor of the file, so only one is opened.
 */
#ifndef CHUNKLIFT_RUN_LOCK_H
#define CHUNKLIFT_RUN_LOCK_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct run_lock {
    int fd; /* -1: none */
};
#define RUN_LOCK_INIT                                                                                                  \
    { .fd = -1 }

/* Makes the directory, and blocks until no other run works there, at most wait_ms. ERR_BUSY: another run still does
 * (logged with its pid), or a stop request came (not logged). Other errors are logged. *waited: it was not free at once. */
int run_lock_take(struct run_lock *l, const char *dir, uint64_t wait_ms, bool *waited) MUST_CHECK;
/* For a run without --lock-wait; a second call does nothing, unless the directory was missing at the first. Never blocks.
 * Where the file cannot be locked, the run goes on without. */
void run_lock_mark(struct run_lock *l, const char *dir);
void run_lock_release(struct run_lock *l);

#endif
