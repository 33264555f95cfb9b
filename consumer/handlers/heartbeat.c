/* HEARTBEAT, RELEASE, and leases that run out: how leases live on and end. */
#include "consumer/consumer_internal.h"
#include "system/fault.h"
#include <stdio.h>
#include <stdlib.h>

#define RATE_MS 1000 /* the rate is taken over at least so long */

/* ---- HEARTBEAT ---- */

static void note_counters(struct consumer *c, struct peer *peer, const struct msg_heartbeat *h) {
    uint64_t now = core_time(c);
    if (h->retries > peer->retries)
        c->retries += h->retries - peer->retries;
    peer->slots = h->slots;
    peer->active = h->active;
    peer->free = h->free;
    peer->sent_bytes = h->sent_bytes;
    peer->retries = h->retries;
    peer->fetched_bytes = h->fetched_bytes;
    peer->outage_ms = h->outage_ms;
    snprintf(peer->outage, sizeof peer->outage, "%.*s", (int)(h->outage.len < 255 ? h->outage.len : 255),
             h->outage.len ? h->outage.ptr : "");
    peer->integrity = h->integrity;
    if (peer->rate_ms == 0 || h->sent_bytes < peer->rate_bytes) {
        peer->rate_ms = now;
        peer->rate_bytes = h->sent_bytes;
    } else if (now - peer->rate_ms >= RATE_MS) {
        uint64_t fresh = (h->sent_bytes - peer->rate_bytes) / (now - peer->rate_ms) * 1000;
        peer->rate = peer->rate ? peer->rate / 2 + fresh / 2 : fresh;
        peer->rate_ms = now;
        peer->rate_bytes = h->sent_bytes;
    }
}

/* Renews (rule 5) or takes over (rule 6) what the heartbeat names; false: it is not this peer's, it must stop. */
static bool keep_alive(struct consumer *c, struct peer *peer, const struct lease_mark *mark) {
    struct lease *l = leases_find_of(&c->leases, &mark->ref, peer);
    if (l && l->lost) { /* rule 7; its time is not prolonged */
        l->bytes = mark->bytes;
        return false;
    }
    if (!l) {
        struct upload *u = state_find(&c->state, &mark->ref.upload);
        if (!core_may_adopt(c) || leases_find(&c->leases, &mark->ref))
            return false;
        if (!u) /* its producer may not have planned it again yet; nobody else can have got it */
            return !ended_find(&c->state.ended, &mark->ref.upload);
        if (!claim_is_adoptable(u, &mark->ref) ||
            leases_grant(&c->leases, &mark->ref, peer, &peer->leases, u, c->now_ms, &l))
            return false;
        if (mark->ref.kind == JOB_PUT)
            u->put_holder = peer->incarnation;
    }
    leases_renew(&c->leases, l, c->now_ms);
    if (l->bytes != mark->bytes)
        l->moved_ms = core_time(c);
    l->bytes = mark->bytes;
    return true;
}

int heartbeat_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    const struct msg_heartbeat *h = &m->heartbeat;
    struct slice jobs[PRODUCERS_MAX];
    struct brake brakes[BRAKES_MAX];
    struct slice relieved[PROTO_TROUBLES_MAX];
    struct ref *invalid = calloc(h->lease_count + 1, sizeof *invalid);
    if (!invalid)
        return 0; /* no BEAT: it beats again */
    size_t count = 0;
    note_counters(c, peer, h);
    fleet_note(c, peer, h);
    able_note(c, peer, h);
    for (size_t i = 0; i < h->lease_count; i++)
        if (!keep_alive(c, peer, &h->leases[i]))
            invalid[count++] = h->leases[i].ref;
    struct msg beat = {.type = MSG_BEAT, .number = m->number};
    beat.beat = (struct msg_beat){.invalid = invalid, .invalid_count = count, .jobs = jobs};
    beat.beat.jobs_count = hello_local_jobs(c, peer, jobs);
    beat.beat.relieved = relieved;
    beat.beat.relieved_count = able_relieved(c, peer, relieved);
    int rc = c->fleet.changed ? fleet_step(c) : 0;
    fleet_fill_beat(c, peer, &beat.beat, brakes);
    if (!rc)
        rc = core_answer(c, &peer->route, &beat);
    free(invalid);
    return rc;
}

/* ---- RELEASE ---- */

/* Rule 2: it declined the upload for good, or is out for its place. When it was the last one that could serve it, the
 * file fails. */
static int note_refusal(struct consumer *c, const struct peer *peer, const struct released *job) {
    const struct upload *u = state_find(&c->state, &job->ref.upload);
    bool over;
    uint64_t seq;
    if (job->own == OWN_MAYBE) /* it left the job to others without a try */
        return 0;
    struct refusal *refusal = able_refused(c, &job->ref.upload, u, peer, job->class, job->detail, &over);
    if (!over)
        return 0;
    int rc = core_record_fail(c, &job->ref.upload, refusal->class, slice_of(refusal->error), &seq);
    refusals_forget(&c->refusals, &job->ref.upload);
    return rc == ERR_INVALID ? 0 : rc;
}

/* Also what was offered and never claimed comes back this way: producers learn of it at once. */
static int release_one(struct consumer *c, struct peer *peer, const struct released *job) {
    struct event e = {.ref = job->ref,
                      .kind = EVENT_RELEASED,
                      .why = job->why,
                      .after_ms = job->after_ms,
                      .worker = slice_of(peer->worker),
                      .detail = job->detail,
                      .class = job->own ? job->class : FAIL_NONE};
    struct lease *l = leases_find_of(&c->leases, &job->ref, peer);
    uint64_t producers = core_producers_of(c, &job->ref.upload);
    if (job->why == WHY_NOT_HERE && !job->own)
        peer->unable |= producers;
    int rc = job->why == WHY_NOT_HERE ? note_refusal(c, peer, job) : 0;
    if (rc)
        return rc;
    if (!l && (job->why == WHY_HELD || leases_find(&c->leases, &job->ref)))
        return 0; /* a copy of an offer that another holds, or what it lost */
    if (!l) {
        core_event(c, &e, producers);
        return 0;
    }
    e.bytes = job->bytes > l->bytes ? job->bytes : l->bytes;
    core_note_again(c, producers, e.bytes);
    return core_lease_lost(c, l, &e);
}

int release_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    for (size_t i = 0; i < m->release.job_count; i++) {
        int rc = release_one(c, peer, &m->release.jobs[i]);
        if (rc)
            return rc;
        FAULT_POINT(release_handled);
    }
    return 0;
}

/* ---- expiry ---- */

int expire_leases(struct consumer *c, uint64_t drained_ms) {
    struct lease *l;
    while (drained_ms && (l = leases_first_over(&c->leases, drained_ms))) { /* rule 3 */
        struct event e = {.ref = l->ref, .kind = EVENT_EXPIRED, .bytes = l->bytes, .worker = slice_of(l->peer->worker)};
        core_note_again(c, core_producers_of(c, &l->ref.upload), l->bytes);
        if (c->o.happened)
            c->o.happened(c->o.arg, HAPPENED_EXPIRED, l->peer, &l->ref);
        int rc = core_lease_lost(c, l, &e);
        if (rc)
            return rc;
        FAULT_POINT(lease_expired);
    }
    return 0;
}
