/* BYE, and the removal of a peer for any reason. */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"

static int leave_drop_leases(struct consumer *c, struct peer *peer) {
    while (!list_is_empty(&peer->leases)) {
        struct lease *l = list_entry(peer->leases.next, struct lease, of_peer);
        struct event e = {.ref = l->ref,
                          .kind = EVENT_RELEASED,
                          .why = WHY_DRAIN,
                          .bytes = l->bytes,
                          .worker = slice_of(peer->worker)};
        uploads_note_unused(c, ledger_producers_of_job(c, &l->ref), l, l->bytes);
        int err = uploads_end_lease(c, l, &e);
        if (err)
            return err;
    }
    return 0;
}

/* Clears the producer's bit everywhere, because another producer will get its index. */
static int leave_drop_plans(struct consumer *c, const struct peer *producer) {
    uint64_t bit = peer_bit(producer);
    for (size_t i = c->state.recently_ended.count; i-- > 0;) {
        struct ended_upload *e =
            &c->state.recently_ended.ring[(c->state.recently_ended.first + i) % RECENTLY_ENDED_MAX];
        e->producers &= ~bit;
        e->made_by &= ~bit;
    }
    for (size_t i = 0; i < c->peers.count; i++)
        c->peers.all[i]->unable &= ~bit;
    for (size_t i = c->state.count; i-- > 0;) {
        struct upload *u = c->state.uploads[i];
        if (!(u->producers & bit))
            continue;
        u->producers &= ~bit;
        u->droppers &= ~bit;
        u->made_by &= ~bit;
        int err = uploads_settle(c, u); /* may move the last upload to i; it was handled before */
        if (err)
            return err;
    }
    plans_clear(&c->planned, producer->producer);
    removals_leave(&c->removals, producer, consumer_time(c) + c->leases.lease_ms);
    c->stats[producer->producer] = (struct producer_stats){0};
    return 0;
}

int leave_drop_peer(struct consumer *c, struct peer *peer) {
    int err = leave_drop_leases(c, peer);
    if (!err && peer->role == ROLE_PRODUCER)
        err = leave_drop_plans(c, peer);
    if (err)
        return err;
    if (peer->role != ROLE_READER)
        c->member_count--;
    peers_remove(&c->peers, peer);
    fleet_leave(&c->fleet);
    return 0;
}

int bye_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    bool member = peer->role != ROLE_READER;
    (void)m;
    consumer_report(c, CONSUMER_EVENT_LEFT, peer, NULL);
    int err = leave_drop_peer(c, peer);
    if (member)
        c->member_left = true;
    return err;
}
