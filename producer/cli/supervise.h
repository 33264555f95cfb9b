/*
 * The processes `cp` runs: a consumer for the journal directory when nobody serves it, and N uploaders. One that dies
 * is started again, a limited number of times, and it is said. Nothing here blocks but supervisor_stop.
 *
 * The consumer lives in a session of its own and outlives a `cp` that others have joined; uploaders die with their
 * `cp`.
 */
#ifndef CHUNKLIFT_SUPERVISE_H
#define CHUNKLIFT_SUPERVISE_H

#include "pure/err.h"
#include "pure/ids.h"
#include "runtime/keys.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Strings must live as long as the supervisor. */
struct supervise_options {
    const char *journal_dir;
    const char *consumer; /* somebody else's endpoint: none is started */
    uint64_t uploaders, slots;
    bool no_second_lease;                                 /* of the consumer */
    uint64_t lease_ms, retry_for_ms, response_timeout_ms; /* 0: the programs' defaults */
    uint64_t drain_for_ms;                                /* of the uploaders */
    const char *endpoint_url, *region, *profile;          /* NULL: not passed on */
    struct key_options keys;                              /* of the uploaders, for tcp endpoints */
    bool verbose, quiet;
    const char *jobs;  /* the producer's endpoint */
    const char *allow; /* its destination */
    const char *const *roots;
    size_t root_count;
};

struct supervisor;

/* Finds the programs, has an uploader check its settings and credentials (ERR_USAGE: it said what is wrong), and checks
 * that the journal directory can be used: ERR_DENIED, ERR_NOT_FOUND, ERR_IO, ERR_FULL, ERR_UNREACHABLE; all logged.
 * Nothing is left running. Blocks until the uploader answered. */
int supervisor_new(struct supervisor **s, const struct supervise_options *o) MUST_CHECK;

/*
 * Reaps what ended, starts what is missing. connected: the producer talks to the consumer. Lowers *deadline_ms
 * (clock_ms). ERR_USAGE: an uploader refused its configuration (it said why): exit 2. ERR_UNREACHABLE: consumer or
 * uploaders cannot be kept running (logged): exit 3. A journal whose disk fills up or fails later is tried again for
 * retry_for_ms before that.
 */
int supervisor_step(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* How many uploaders are to run from now on; 0: as many as it was started with. Surplus ones finish what is in flight
 * and end. */
void supervisor_set_uploaders(struct supervisor *s, uint32_t wanted);
/* The journal that the run uses, zero while it is not known: a consumer that is started again serves no other. */
void supervisor_set_journal(struct supervisor *s, const struct id128 *journal);
/* Uploaders finish what is in flight and end; none is started again. */
void supervisor_drain(struct supervisor *s);
/* At once: kills the uploaders. */
void supervisor_kill(struct supervisor *s);
/* How many uploaders live. */
size_t supervisor_uploaders(const struct supervisor *s);
/* After the producer said BYE: waits for the uploaders' end (drain_for_ms and 2 s, then kills them), and for our
 * consumer unless others use it. After supervisor_kill it waits a second at most: a process that hangs in the kernel is
 * left behind, with a line. ERR_LOST: our consumer found the journal removed or changed by another program (logged), so
 * what was told to be uploaded may have no record. */
int supervisor_stop(struct supervisor *s) MUST_CHECK;
void supervisor_destroy(struct supervisor **s);

#endif
