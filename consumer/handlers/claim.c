/*
 * CLAIM: which uploader may do which job. claim_judge decides and changes nothing; claim_grant
 * carries a grant out.
 *
 * The checks are in this order:
 *   1. the job is over: DONE, ENDED, UNKNOWN
 *   2. the job can never be done as claimed: STALE
 *   3. another uploader holds it: HELD, unless a second lease is allowed (rule 12)
 *   4. the consumer or all producers of the upload are stopping: LATER, DRAIN
 *   5. another job must be done first: LATER (rules 9 and 10)
 *   6. after a restart, holders of the last epoch come first: GRACE (rule 6)
 *
 * A job that no other uploader holds is NOT_HERE for one that is too old for it. Before all checks, a `discard` or
 * `delete` fails when its producer may not ask for it (claim_is_allowed).
 */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/jobs/hedge.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/array.h"
#include "system/fault.h"
#include <stdlib.h>

#define LATER_MS 200     /* the job that must be done first is under way */
#define DRAINING_MS 1000 /* this consumer ends; its successor answers */
#define UNABLE_MS 1000   /* another uploader may take the job */
#define UNABLE_TEXT "it is older than the producer and does not know object properties; install the same version"
#define UNABLE_TO_DELETE_TEXT "it is older than the producer and cannot remove objects; install the same version"

static struct verdict verdict_deny(enum why why, uint32_t after_ms) {
    return (struct verdict){.kind = VERDICT_DENY, .why = why, .after_ms = after_ms};
}

static struct verdict verdict_done(uint64_t seq) {
    return (struct verdict){.kind = VERDICT_DONE, .seq = seq};
}

/* ---- judging ---- */

static struct verdict claim_judge_absent(const struct consumer *c, const struct ref *ref) {
    const struct ended_upload *ended = recently_ended_find(&c->state.recently_ended, &ref->upload);
    if (!ended)
        return verdict_deny(WHY_UNKNOWN, 0);
    bool aborts = ref->kind == JOB_ABORT;
    return aborts == (ended->how != ENDED_FINISHED) ? verdict_done(ended->seq) : verdict_deny(WHY_ENDED, 0);
}

/* Checks 1 and 2 for an open upload. The kind of the verdict is 0 when neither applies. */
static struct verdict claim_judge_final(const struct upload *u, const struct claim *claim) {
    const struct ref *ref = &claim->ref;
    bool fits = u->begun && slice_equal(upload_handle(u), claim->handle);
    switch (ref->kind) {
    case JOB_BEGIN:
        if (u->begun)
            return verdict_done(u->begin_seq);
        if (u->put)
            return verdict_deny(WHY_STALE, 0);
        break;
    case JOB_PUT:
        if (u->begun || (u->shaped && !u->put))
            return verdict_deny(WHY_STALE, 0);
        break;
    case JOB_CHUNK:
        if (u->begun && (!fits || ref->chunk >= u->chunks))
            return verdict_deny(WHY_STALE, 0);
        if (upload_has_chunk(u, ref->chunk))
            return verdict_done(upload_chunk(u, ref->chunk)->seq);
        break;
    case JOB_FINISH:
    case JOB_ABORT:
        if (u->begun ? !fits : claim->handle.len > 0)
            return verdict_deny(WHY_STALE, 0);
        if (!u->opened && u->lease_count == 0)
            return verdict_deny(WHY_UNKNOWN, 0); /* there is nothing at the destination */
        break;
    case JOB_STAT:
    case JOB_HEAD:
    case JOB_READ:
    case JOB_LIST:
    case JOB_DISCARD:
    case JOB_DELETE:
        return (struct verdict){0};
    }
    if (upload_is_superseded(u) && ref->kind != JOB_ABORT)
        return verdict_deny(WHY_ENDED, 0);
    return (struct verdict){0};
}

static bool claim_has_abort(const struct consumer *c, const struct upload *u) {
    struct ref abort = {.kind = JOB_ABORT, .upload = u->id};
    return leases_find(&c->leases, &abort) != NULL;
}

/* Another job of the upload (rule 9) or at the destination (rules 10 and 19) must be done first. */
static bool claim_is_early(const struct consumer *c, const struct upload *u, enum job_kind kind) {
    if (kind != JOB_ABORT && kind != JOB_STAT && uploads_is_being_removed(c, finished_short(&u->dest_key)))
        return true;
    switch (kind) {
    case JOB_BEGIN:
    case JOB_PUT:
        return !u->shaped || !id_is_zero(&u->supersedes) || claim_has_abort(c, u);
    case JOB_CHUNK:
        return !u->begun || claim_has_abort(c, u);
    case JOB_FINISH:
        return !u->begun || u->done_count != u->chunks || upload_is_open_ended(u) || u->lease_count > 0;
    case JOB_ABORT:
        return !u->opened || u->lease_count > 0;
    case JOB_STAT:
    case JOB_HEAD:
    case JOB_READ:
    case JOB_LIST:
    case JOB_DISCARD:
    case JOB_DELETE:
        break;
    }
    return false;
}

/* An uploader that does not know the properties would make another object. */
static bool claim_is_able(const struct peer *peer, const struct upload *u, enum job_kind kind) {
    if (kind == JOB_DELETE)
        return (peer->abilities & ABILITY_DELETE) != 0;
    return !u || kind == JOB_ABORT || id_is_zero(&u->properties) || (peer->abilities & ABILITY_PROPERTIES);
}

static bool claim_may_be_second(const struct consumer *c, const struct peer *peer, const struct claim *claim,
                                const struct upload *u, const struct lease *l) {
    if (c->o.no_second_lease || !claim->second || !u || c->draining || peers_are_stopping(&c->peers, u->producers) ||
        c->leases.second_count >= SECOND_LEASES_MAX || uploads_in_grace(c, u) || claim_is_early(c, u, claim->ref.kind))
        return false;
    return hedge_is_wanted(&c->leases, &c->stragglers, l, c->now_ms) &&
           hedge_may_hold(&c->leases, &c->peers, peer, l, c->now_ms);
}

/* Checks 4 to 6: a new lease. */
static struct verdict claim_judge_new(const struct consumer *c, const struct claim *claim, const struct upload *u) {
    enum job_kind kind = claim->ref.kind;
    if (c->draining)
        return verdict_deny(WHY_LATER, DRAINING_MS);
    uint64_t producers = u ? u->producers : job_kind_asks(kind) ? ledger_producers_of_job(c, &claim->ref) : 0;
    if (!claim->held && peers_are_stopping(&c->peers, producers))
        return verdict_deny(WHY_DRAIN, DRAINING_MS);
    if (!u)
        return (struct verdict){.kind = VERDICT_GRANT};
    if (kind == JOB_ABORT && uploads_is_taken_up(u))
        return verdict_deny(WHY_STALE, 0); /* its dropper plans again, and is told that another producer uploads it */
    bool adopts = claim->held && uploads_may_adopt(c) && uploads_is_adoptable(u, &claim->ref);
    if (!adopts && claim_is_early(c, u, kind))
        return verdict_deny(WHY_LATER, LATER_MS);
    if (kind != JOB_STAT && !claim->held && uploads_in_grace(c, u))
        return verdict_deny(WHY_GRACE, (uint32_t)(c->grace_until_ms - consumer_time(c)));
    return (struct verdict){.kind = VERDICT_GRANT};
}

static struct verdict claim_judge(const struct consumer *c, const struct peer *peer, const struct claim *claim,
                                  const struct upload *u) {
    bool asks = job_kind_asks(claim->ref.kind);
    if (asks && !ledger_producers_of_job(c, &claim->ref))
        return verdict_deny(WHY_UNKNOWN, 0); /* its producer left, or has not returned since a restart */
    if (!u && !asks && claim->ref.kind != JOB_STAT)
        return claim_judge_absent(c, &claim->ref);
    struct verdict v = u ? claim_judge_final(u, claim) : (struct verdict){0};
    if (v.kind)
        return v;
    const struct lease *own = leases_find_of(&c->leases, &claim->ref, peer);
    if (own && !own->lost)
        return (struct verdict){.kind = VERDICT_GRANT};
    const struct lease *other = leases_find(&c->leases, &claim->ref);
    bool able = claim_is_able(peer, u, claim->ref.kind);
    if (!other)
        return able ? claim_judge_new(c, claim, u) : verdict_deny(WHY_NOT_HERE, UNABLE_MS);
    if (!able || !claim_may_be_second(c, peer, claim, u, other))
        return verdict_deny(WHY_HELD, lease_remaining_ms(&c->leases, other, c->now_ms));
    return (struct verdict){.kind = VERDICT_GRANT};
}

/* ---- granting ---- */

/* The grant needs an `open` record. A begin that is granted again has a second one: the request of
 * its earlier holder may still take effect, also after the next holder looked. */
static bool claim_needs_intent(const struct upload *u, enum job_kind kind, bool fresh) {
    if (kind == JOB_BEGIN && u->opened)
        return fresh && !u->reopened && !upload_is_file(u);
    return !u->opened && (kind == JOB_BEGIN || (kind == JOB_PUT && upload_is_file(u)));
}

/* The job must look for multipart uploads that earlier holders of `begin` left: a repeated begin,
 * the abort of an upload with an intent and no handle, and the end of one with two begins. */
static bool claim_looks_back(const struct upload *u, enum job_kind kind) {
    return (kind == JOB_BEGIN && u->opened) || (kind == JOB_ABORT && !u->begun) ||
           ((kind == JOB_FINISH || kind == JOB_ABORT) && u->reopened);
}

static int claim_grant(struct consumer *c, struct peer *peer, const struct claim *claim, struct upload *u,
                       struct verdict *v) {
    struct lease *l = leases_find_of(&c->leases, &claim->ref, peer);
    if (l && l->lost) { /* the holder claims again, so it has stopped the lost job */
        leases_end(&c->leases, l);
        l = NULL;
    }
    bool fresh = !l;
    if (l) {
        leases_renew(&c->leases, l, c->now_ms);
    } else if (leases_grant(&c->leases, &claim->ref, peer, &peer->leases, u, c->now_ms, &l)) {
        *v = verdict_deny(WHY_LATER, DRAINING_MS); /* LEASES_MAX, or no memory */
        return 0;
    } else if (peer->free > 0) {
        peer->free--; /* until its next HEARTBEAT */
    }
    if (u && claim->ref.kind == JOB_PUT)
        u->put_holder = peer->incarnation;
    if (fresh && l->second)
        consumer_report(c, CONSUMER_EVENT_SECOND, peer, &l->ref);
    if (u && claim_looks_back(u, claim->ref.kind))
        v->since_us = u->open_us;
    if (!u || !claim_needs_intent(u, claim->ref.kind, fresh))
        return 0;
    int err = ledger_append_open(c, u);
    if (err == ERR_INVALID) { /* the intent cannot be recorded, so the job cannot be done */
        leases_end(&c->leases, l);
        *v = verdict_deny(WHY_JOURNAL, DRAINING_MS);
        return 0;
    }
    return err;
}

/* ---- replies ---- */

static void claim_publish(struct consumer *c, const struct peer *peer, const struct verdict *v, uint64_t producers) {
    bool done = v->kind == VERDICT_DONE;
    const struct lease *l = v->kind == VERDICT_GRANT ? leases_find_of(&c->leases, &v->ref, peer) : NULL;
    if (done && v->ref.kind != JOB_ABORT)
        return; /* the producer gets its record */
    if (done && !producers)
        producers = UINT64_MAX; /* the producer that waits for it may have planned it in an earlier epoch */
    bool unable = v->kind == VERDICT_DENY && v->why == WHY_NOT_HERE; /* to its producer, as a job given back */
    const char *detail = !unable ? NULL : v->ref.kind == JOB_DELETE ? UNABLE_TO_DELETE_TEXT : UNABLE_TEXT;
    struct event e = {.ref = v->ref,
                      .kind = v->kind == VERDICT_GRANT ? EVENT_GRANTED
                              : unable                 ? EVENT_RELEASED
                                                       : EVENT_DENIED,
                      .why = done ? WHY_ENDED : v->why,
                      .after_ms = v->after_ms,
                      .worker = slice_of(peer->worker),
                      .detail = slice_of(detail),
                      .second = l && l->second};
    reply_event(c, &e, producers);
}

/* The reason why this delete job must not begin, also when its producer is an operator (rule 19). NULL: it may. */
static const char *claim_judge_delete(const struct consumer *c, const struct ref *ref, const struct peer *producer,
                                      enum fail_class *class) {
    const struct removals *r = &c->removals;
    *class = FAIL_OUTAGE;
    if (!uploads_may_delete(c, ref))
        return "the consumer was started again during the removal; run the command again";
    if (removals_was_answered(r, &ref->upload))
        return "its answer was lost, the objects may be there or not; run the command again";
    if (r->answered.count >= REMOVALS_ANSWERED_MAX && !leases_find(&c->leases, ref))
        return "one command removed too many objects; run the command again";
    if (removals_has_any(r, producer->producer))
        return NULL;
    *class = FAIL_REQUEST;
    return "the removal of these objects was not announced";
}

/* `discard` and `delete` concern objects that others may have made: their producer must be an operator. */
static const char *claim_find_objection(const struct consumer *c, const struct ref *ref, const struct peer *producer,
                                        enum fail_class *class) {
    *class = FAIL_DENIED;
    if (!access_may_operate(c, &producer->key))
        return ref->kind == JOB_DELETE
                   ? "this key needs the role 'operator' in the consumer's trust file to have objects removed"
                   : "this key needs the role 'operator' in the consumer's trust file to have uploads aborted";
    return ref->kind == JOB_DELETE ? claim_judge_delete(c, ref, producer, class) : NULL;
}

/* False: the question has failed, and its producer learns that at once. */
static bool claim_is_allowed(struct consumer *c, const struct peer *peer, const struct ref *ref, uint64_t producers) {
    const char *objection = NULL;
    enum fail_class class = FAIL_NONE;
    if (ref->kind != JOB_DISCARD && ref->kind != JOB_DELETE)
        return true;
    /* two producers can have questions of one id: see ledger_producers_of_job */
    for (uint64_t bits = producers; bits && !objection; bits &= bits - 1)
        objection = claim_find_objection(c, ref, c->peers.producers[__builtin_ctzll(bits)], &class);
    if (!objection)
        return true;
    struct event e = {.ref = *ref,
                      .kind = EVENT_CHECKED,
                      .class = class,
                      .worker = slice_of(peer->worker),
                      .detail = slice_of(objection)};
    reply_event(c, &e, producers);
    return false;
}

static int claim_one(struct consumer *c, struct peer *peer, const struct claim *claim, struct verdict *v) {
    struct upload *u = ledger_upload_of_job(c, &claim->ref);
    uint64_t producers = ledger_producers_of_job(c, &claim->ref);
    int err = 0;
    if (!claim_is_allowed(c, peer, &claim->ref, producers)) {
        *v = verdict_deny(WHY_ENDED, 0);
        v->ref = claim->ref;
        return 0;
    }
    *v = claim_judge(c, peer, claim, u);
    if (v->kind == VERDICT_GRANT)
        err = claim_grant(c, peer, claim, u, v);
    FAULT_POINT_IF(!err && v->kind == VERDICT_GRANT, lease_granted, job_kind_name(claim->ref.kind));
    v->ref = claim->ref;
    if (v->kind == VERDICT_DENY && v->why == WHY_NOT_HERE)
        peer->unable |= producers;
    claim_publish(c, peer, v, producers);
    return err;
}

int claim_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    const struct msg_claim *all = &m->claim;
    struct verdict *verdicts = array_zeroed(all->claim_count, sizeof *verdicts);
    int err = 0;
    if (!verdicts)
        return 0; /* the uploader repeats the CLAIM */
    for (size_t i = 0; !err && i < all->claim_count; i++)
        err = claim_one(c, peer, &all->claims[i], &verdicts[i]);
    struct msg answer = {.type = MSG_VERDICT, .number = m->number};
    answer.verdict =
        (struct msg_verdict){.lease_ms = c->leases.lease_ms, .verdicts = verdicts, .verdict_count = all->claim_count};
    if (!err)
        err = reply_queue(c, &peer->route, &answer);
    free(verdicts);
    return err;
}
