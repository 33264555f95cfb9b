/* The limits of one uploader: its share of the fleet's budget, and of each braked store. fleet.c
 * computes them. */
#ifndef CHUNKLIFT_CONSUMER_PEER_LIMITS_H
#define CHUNKLIFT_CONSUMER_PEER_LIMITS_H

#include "consumer/fleet/brakes.h"

#define PEER_ENDPOINTS_MAX 4 /* stores that one uploader reports about; reports about more are ignored */

struct endpoint_share { /* one uploader at one store's endpoint */
    struct fleet_brake *brake;
    uint64_t served, throttles; /* counters of the last HEARTBEAT */
    uint64_t rate_milli;        /* requests in 1,000 seconds; 0: not measured yet */
    uint64_t rate_ms, rate_count;
    uint64_t throttled_ms; /* when a request last waited for the brake */
    uint64_t share_milli;  /* requests in 1,000 seconds */
};

struct peer_limits {
    uint64_t own_bwlimit;           /* its --bwlimit */
    uint64_t kept_bwlimit;          /* the limit in force at the uploader, by its last HEARTBEAT */
    uint64_t share;                 /* of the budget, bytes a second */
    uint64_t sent_bwlimit, sent_ms; /* the last BEAT with limits */
    uint64_t throttled_ms;          /* when bytes last waited for the limit */
    struct endpoint_share endpoints[PEER_ENDPOINTS_MAX];
    size_t endpoint_count;
};

#endif
