#include "consumer/uploads.h"
#include "consumer/consumer_internal.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include <sys/param.h>

void uploads_add_producer(struct consumer *c, struct upload *u, const struct peer *producer) {
    uint64_t bit = peer_bit(producer);
    if (u->producers & bit)
        return;
    u->producers |= bit;
    c->stats[producer->producer].uploads++;
}

bool uploads_is_foreign(const struct consumer *c, const struct upload *u, const struct peer *producer) {
    if (!curve_key_is_set(&producer->key))
        return false;
    for (uint64_t bits = u->producers; bits; bits &= bits - 1) {
        const struct peer *owner = c->peers.producers[__builtin_ctzll(bits)];
        if (owner && !curve_key_equal(&owner->key, &producer->key))
            return true;
    }
    return false;
}

bool uploads_in_grace(const struct consumer *c, const struct upload *u) {
    return u->inherited && consumer_time(c) < c->grace_until_ms;
}

bool uploads_is_in_use(const struct consumer *c, const struct upload *u) {
    uint64_t present = 0;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        if (c->peers.producers[i])
            present |= UINT64_C(1) << i;
    return u->lease_count > 0 || (u->producers & present);
}

bool uploads_is_taken_up(const struct upload *u) {
    return u->droppers && (u->producers & ~u->droppers);
}

bool uploads_may_adopt(const struct consumer *c) {
    return consumer_time(c) < c->adopt_until_ms;
}

bool uploads_is_adoptable(const struct upload *u, const struct ref *ref) {
    switch (ref->kind) {
    case JOB_BEGIN:
    case JOB_PUT:
        return !u->begun;
    case JOB_CHUNK:
        return u->begun && ref->chunk < u->chunks && !upload_has_chunk(u, ref->chunk);
    case JOB_FINISH:
        return u->begun && u->done_count == u->chunks && !upload_is_open_ended(u);
    case JOB_ABORT:
        return u->opened;
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

/* ---- removals ---- */

static bool uploads_removals_may_be_late(const struct consumer *c) {
    return consumer_time(c) < MAX(c->grace_until_ms, c->removals.doubt_until_ms);
}

bool uploads_removals_are_in_doubt(const struct consumer *c) {
    return uploads_removals_may_be_late(c) || consumer_time(c) < c->old_removals_until_ms;
}

bool uploads_removals_are_settled(const struct consumer *c) {
    return !uploads_removals_may_be_late(c) && removals_are_over(&c->removals, consumer_time(c));
}

bool uploads_is_being_removed(const struct consumer *c, uint64_t dest) {
    if (removals_find(&c->removals, dest, consumer_time(c)))
        return true;
    if (!uploads_removals_are_in_doubt(c))
        return false;
    const struct finished_entry *e = finished_find(&c->state.finished, dest);
    return e && e->deleting;
}

bool uploads_may_delete(const struct consumer *c, const struct ref *ref) {
    uint64_t producers = ledger_producers_of_job(c, ref);
    for (uint64_t bits = producers; bits; bits &= bits - 1)
        if (c->peers.producers[__builtin_ctzll(bits)]->returned)
            return false;
    return producers != 0;
}

/* The holder of a delete job may have sent a request and not know its effect. */
static bool uploads_end_is_silent(const struct event *e) {
    return e->kind == EVENT_EXPIRED || e->why == WHY_DRAIN || e->why == WHY_NO_PROGRESS || e->why == WHY_HELD;
}

/* ---- the end of a lease ---- */

int uploads_settle(struct consumer *c, struct upload *u) {
    if (u->lease_count || uploads_in_grace(c, u))
        return 0;
    if (upload_is_superseded(u) && !u->opened)
        return ledger_append_abort(c, u, RECORD_SUPERSEDED);
    if (!u->opened && !u->producers)
        state_remove(&c->state, u);
    return 0;
}

int uploads_end_lease(struct consumer *c, struct lease *l, const struct event *e) {
    struct upload *u = l->upload;
    struct event event = *e;
    if (l->ref.kind == JOB_DELETE && uploads_end_is_silent(e))
        removals_doubt(&c->removals, consumer_time(c) + c->leases.lease_ms);
    event.second = leases_twin(&c->leases, l) != NULL;
    if (!l->lost) /* the job of a lost lease has its record already */
        reply_event(c, &event, ledger_producers_of_job(c, &l->ref));
    leases_end(&c->leases, l);
    return u ? uploads_settle(c, u) : 0;
}

void uploads_note_unused(struct consumer *c, uint64_t producers, const struct lease *l, uint64_t bytes) {
    producer_stats_note_resent(c->stats, producers, bytes);
    if (l && (l->second || l->lost || leases_twin(&c->leases, l)))
        producer_stats_note_hedged(c->stats, producers, bytes);
}
