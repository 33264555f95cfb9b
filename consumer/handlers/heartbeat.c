/* HEARTBEAT: keeps an uploader's leases alive and reports its state. BEAT is the reply. */
#include "consumer/beats.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/arith.h"
#include "pure/array.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define RATE_MS 1000 /* the least time over which the rate is measured */

static void heartbeat_take_rate(struct peer *peer, uint64_t sent_bytes, uint64_t now_ms) {
    if (peer->rate_ms == 0 || sent_bytes < peer->rate_bytes) {
        peer->rate_ms = now_ms;
        peer->rate_bytes = sent_bytes;
    } else if (now_ms - peer->rate_ms >= RATE_MS) {
        uint64_t fresh = (sent_bytes - peer->rate_bytes) / (now_ms - peer->rate_ms) * 1000;
        peer->rate = peer->rate ? peer->rate / 2 + fresh / 2 : fresh;
        peer->rate_ms = now_ms;
        peer->rate_bytes = sent_bytes;
    }
}

static void heartbeat_note_counters(struct consumer *c, struct peer *peer, const struct msg_heartbeat *h) {
    c->retries += sub_or_zero(h->retries, peer->retries);
    peer->slots = h->slots;
    peer->active = h->active;
    peer->free = h->free;
    peer->sent_bytes = h->sent_bytes;
    peer->retries = h->retries;
    peer->fetched_bytes = h->fetched_bytes;
    peer->outage_ms = h->outage_ms;
    snprintf(peer->outage, sizeof peer->outage, "%.*s", (int)MIN(h->outage.len, 255),
             h->outage.len ? h->outage.ptr : "");
    peer->integrity = h->integrity;
    peer->slots_why = h->slots_why;
    peer->reply_us = h->reply_us;
    peer->work_us = h->work_us;
    heartbeat_take_rate(peer, h->sent_bytes, consumer_time(c));
}

/* Rule 6: takes over a lease of the last epoch. *l stays NULL when the upload is not planned again
 * yet; no other peer can have got the job then. False: the peer must stop. */
static bool heartbeat_adopt(struct consumer *c, struct peer *peer, const struct ref *ref, struct lease **l) {
    struct upload *u = ledger_upload_of_job(c, ref);
    if (!uploads_may_adopt(c) || leases_find(&c->leases, ref))
        return false;
    if (!u)
        return !recently_ended_find(&c->state.recently_ended, &ref->upload);
    if (!uploads_is_adoptable(u, ref) || leases_grant(&c->leases, ref, peer, &peer->leases, u, c->now_ms, l))
        return false;
    if (ref->kind == JOB_PUT)
        u->put_holder = peer->incarnation;
    return true;
}

/* Renews (rule 5) or adopts (rule 6) the lease. False: it is not the peer's, which must stop the
 * job. A delete job stops when its producer left. */
static bool heartbeat_keep_lease(struct consumer *c, struct peer *peer, const struct lease_mark *mark) {
    if (mark->ref.kind == JOB_DELETE && !uploads_may_delete(c, &mark->ref))
        return false;
    struct lease *l = leases_find_of(&c->leases, &mark->ref, peer);
    if (l && l->lost) { /* rule 7; not renewed */
        l->bytes = mark->bytes;
        return false;
    }
    if (!l && !heartbeat_adopt(c, peer, &mark->ref, &l))
        return false;
    if (!l)
        return true;
    leases_renew(&c->leases, l, c->now_ms);
    if (l->bytes != mark->bytes)
        l->moved_ms = consumer_time(c);
    l->bytes = mark->bytes;
    return true;
}

int heartbeat_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    const struct msg_heartbeat *h = &m->heartbeat;
    struct msg answer = {.type = MSG_BEAT, .number = m->number};
    struct beat_lists lists;
    struct ref *invalid = array_zeroed(h->lease_count, sizeof *invalid);
    if (!invalid)
        return 0; /* no BEAT; the uploader sends the next HEARTBEAT */
    heartbeat_note_counters(c, peer, h);
    if (!peer->had_heartbeat)
        fleet_note_first(&c->fleet, consumer_time(c));
    fleet_note(&c->fleet, peer, h, c->o.no_brakes, consumer_time(c));
    destinations_note_troubles(&peer->destinations, h->troubles, h->trouble_count, consumer_time(c));
    answer.beat.invalid = invalid;
    for (size_t i = 0; i < h->lease_count; i++)
        if (!heartbeat_keep_lease(c, peer, &h->leases[i]))
            invalid[answer.beat.invalid_count++] = h->leases[i].ref;
    int err = c->fleet.changed ? beats_step(c) : 0;
    beats_fill(c, peer, &answer.beat, &lists);
    if (!err)
        err = reply_queue(c, &peer->route, &answer);
    free(invalid);
    return err;
}
