/*
 * The processes of `cp`: a consumer for the journal directory when none is running, and N uploaders. A process that dies
 * is restarted a limited number of times, and each restart is reported. Only supervisor_new and supervisor_stop block.
 *
 * The consumer has a session of its own and survives a `cp` that others have joined. Uploaders die with their `cp`.
 */
#ifndef CHUNKLIFT_SUPERVISE_H
#define CHUNKLIFT_SUPERVISE_H

#include "producer/cli/supervise_options.h"
#include "pure/err.h"
#include "pure/ids.h"

struct supervisor;

/*
 * Finds the programs, starts the first uploader, calls o->meanwhile, and checks the journal directory. Blocks until that
 * uploader has checked its settings and credentials. Returns the error of meanwhile. ERR_USAGE: the uploader refused its
 * settings (logged by it). ERR_DENIED, ERR_NOT_FOUND, ERR_IO, ERR_FULL, ERR_UNREACHABLE: logged. ERR_NOMEM.
 */
int supervisor_new(struct supervisor **s, const struct supervise_options *o) MUST_CHECK;

/*
 * Reaps processes that ended and starts the missing ones. connected: the producer is connected to the consumer. Lowers
 * *deadline_ms (clock_ms). ERR_USAGE: an uploader refused its settings (logged by it), exit status 2. ERR_UNREACHABLE:
 * consumer or uploaders cannot be kept running (logged), exit status 3. When the journal's disk fills up or fails during
 * the run, the consumer is restarted for retry_for_ms before that.
 */
int supervisor_step(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* There is work for more than one uploader. Before, only one is started. */
void supervisor_want_all(struct supervisor *s);
/* Sets the number of uploaders; 0: the number of its options. Surplus uploaders finish their transfers and end. */
void supervisor_set_uploaders(struct supervisor *s, uint32_t wanted);
/* The journal of the run, zero while it is not known. A consumer that is restarted serves this journal only. */
void supervisor_set_journal(struct supervisor *s, const struct id128 *journal);
/* The uploaders finish their transfers and end; none is restarted. */
void supervisor_drain(struct supervisor *s);
/* The producer offers nothing more: the uploaders end as soon as their results are acknowledged. */
void supervisor_finish(struct supervisor *s);
/* Kills the uploaders. */
void supervisor_reopen_logs(struct supervisor *s); /* with a log file: SIGHUP to the programs that write to it */
void supervisor_kill(struct supervisor *s);
/* The number of uploaders that are running. */
size_t supervisor_uploaders(const struct supervisor *s);
/*
 * Called after the producer sent BYE. Waits for the end of the uploaders (drain_for_ms and 2 s, then kills them), and of
 * its consumer unless others use it. After supervisor_kill it waits at most a second: a process that hangs in the kernel
 * is left behind, with a warning. ERR_LOST: its consumer found the journal removed or changed by another program
 * (logged), so that files reported as uploaded may have no record.
 */
int supervisor_stop(struct supervisor *s) MUST_CHECK;
void supervisor_destroy(struct supervisor **s);

#endif
