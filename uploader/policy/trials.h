/*
 * How long each job has been failing at this uploader, over all its leases. --retry-for of an endpoint restarts with
 * every success there (store_endpoints.h). A job that always fails beside others that succeed ends by the time kept here.
 *
 * Throttled requests and bytes that a producer did not send do not count: they are no failure of the job. The table is
 * small; a full one forgets the oldest entry. Pure.
 */
#ifndef CHUNKLIFT_TRIALS_H
#define CHUNKLIFT_TRIALS_H

#include "pure/proto.h"

#define TRIALS_MAX 256
#define TRIALS_LEAST 5                  /* failures before a job is given up, however long they took */
#define TRIALS_IDLE_MS (10 * 60 * 1000) /* without a failure for so long, counting restarts */

struct trial {
    struct ref ref; /* kind 0: free */
    uint64_t since_ms, last_ms;
    uint32_t failures;
};
struct trials {
    struct trial items[TRIALS_MAX];
    uint32_t count;
    uint32_t next; /* the item that is replaced next when all are taken */
};

/* Counts a failure. True: the job has failed often enough, and for retry_for_ms. */
bool trials_fail(struct trials *t, const struct ref *ref, uint64_t now_ms, uint64_t retry_for_ms);
void trials_forget(struct trials *t, const struct ref *ref);

#endif
