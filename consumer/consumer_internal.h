/*
 * The running consumer, for the files of this folder and for handlers/. Other programs and the
 * lower folders (jobs/, fleet/, state/, journal/) do not see it: they get their data by parameter.
 * Callers outside use consumer.h.
 *
 * Access: `roles` are those of a key at this moment, looked up for every message.
 */
#ifndef CHUNKLIFT_CONSUMER_INTERNAL_H
#define CHUNKLIFT_CONSUMER_INTERNAL_H

#include "consumer/consumer_options.h"
#include "consumer/events.h"
#include "consumer/fleet/fleet.h"
#include "consumer/fleet/stragglers.h"
#include "consumer/jobs/leases.h"
#include "consumer/jobs/plans.h"
#include "consumer/jobs/refusals.h"
#include "consumer/jobs/removals.h"
#include "consumer/producer_stats.h"
#include "consumer/recent.h"
#include "consumer/state/snapshot_writer.h"
#include "consumer/state/state.h"
#include "pure/trust.h"
#include "runtime/endpoint.h"

struct waiting_message { /* a PLAN or CLAIM that waits for its turn in the round */
    struct frame frame;
    struct msg msg;
};
struct waiting_list {
    struct waiting_message *items;
    size_t count, cap;
};

struct slow_job { /* a job that may have a second lease (rule 12) */
    struct ref ref;
    uint64_t producers;
};

struct consumer {
    struct consumer_options o;
    struct id128 self;
    struct journal *journal;
    struct state state;
    struct leases leases;
    struct stragglers stragglers;
    struct peers peers;
    struct events events;
    struct recent recent;
    struct refusals refusals;
    struct snapshot_writer snapshot_writer;
    struct outbox outbox;
    struct producer_stats stats[PRODUCERS_MAX];
    struct plans planned;
    struct removals removals;
    struct fleet_limits fleet;
    bool offers_moved; /* a producer joined or moved, and its uploaders do not know it yet */
    struct waiting_list waiting_plans, waiting_claims;
    uint64_t now_ms; /* clock_ms of the message or round being handled */
    uint64_t
        old_removals_until_ms; /* lease time: removals of the last epoch may still be carried out before (rule 19); 0: none.
                                   The end of their holders does not shorten it: a store may still have their requests */
    uint64_t grace_until_ms; /* lease time: inherited uploads get no grants before (rule 6); 0: no grace */
    uint64_t adopt_until_ms; /* lease time: leases of the last epoch are adopted until then (rule 6) */
    uint64_t member_heard_ms, ticked_ms, moving_ms; /* lease time */
    uint64_t retries;                               /* of all uploaders since the start */
    uint64_t complained_ms;                         /* to unknown peers */
    uint64_t complaints_since_ms, complaint_count;  /* considered since then */
    uint64_t rotations;                             /* of the journal, at the last snapshot */
    size_t taken_frames, taken_bytes;               /* in this round */
    size_t member_count;                            /* producers and uploaders */
    bool member_left;                               /* the last member said BYE */
    bool draining;                                  /* no new grants */
    bool failed;                                    /* the journal; the process must end */
    bool short_replies;                             /* too many unsent bytes: replies stay small */
    bool tails_pending;                             /* some due TAILs wait for the next round */
    size_t tail_turn;                               /* position in peers.all of the first one */
    struct slow_job slow[SECOND_LEASES_MAX];        /* found at the last tick */
    size_t slow_count;
    struct buf lines;                        /* of the RECORDS being made */
    struct ref slow_refs[SECOND_LEASES_MAX]; /* of the same */
    struct event *event_list;                /* of the same, EVENT_LIST_MAX */
};

/* The lease time of the message or round being handled. */
static inline uint64_t consumer_time(const struct consumer *c) {
    return leases_time(&c->leases, c->now_ms);
}

static inline void consumer_report(const struct consumer *c, enum consumer_event event, const struct peer *peer,
                                   const struct ref *job) {
    if (c->o.on_event)
        c->o.on_event(c->o.arg, event, peer, job);
}

/* ---- access ---- */

static inline unsigned access_roles(const struct consumer *c, const struct curve_key *key) {
    return c->o.roles ? c->o.roles(key) : TRUST_PRODUCER | TRUST_UPLOADER | TRUST_READER | TRUST_OPERATOR;
}

/* An operator is also a reader. */
static inline bool access_has_role(const struct consumer *c, const struct curve_key *key, enum role role) {
    unsigned wanted = role == ROLE_PRODUCER   ? TRUST_PRODUCER
                      : role == ROLE_UPLOADER ? TRUST_UPLOADER
                                              : TRUST_READER | TRUST_OPERATOR;
    return (access_roles(c, key) & wanted) != 0;
}

/* May change the fleet's limits, and have uploads aborted or forgotten and objects removed. */
static inline bool access_may_operate(const struct consumer *c, const struct curve_key *key) {
    return (access_roles(c, key) & TRUST_OPERATOR) != 0;
}

/* A peer whose key is not a reader's sees only its own uploads and workers. */
static inline bool access_sees_all(const struct consumer *c, const struct peer *peer) {
    return access_has_role(c, &peer->key, ROLE_READER);
}

/* ---- intake.c ---- */

void waiting_list_clear(struct waiting_list *list);

#endif
