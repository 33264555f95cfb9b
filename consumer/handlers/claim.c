/*
 * CLAIM: who may do what now. judge() decides and changes nothing; grant() carries out what it decided.
 *
 * Order of judgement: what is over (DONE, ENDED, UNKNOWN) · what can never be (STALE) · whose it is already (own again,
 * HELD, or a second lease by rule 12) · what must come first (LATER, rules 9 and 10) · whom a restart owes the first
 * word (GRACE, rule 6). Nothing new begins of an upload whose producers were told to stop (DRAIN).
 */
#include "consumer/consumer_internal.h"
#include "system/fault.h"
#include <stdlib.h>

#define LATER_MS 200     /* order: what must come first is under way */
#define DRAINING_MS 1000 /* this consumer ends; ask the next one */

static struct verdict deny(enum why why, uint32_t after_ms) {
    return (struct verdict){.kind = VERDICT_DENY, .why = why, .after_ms = after_ms};
}

static struct verdict done(uint64_t seq) {
    return (struct verdict){.kind = VERDICT_DONE, .seq = seq};
}

static struct verdict judge_absent(const struct consumer *c, const struct ref *ref) {
    const struct ended_entry *ended = ended_find(&c->state.ended, &ref->upload);
    if (!ended)
        return deny(WHY_UNKNOWN, 0);
    bool aborts = ref->kind == JOB_ABORT;
    return aborts == (ended->how != ENDED_FINISHED) ? done(ended->seq) : deny(WHY_ENDED, 0);
}

/* What no waiting can change. kind stays 0 when there is nothing of that sort to say. */
static struct verdict judge_for_good(const struct upload *u, const struct claim *claim) {
    const struct ref *ref = &claim->ref;
    bool fits = u->begun && slice_equal(upload_handle(u), claim->handle);
    switch (ref->kind) {
    case JOB_BEGIN:
        if (u->begun)
            return done(u->begin_seq);
        if (u->put)
            return deny(WHY_STALE, 0);
        break;
    case JOB_PUT:
        if (u->begun || (u->shaped && !u->put))
            return deny(WHY_STALE, 0);
        break;
    case JOB_CHUNK:
        if (u->begun && (!fits || ref->chunk >= u->chunks))
            return deny(WHY_STALE, 0);
        if (upload_has_chunk(u, ref->chunk))
            return done(upload_chunk(u, ref->chunk)->seq);
        break;
    case JOB_FINISH:
    case JOB_ABORT:
        if (u->begun ? !fits : claim->handle.len > 0)
            return deny(WHY_STALE, 0);
        if (!u->opened && u->lease_count == 0)
            return deny(WHY_UNKNOWN, 0); /* it has left nothing */
        break;
    case JOB_STAT:
        return (struct verdict){0};
    }
    if (upload_is_superseded(u) && ref->kind != JOB_ABORT)
        return deny(WHY_ENDED, 0);
    return (struct verdict){0};
}

static bool has_abort_lease(const struct consumer *c, const struct upload *u) {
    struct ref abort = {.kind = JOB_ABORT, .upload = u->id};
    return leases_find(&c->leases, &abort) != NULL;
}

/* What must come first (rule 9; begin and put: rule 10's order at one destination). */
static bool is_too_early(const struct consumer *c, const struct upload *u, enum job_kind kind) {
    switch (kind) {
    case JOB_BEGIN:
    case JOB_PUT:
        return !u->shaped || !id_is_zero(&u->supersedes) || has_abort_lease(c, u);
    case JOB_CHUNK:
        return !u->begun || has_abort_lease(c, u);
    case JOB_FINISH:
        return !u->begun || u->done_count != u->chunks || u->lease_count > 0;
    case JOB_ABORT:
        return !u->opened || u->lease_count > 0;
    case JOB_STAT:
        break;
    }
    return false;
}

/* ---- rule 12 ---- */

bool claim_is_slow(const struct consumer *c, const struct lease *l) {
    if (l->ref.kind != JOB_CHUNK || l->lost || l->second || !l->upload || leases_twin(&c->leases, l))
        return false;
    struct geometry g = upload_geometry(l->upload);
    struct straggler s = {.length = geometry_length(&g, l->ref.chunk),
                          .bytes = l->bytes,
                          .age_ms = core_time(c) - l->granted_ms,
                          .still_ms = core_time(c) - l->moved_ms,
                          .holder_ms_per_byte = l->peer->ms_per_byte,
                          .lease_ms = c->leases.lease_ms};
    return stragglers_is_slow(&c->stragglers, &s);
}

/* Somebody on another host than l's could do it. */
static bool another_host_is_free(const struct consumer *c, const struct lease *l) {
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.all[i];
        if (p->role == ROLE_UPLOADER && p->free > 0 && core_time(c) <= p->heard_ms + c->leases.lease_ms &&
            strcmp(p->boot, l->peer->boot) != 0)
            return true;
    }
    return false;
}

static bool may_be_second(const struct consumer *c, const struct peer *peer, const struct claim *claim,
                          const struct upload *u, const struct lease *l) {
    if (c->o.no_second_lease || !claim->second || !u || c->draining || stops_upload(c, u) ||
        c->leases.seconds >= SECOND_LEASES_MAX || core_in_grace(c, u) || is_too_early(c, u, claim->ref.kind) ||
        !claim_is_slow(c, l))
        return false;
    return strcmp(peer->boot, l->peer->boot) != 0 || !another_host_is_free(c, l);
}

static struct verdict judge(const struct consumer *c, const struct peer *peer, const struct claim *claim,
                            const struct upload *u) {
    if (!u && claim->ref.kind != JOB_STAT)
        return judge_absent(c, &claim->ref);
    struct verdict v = u ? judge_for_good(u, claim) : (struct verdict){0};
    if (v.kind)
        return v;
    const struct lease *l = leases_find_of(&c->leases, &claim->ref, peer);
    const struct lease *other = l && !l->lost ? NULL : leases_find(&c->leases, &claim->ref);
    if (other && !may_be_second(c, peer, claim, u, other))
        return deny(WHY_HELD, lease_remaining_ms(&c->leases, other, c->now_ms));
    l = l && !l->lost ? l : other; /* what stands in nobody's way */
    if (!l && c->draining)
        return deny(WHY_LATER, DRAINING_MS);
    if (!l && u && !claim->held && stops_upload(c, u))
        return deny(WHY_DRAIN, DRAINING_MS);
    if (!l && u && !(claim->held && core_may_adopt(c) && claim_is_adoptable(u, &claim->ref)) &&
        is_too_early(c, u, claim->ref.kind))
        return deny(WHY_LATER, LATER_MS);
    if (!l && u && claim->ref.kind != JOB_STAT && core_in_grace(c, u) && !claim->held)
        return deny(WHY_GRACE, (uint32_t)(c->grace_until_ms - core_time(c)));
    return (struct verdict){.kind = VERDICT_GRANT};
}

bool claim_is_adoptable(const struct upload *u, const struct ref *ref) {
    switch (ref->kind) {
    case JOB_BEGIN:
    case JOB_PUT:
        return !u->begun;
    case JOB_CHUNK:
        return u->begun && ref->chunk < u->chunks && !upload_has_chunk(u, ref->chunk);
    case JOB_FINISH:
        return u->begun && u->done_count == u->chunks;
    case JOB_ABORT:
        return u->opened;
    case JOB_STAT:
        break;
    }
    return false;
}

/* A begin that is granted again has a second intent: what its earlier holder asked for may come to be at any time, also
 * after the next one looked. */
static bool needs_intent(const struct upload *u, enum job_kind kind, bool fresh) {
    if (kind == JOB_BEGIN && u->opened)
        return fresh && !u->reopened && !upload_is_file(u);
    return !u->opened && (kind == JOB_BEGIN || (kind == JOB_PUT && upload_is_file(u)));
}

/* Who must look for what earlier holders of begin left: the next one, who aborts an upload that has an intent and no
 * handle, and who ends one begun twice. */
static bool looks_back(const struct upload *u, enum job_kind kind) {
    return (kind == JOB_BEGIN && u->opened) || (kind == JOB_ABORT && !u->begun) ||
           ((kind == JOB_FINISH || kind == JOB_ABORT) && u->reopened);
}

static int grant(struct consumer *c, struct peer *peer, const struct claim *claim, struct upload *u,
                 struct verdict *v) {
    struct lease *l = leases_find_of(&c->leases, &claim->ref, peer);
    if (l && l->lost) { /* it has stopped, else it would not ask */
        leases_end(&c->leases, l);
        l = NULL;
    }
    bool fresh = !l;
    if (l) {
        leases_renew(&c->leases, l, c->now_ms);
    } else if (leases_grant(&c->leases, &claim->ref, peer, &peer->leases, u, c->now_ms, &l)) {
        *v = deny(WHY_LATER, DRAINING_MS); /* LEASES_MAX, or memory */
        return 0;
    } else if (peer->free > 0) {
        peer->free--; /* until its next heartbeat */
    }
    if (u && claim->ref.kind == JOB_PUT)
        u->put_holder = peer->incarnation;
    if (fresh && l->second && c->o.happened)
        c->o.happened(c->o.arg, HAPPENED_SECOND, peer, &l->ref);
    if (u && looks_back(u, claim->ref.kind))
        v->since_us = u->open_us;
    if (!u || !needs_intent(u, claim->ref.kind, fresh))
        return 0;
    int rc = core_record_open(c, u);
    if (rc == ERR_INVALID) { /* cannot be written down, so it cannot be done */
        leases_end(&c->leases, l);
        *v = deny(WHY_JOURNAL, DRAINING_MS);
        return 0;
    }
    return rc;
}

static int claim_one(struct consumer *c, struct peer *peer, const struct claim *claim, struct verdict *v) {
    struct upload *u = state_find(&c->state, &claim->ref.upload);
    uint64_t producers = core_producers_of(c, &claim->ref.upload);
    int rc = 0;
    *v = judge(c, peer, claim, u);
    if (v->kind == VERDICT_GRANT)
        rc = grant(c, peer, claim, u, v);
    FAULT_POINT_IF(!rc && v->kind == VERDICT_GRANT, lease_granted, job_kind_name(claim->ref.kind));
    v->ref = claim->ref;
    bool done = v->kind == VERDICT_DONE;
    const struct lease *l = v->kind == VERDICT_GRANT ? leases_find_of(&c->leases, &claim->ref, peer) : NULL;
    if (done && claim->ref.kind != JOB_ABORT)
        return rc; /* its record speaks */
    if (done && !producers)
        producers = UINT64_MAX; /* who waits for it may have planned it with a consumer before us */
    struct event e = {.ref = claim->ref,
                      .kind = v->kind == VERDICT_GRANT ? EVENT_GRANTED : EVENT_DENIED,
                      .why = done ? WHY_ENDED : v->why,
                      .after_ms = v->after_ms,
                      .worker = slice_of(peer->worker),
                      .second = l && l->second};
    core_event(c, &e, producers);
    return rc;
}

int claim_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    const struct msg_claim *all = &m->claim;
    struct verdict *verdicts = calloc(all->claim_count + 1, sizeof *verdicts);
    int rc = 0;
    if (!verdicts)
        return 0; /* claimed again */
    for (size_t i = 0; !rc && i < all->claim_count; i++)
        rc = claim_one(c, peer, &all->claims[i], &verdicts[i]);
    struct msg answer = {.type = MSG_VERDICT, .number = m->number};
    answer.verdict =
        (struct msg_verdict){.lease_ms = c->leases.lease_ms, .verdicts = verdicts, .verdict_count = all->claim_count};
    if (!rc)
        rc = core_answer(c, &peer->route, &answer);
    free(verdicts);
    return rc;
}
