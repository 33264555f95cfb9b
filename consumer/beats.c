#include "consumer/beats.h"
#include "consumer/consumer_internal.h"
#include "consumer/jobs/eligible.h"
#include "consumer/reply.h"
#include <stdlib.h>

void beats_fill(struct consumer *c, struct peer *uploader, struct msg_beat *beat, struct beat_lists *lists) {
    beat->jobs = lists->jobs;
    beat->jobs_count = peers_local_jobs(&c->peers, uploader, lists->jobs);
    beat->relieved = lists->relieved;
    beat->relieved_count = eligible_elsewhere(&c->peers, uploader, lists->relieved, consumer_time(c));
    fleet_fill_beat(&c->fleet, uploader, beat, lists->brakes, consumer_time(c));
}

int beats_send_limits(struct consumer *c, struct peer *uploader) {
    struct beat_lists lists;
    struct msg m = {.type = MSG_BEAT};
    if (reply_is_backpressured(c, uploader))
        return 0;
    beats_fill(c, uploader, &m.beat, &lists);
    return reply_queue(c, &uploader->route, &m);
}

static int beats_send(struct consumer *c, struct peer *uploader, struct msg *m) {
    struct slice jobs[PRODUCERS_MAX];
    if (reply_is_backpressured(c, uploader))
        return 0;
    m->beat.jobs = jobs;
    m->beat.jobs_count = peers_local_jobs(&c->peers, uploader, jobs);
    return reply_queue(c, &uploader->route, m);
}

int beats_send_lost(struct consumer *c, struct peer *uploader, const struct ref *ref) {
    struct ref lost = *ref;
    struct msg m = {.type = MSG_BEAT, .beat = {.lost = &lost, .lost_count = 1}};
    return beats_send(c, uploader, &m);
}

/* Tells the uploaders of a host with producers where these offer jobs, at once and not with the next HEARTBEAT. */
static int beats_send_jobs(struct consumer *c) {
    struct slice jobs[PRODUCERS_MAX];
    int err = 0;
    c->offers_moved = false;
    for (size_t i = 0; !err && i < c->peers.count; i++) {
        struct peer *uploader = c->peers.all[i];
        struct msg m = {.type = MSG_BEAT};
        if (uploader->role == ROLE_UPLOADER && peers_local_jobs(&c->peers, uploader, jobs) > 0)
            err = beats_send(c, uploader, &m);
    }
    return err;
}

static size_t beats_find_unwanted(const struct consumer *c, const struct peer *uploader, struct ref *refs, size_t max) {
    size_t count = 0;
    for (struct list *n = uploader->leases.next; n != &uploader->leases && count < max; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, of_peer);
        if (l->upload && !l->lost && peers_are_stopping(&c->peers, l->upload->producers))
            refs[count++] = l->ref;
    }
    return count;
}

int beats_send_unwanted(struct consumer *c) {
    struct ref *refs = calloc(PROTO_LIST_MAX, sizeof *refs);
    int err = 0;
    for (size_t i = 0; refs && !err && i < c->peers.count; i++) {
        struct peer *uploader = c->peers.all[i];
        struct msg m = {.type = MSG_BEAT, .beat = {.unwanted = refs}};
        if (uploader->role == ROLE_UPLOADER)
            m.beat.unwanted_count = beats_find_unwanted(c, uploader, refs, PROTO_LIST_MAX);
        if (m.beat.unwanted_count)
            err = beats_send(c, uploader, &m);
    }
    free(refs); /* without memory, claimed jobs are transferred too */
    return err;
}

int beats_step(struct consumer *c) {
    int err = c->offers_moved ? beats_send_jobs(c) : 0;
    if (err)
        return err;
    if (!fleet_divide_if_due(&c->fleet, consumer_time(c)))
        return 0;
    for (size_t i = 0; !err && i < c->peers.count; i++)
        if (fleet_wants_beat(&c->fleet, c->peers.all[i], consumer_time(c)))
            err = beats_send_limits(c, c->peers.all[i]);
    c->fleet.changed = false;
    return err;
}
