/*
 * The state this uploader keeps of each store's endpoint, over all jobs: whether it was ever reached, since when it
 * fails, how long nothing is sent to it, and the fleet's limit of requests a second (rule 14). Pure; times are clock_ms.
 *
 * An outage counts from the first failure after the last success. A long transfer that breaks is no outage, nor is a
 * pause in which nothing was tried.
 */
#ifndef CHUNKLIFT_STORE_ENDPOINTS_H
#define CHUNKLIFT_STORE_ENDPOINTS_H

#include "pure/proto.h"
#include "uploader/policy/token_bucket.h"
#include <stdbool.h>
#include <stdint.h>

#define STORE_ENDPOINT_IDLE_MS 120000 /* no attempt for so long after its wait: the endpoint is idle, not down */
#define STORE_ENDPOINTS_MAX 64
#define STORE_OUTAGE_SIZE 320
#define TOKENS_PER_REQUEST 1000 /* a request takes so many of `starts` */

struct store_endpoint {
    char *name;                  /* as in the job's target; "" for directories */
    bool connected;              /* at least once */
    uint64_t trying_ms;          /* first attempt since the last success; 0: none */
    uint64_t failing_ms;         /* first failure since the last success or idle time; 0: none */
    uint64_t again_ms;           /* end of the wait after the last failure */
    uint64_t success_ms;         /* last success; 0: none */
    char failure[160];           /* the last failure that is retried, for people */
    uint64_t retry_until_ms;     /* paused until then after a failure; 0: not */
    uint64_t throttled_until_ms; /* the same after a throttled request; not used while the fleet's limit is on */

    /* reported to the consumer, and set by it (fleet_limits.c) */
    uint64_t served, throttles;    /* requests since the start */
    uint64_t store_pause_until_ms; /* the store asked for this pause */
    uint64_t fleet_pause_until_ms; /* the consumer asked for this pause */
    struct token_bucket starts;    /* thousandths of requests; with a rate: the fleet's limit is on */
};

struct store_endpoints {
    struct store_endpoint *items;
    size_t count;
};
void store_endpoints_release(struct store_endpoints *e);
/* Finds or adds it. NULL: out of memory, or STORE_ENDPOINTS_MAX are there. Valid until the next call. */
struct store_endpoint *store_endpoints_get(struct store_endpoints *e, struct slice name);

void store_endpoint_attempt(struct store_endpoint *e, uint64_t now_ms);
void store_endpoint_success(struct store_endpoint *e, uint64_t now_ms);
/* No job starts or is claimed before then. 0: the endpoint is not paused. */
uint64_t store_endpoint_paused_until_ms(const struct store_endpoint *e, uint64_t now_ms);
bool store_endpoint_is_paused(const struct store_endpoint *e, uint64_t now_ms);
/* How long the endpoint that fails for longest has been failing, and its last failure. 0: none fails; text is empty. */
uint64_t store_endpoints_outage_ms(const struct store_endpoints *e, uint64_t now_ms, char text[STORE_OUTAGE_SIZE]);

#endif
