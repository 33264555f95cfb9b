/*
 * What the consumer tells the uploaders to keep to (rule 14): slots and a budget of bytes a second that somebody SET,
 * and the brakes of stores that asked for less. Budget and brakes are divided by what each uploader can use, anew every
 * 100 ms while there is something to divide; uploaders learn their part from each BEAT, and at once, by a BEAT they did
 * not ask for, when it changed much.
 *
 * For the files of this folder only; fleet.c has the code.
 */
#ifndef CHUNKLIFT_CONSUMER_FLEET_H
#define CHUNKLIFT_CONSUMER_FLEET_H

#include "consumer/fleet/brakes.h"
#include "consumer/fleet/budget.h"
#include "consumer/fleet/fleet_settings.h"
#include "pure/proto.h"
#include <stdbool.h>

struct consumer;
struct peer;

#define PEER_ENDPOINTS_MAX 4 /* stores that one uploader reports about; of more it is not asked */

struct endpoint_part { /* one uploader at one store's endpoint */
    struct fleet_brake *brake;
    uint64_t served, throttles; /* as last reported */
    uint64_t rate_milli, rate_ms, rate_count;
    uint64_t waited_ms; /* when it last had to wait */
    uint64_t part;      /* requests in 1,000 seconds */
};

struct peer_limits {
    uint64_t own_bwlimit;  /* its --bwlimit */
    uint64_t kept_bwlimit; /* what it said it keeps to */
    uint64_t part;         /* of the budget */
    uint64_t told, told_ms;
    uint64_t waited_ms; /* when bytes last had to wait */
    struct endpoint_part endpoints[PEER_ENDPOINTS_MAX];
    size_t endpoint_count;
};

struct fleet_limits {
    struct dials dials;
    uint64_t version; /* +1 when something was set, or an uploader came: producers hear of it at once */
    struct brakes brakes;
    uint64_t idle_part[BRAKES_MAX]; /* of those that do not use this endpoint now */
    uint64_t settled_ms;            /* after a restart uploaders keep their parts until then: others may come yet */
    uint64_t divided_ms;
    uint64_t fresh_until_ms; /* of the uploader that came last; 0: producers know of all */
    bool changed;            /* everybody is to hear at once */
    bool braking;            /* some brake is on */
    struct budget_claim *claims;
    struct peer **members;
    size_t cap;
};

int fleet_init(struct consumer *c) MUST_CHECK;
void fleet_release(struct consumer *c);
void fleet_note(struct consumer *c, struct peer *peer, const struct msg_heartbeat *h);
/* brakes has room for BRAKES_MAX. */
void fleet_fill_beat(struct consumer *c, struct peer *peer, struct msg_beat *beat, struct brake *brakes);
/* A BEAT that peer did not ask for: another one's record ended its lease. */
int fleet_tell_lost(struct consumer *c, struct peer *peer, const struct ref *ref) MUST_CHECK;
/* An uploader came: it hears its limits before its first lease. */
int fleet_joined(struct consumer *c, struct peer *peer) MUST_CHECK;
/* It has just come: what is offered now would go to others, who may be busy. */
bool fleet_is_fresh(const struct consumer *c, const struct peer *peer);
void fleet_left(struct consumer *c);
/* Divides and tells, where it is time to. */
int fleet_step(struct consumer *c) MUST_CHECK;
/* For STATE; brakes has room for BRAKES_MAX. */
void fleet_describe(const struct consumer *c, struct msg_state *s, struct brake_status *brakes);
int set_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;

#endif
