/*
 * What happens after an attempt failed in a way that can pass: wait and try again, give the job back, or give up.
 *
 * Waiting is full jitter, rand(0,1) · min(2^(n-1) s, 20 s) before attempt n+1, or what the store asked for if that is
 * longer. A token bucket of 500 (5 a retry, 10 after a timeout) keeps a failing store from being stormed: what finds it
 * empty waits as if it had failed often, it is not given up. (AWS SDK reference guide, "Retry behavior", standard
 * mode.)
 *
 * How long an outage may last counts per endpoint, from the first failure after its last success (a long transfer that
 * breaks is no outage). Two ends: "outage" after --retry-for, and "unreachable" after 10 s for an endpoint that no
 * connection ever reached. While an endpoint is braked nothing is claimed for it (rule 5). Times are clock_ms. Pure:
 * random bits come from the state given.
 *
 * Where the consumer coordinates the fleet's requests (rule 14) its brake takes the place of ours: a refused request
 * waits like one that failed for the first time, and stops no others.
 */
#ifndef CHUNKLIFT_RETRY_H
#define CHUNKLIFT_RETRY_H

#include "pure/buf.h"
#include "pure/err.h"
#include "uploader/token_bucket.h"
#include <stdbool.h>
#include <stdint.h>

#define RETRY_WAIT_MAX_MS 20000
#define RETRY_TOKENS 500
#define RETRY_UNREACHED_MS 10000
#define STORE_ENDPOINT_IDLE_MS 120000 /* not tried for so long after its wait was over: idle, not down */

struct retry_budget {
    uint32_t tokens;
};
void retry_budget_init(struct retry_budget *b);
/* False when there are too few; then none are taken. */
bool retry_budget_take(struct retry_budget *b, bool timeout);
void retry_budget_refill(struct retry_budget *b,
                         uint32_t attempts); /* a success, at the attempts-th attempt (from 1) */

/* SplitMix64 (Steele, Lea, Flood 2014): enough for jitter. */
uint64_t retry_random(uint64_t *state);
/* Before attempt n+1, n failures from 1. */
uint32_t retry_wait_ms(uint32_t failures, uint64_t *random_state);

/* What is known of one store's endpoint. */
struct store_endpoint {
    char *name; /* as in the job's target; "" for directories */
    bool connected;
    uint64_t trying_ms; /* first attempt since the last success; 0 none */
    uint64_t
        failing_ms;    /* first failure since the last success, or since it was last tried after a long pause; 0 none */
    uint64_t again_ms; /* when the last failure's wait ends */
    uint64_t success_ms;         /* last success; 0 none yet */
    char failure[160];           /* the last failure that is retried, for people */
    uint64_t brake_until_ms;     /* 0 not braked */
    uint64_t throttled_until_ms; /* the same after a reply that asked for less; the fleet's brake takes its place */

    /* for the fleet and from it (shared.c) */
    uint64_t served, throttles; /* requests, since the start */
    uint64_t wish_until_ms;     /* the store asked for a pause */
    uint64_t pause_until_ms;    /* the fleet pauses */
    struct token_bucket starts; /* thousandths of requests; a rate: the fleet's brake is on */
};
#define TOKENS_PER_REQUEST 1000 /* what one takes from `starts` */
struct store_endpoints {
    struct store_endpoint *items;
    size_t count;
};
#define STORE_ENDPOINTS_MAX 64
/* NULL when memory is out or there are too many. Pointers stay valid until the next call. */
struct store_endpoint *store_endpoints_get(struct store_endpoints *e, struct slice name);
void store_endpoints_release(struct store_endpoints *e);

void store_endpoint_attempt(struct store_endpoint *e, uint64_t now_ms);
void store_endpoint_success(struct store_endpoint *e, uint64_t now_ms);
/* 0: not braked. */
uint64_t store_endpoint_paused_until_ms(const struct store_endpoint *e, uint64_t now_ms);
bool store_endpoint_is_paused(const struct store_endpoint *e, uint64_t now_ms);

struct retry_failure {
    uint32_t failures; /* of this job in a row, this one counted */
    bool timeout, throttled, never_connected, credentials_expired;
    bool shared; /* the fleet's brake is on: it, and not this host alone, answers a throttled request */
    uint32_t retry_after_ms;
};
struct retry_limits {
    uint64_t retry_for_ms;
    uint32_t lease_ms;
};
enum retry_action {
    RETRY_AGAIN,       /* after wait_ms, keeping slot and lease */
    RETRY_RELEASE,     /* give the job back, worth offering again after wait_ms; the endpoint is braked */
    RETRY_OUTAGE,      /* give up */
    RETRY_UNREACHABLE, /* give up */
};
struct retry_decision {
    enum retry_action action;
    uint32_t wait_ms;
};
struct retry_decision retry_decide(struct store_endpoint *e, struct retry_budget *b, const struct retry_failure *f,
                                   const struct retry_limits *limits, uint64_t now_ms, uint64_t *random_state);

#endif
