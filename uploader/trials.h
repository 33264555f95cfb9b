/*
 * How long each job has been failing at this uploader, over all its leases. --retry-for of an endpoint starts again
 * with every success there (retry.h); a job that always fails beside others that succeed ends by the time kept here.
 *
 * Throttled requests and bytes that a producer did not send are no trials: they say nothing about the job. The table is
 * small, and a full one forgets the oldest. Pure.
 */
#ifndef CHUNKLIFT_TRIALS_H
#define CHUNKLIFT_TRIALS_H

#include "pure/proto.h"

#define TRIALS_MAX 256
#define TRIALS_LEAST 5                  /* failures before a job is given up, however long they took */
#define TRIALS_IDLE_MS (10 * 60 * 1000) /* not failed here for so long: another uploader may have done it */

struct trial {
    struct ref ref; /* kind 0: free */
    uint64_t since_ms, last_ms;
    uint32_t failures;
};
struct trials {
    struct trial items[TRIALS_MAX];
    uint32_t count;
    uint32_t next; /* where the next goes when all are taken */
};

/* Counts a failure. True when the job has failed for retry_for_ms, and often enough. */
bool trials_fail(struct trials *t, const struct ref *ref, uint64_t now_ms, uint64_t retry_for_ms);
void trials_forget(struct trials *t, const struct ref *ref);

#endif
