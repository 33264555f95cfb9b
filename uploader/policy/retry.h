/*
 * The decision after an attempt failed in a way that can pass: wait and try again, give the job back, or give up.
 *
 * The wait is full jitter: rand(0,1) · min(2^(n-1) s, 20 s) before attempt n+1, or the pause the store asked for if that
 * is longer. A budget of 500 tokens (5 a retry, 10 after a timeout) protects a failing store from a retry storm. A job
 * that finds too few tokens waits as after many failures; it is not given up. (AWS SDK reference guide, "Retry
 * behavior", standard mode.)
 *
 * How long an outage may last is counted per endpoint (store_endpoints.h). It ends as RETRY_OUTAGE after --retry-for. For
 * an endpoint that was never reached, it ends as RETRY_UNREACHABLE after 10 s, or after --retry-for when that is shorter.
 * While an endpoint is paused, nothing is claimed for it (rule 5).
 *
 * While the consumer limits the fleet's requests (rule 14), its limit replaces the pause of this uploader: a throttled
 * request waits as after its first failure and stops no others.
 *
 * Pure: times are clock_ms, and random bits come from the state that is given.
 */
#ifndef CHUNKLIFT_RETRY_H
#define CHUNKLIFT_RETRY_H

#include "uploader/policy/store_endpoints.h"
#include <stdbool.h>
#include <stdint.h>

#define RETRY_WAIT_MAX_MS 20000
#define RETRY_TOKENS 500
#define RETRY_UNREACHED_MS 10000

struct retry_budget {
    uint32_t tokens;
};
void retry_budget_init(struct retry_budget *b);
/* False: there are too few tokens, and none are taken. */
bool retry_budget_take(struct retry_budget *b, bool timeout);
/* After a success at attempt number `attempts` (from 1). */
void retry_budget_refill(struct retry_budget *b, uint32_t attempts);

/* The wait after `failures` failures in a row. */
uint32_t retry_wait_ms(uint32_t failures, uint64_t *random_state);

struct retry_failure {
    uint32_t failures; /* of this job in a row, this one included */
    bool timeout, throttled, never_connected, credentials_expired;
    bool fleet_limited; /* the consumer limits the requests to this endpoint */
    uint32_t retry_after_ms;
};
struct retry_limits {
    uint64_t retry_for_ms;
    uint32_t lease_ms;
};
enum retry_action {
    RETRY_AGAIN,       /* after wait_ms; keep slot and lease */
    RETRY_RELEASE,     /* give the job back, to be offered again after wait_ms; the endpoint is paused */
    RETRY_OUTAGE,      /* give up */
    RETRY_UNREACHABLE, /* give up */
};
struct retry_decision {
    enum retry_action action;
    uint32_t wait_ms;
};
/* Also updates the endpoint's state and the budget. */
struct retry_decision retry_decide(struct store_endpoint *e, struct retry_budget *b, const struct retry_failure *f,
                                   const struct retry_limits *limits, uint64_t now_ms, uint64_t *random_state);

#endif
