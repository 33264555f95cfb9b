/*
 * The round: commit, send, and do the work that waits for a commit or for time to pass. consumer.h
 * has the order of its phases.
 */
#include "consumer/beats.h"
#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/jobs/hedge.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/deadline.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"
#include <sys/param.h>

#define TICK_MS 250
#define DEATH_SETTLES_MS 200 /* messages that a dead process left in its sockets arrive within this time */
#define SILENT_DROP_MS 60000 /* a peer that is silent for so long and holds nothing is dropped */

/* ---- peers that are gone ---- */

/* The leases of a local process that died end now, not at their deadline. Messages it sent before
 * may still arrive. So its death must be seen twice, and the socket read until empty in between. */
static bool round_is_gone(const struct consumer *c, struct peer *peer, uint64_t drained_ms) {
    if (peer->dead_ms == 0) {
        if (peer_is_dead(peer))
            peer->dead_ms = consumer_time(c);
        return false;
    }
    return drained_ms && leases_time(&c->leases, drained_ms) >= peer->dead_ms + DEATH_SETTLES_MS;
}

static bool round_is_silent(const struct consumer *c, const struct peer *peer) {
    uint64_t limit = 3 * (uint64_t)c->leases.lease_ms;
    limit = MAX(limit, SILENT_DROP_MS);
    return list_is_empty(&peer->leases) && consumer_time(c) >= peer->heard_ms + limit;
}

static int round_drop_vanished(struct consumer *c, uint64_t drained_ms) {
    for (size_t i = c->peers.count; i-- > 0;) {
        struct peer *peer = c->peers.all[i];
        if (!(round_is_gone(c, peer, drained_ms) || round_is_silent(c, peer)))
            continue;
        consumer_report(c, CONSUMER_EVENT_VANISHED, peer, NULL);
        int err = leave_drop_peer(c, peer);
        if (err)
            return err;
        FAULT_POINT(dead_noticed);
    }
    return 0;
}

int consumer_recheck_keys(struct consumer *c, uint64_t now_ms) {
    c->now_ms = now_ms;
    for (size_t i = c->peers.count; i-- > 0;) {
        struct peer *peer = c->peers.all[i];
        if (access_has_role(c, &peer->key, peer->role))
            continue;
        consumer_report(c, CONSUMER_EVENT_REVOKED, peer, NULL);
        int err = leave_drop_peer(c, peer);
        if (err)
            return err;
    }
    return 0;
}

/* ---- leases ---- */

/* drained_ms: when the reading began that emptied the socket; 0: it was not emptied. A lease expires only when its
 * deadline was over before that time (rule 3). */
static int round_expire_leases(struct consumer *c, uint64_t drained_ms) {
    struct lease *l;
    while (drained_ms && (l = leases_first_expired(&c->leases, drained_ms))) {
        struct event e = {.ref = l->ref, .kind = EVENT_EXPIRED, .bytes = l->bytes, .worker = slice_of(l->peer->worker)};
        uploads_note_unused(c, ledger_producers_of_job(c, &l->ref), l, l->bytes);
        consumer_report(c, CONSUMER_EVENT_EXPIRED, l->peer, &l->ref);
        int err = uploads_end_lease(c, l, &e);
        if (err)
            return err;
        FAULT_POINT(lease_expired);
    }
    return 0;
}

/* Rule 12. The leases renewed longest ago come first. */
static void round_find_slow_jobs(struct consumer *c) {
    c->slow_count = 0;
    if (c->o.no_second_lease)
        return;
    for (struct list *n = c->leases.by_age.next; n != &c->leases.by_age && c->slow_count < SECOND_LEASES_MAX;
         n = n->next) {
        const struct lease *l = list_entry(n, struct lease, by_age);
        if (hedge_is_wanted(&c->leases, &c->stragglers, l, c->now_ms))
            c->slow[c->slow_count++] = (struct slow_job){.ref = l->ref, .producers = l->upload->producers};
    }
}

static void round_follow_clock(struct consumer *c) {
    char rate[UNITS_TEXT_SIZE] = "none";
    if (!fleet_follow_clock(&c->fleet, clock_real_us() / 1000000))
        return;
    if (c->fleet.settings.bwlimit)
        rate_format((double)c->fleet.settings.bwlimit, rate);
    log_info("bwlimit %s from now on, by its timetable", rate);
}

static int round_tick(struct consumer *c, uint64_t drained_ms) {
    if (consumer_time(c) < c->ticked_ms + TICK_MS)
        return 0;
    c->ticked_ms = consumer_time(c);
    round_follow_clock(c);
    round_find_slow_jobs(c);
    return round_drop_vanished(c, drained_ms);
}

/* ---- the round ---- */

static int round_handle_waiting(struct consumer *c, struct waiting_list *list,
                                int (*handle)(struct consumer *, struct peer *, const struct msg *)) {
    int err = 0;
    for (size_t i = 0; !err && i < list->count; i++) {
        const struct msg *m = &list->items[i].msg;
        struct peer *peer = peers_find(&c->peers, &m->sender);
        if (peer && curve_key_equal(&peer->key, &list->items[i].frame.key)) /* the peer may have left since */
            err = handle(c, peer, m);
    }
    waiting_list_clear(list);
    return err;
}

int consumer_round(struct consumer *c, uint64_t drained_ms, uint64_t now_ms) {
    c->now_ms = now_ms;
    FAULT_ONLY(bool claims = c->waiting_claims.count > 0;)
    int err = ledger_flush(c);
    FAULT_POINT_IF(!err && claims, acks_sent, "");
    if (!err && snapshot_writer_poll(
                    &c->snapshot_writer)) /* all records are committed: the state is that of the journal's end */
        ledger_begin_snapshot(c);
    if (!err)
        err = tail_answer_due(c);
    if (!err)
        err = round_expire_leases(c, drained_ms);
    if (!err)
        err = round_tick(c, drained_ms);
    if (!err)
        err = beats_step(c);
    if (!err)
        err = round_handle_waiting(c, &c->waiting_plans, plan_handle);
    if (!err)
        err = round_handle_waiting(c, &c->waiting_claims, claim_handle);
    if (!err)
        err = ledger_flush(c);
    FAULT_POINT_IF(!err && claims, verdicts_sent, "");
    c->taken_frames = c->taken_bytes = 0;
    return err;
}

uint64_t consumer_deadline_ms(struct consumer *c, uint64_t now_ms) {
    c->now_ms = now_ms;
    if (c->tails_pending)
        return now_ms;
    uint64_t next = c->ticked_ms + TICK_MS + c->leases.paused_ms;
    if (c->fleet.fresh_until_ms)
        deadline_lower(&next, c->fleet.fresh_until_ms + c->leases.paused_ms);
    uint64_t lease = leases_next_ms(&c->leases), tail = tail_deadline_ms(c);
    next = MIN(lease, next);
    return MIN(tail, next);
}
