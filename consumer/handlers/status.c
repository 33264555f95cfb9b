/* STATUS: the unfinished uploads, page by page. The first page also has the connected workers. */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/arith.h"
#include "system/clock.h"
#include <stdlib.h>
#include <unistd.h>

#define UPLOADS_PER_PAGE 512
#define WORKERS_PER_PAGE 1024
#define ENTRY_BYTES 192 /* of an encoded entry without its texts, at most */
#define SHORT_BRAKES 8  /* in a short reply; an endpoint may have a kilobyte */

struct status_lists { /* of one page */
    struct upload_status uploads[UPLOADS_PER_PAGE];
    struct worker_status workers[WORKERS_PER_PAGE];
    struct trouble troubles[WORKERS_PER_PAGE][PROTO_TROUBLES_MAX];
    struct brake_status brakes[BRAKES_MAX];
};

static void status_describe_upload(const struct consumer *c, const struct upload *u, struct upload_status *out) {
    *out = (struct upload_status){
        .upload = u->id,
        .path = u->identity.src,
        .dest = u->identity.dest,
        .size = upload_size(u),
        .done_bytes = u->done_bytes,
        .chunks = upload_is_open_ended(u) ? 0 : u->chunks,
        .chunks_done = u->done_count,
        .leases = u->lease_count,
        .class = u->failed_as,
        .error = slice_of(u->failure ? u->failure : ""),
        .in_use = uploads_is_in_use(c, u) || uploads_in_grace(c, u),
    };
    for (struct list *n = u->leases.next; n != &u->leases; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, of_upload);
        out->second += l->second;
        out->moving_bytes += l->second || l->lost ? 0 : l->bytes; /* a chunk with two leases counts once */
    }
}

/* A key that is not a reader's sees its own uploads and workers. */
static bool status_sees_upload(const struct consumer *c, const struct peer *peer, const struct upload *u) {
    return access_sees_all(c, peer) || (u->producers & peer_bit(peer)) != 0;
}

static bool status_sees_worker(const struct consumer *c, const struct peer *peer, const struct peer *worker) {
    return access_sees_all(c, peer) || curve_key_equal(&peer->key, &worker->key);
}

static void status_add_uploads(const struct consumer *c, const struct peer *peer, uint64_t from,
                               struct msg_state *page) {
    size_t bytes = 0, room = reply_room(c, REPLY_BYTES / 2);
    for (uint64_t i = from; i < c->state.count; i++) {
        const struct upload *u = c->state.uploads[i];
        if (!status_sees_upload(c, peer, u))
            continue;
        bytes += ENTRY_BYTES + u->identity.src.len + u->identity.dest.len + (u->failure ? strlen(u->failure) : 0);
        if (page->upload_count == UPLOADS_PER_PAGE || bytes > room) { /* one upload always fits */
            page->next = i;
            return;
        }
        status_describe_upload(c, u, &page->uploads[page->upload_count++]);
    }
}

/* troubles has room for PROTO_TROUBLES_MAX. */
static void status_add_troubles(const struct consumer *c, const struct peer *p, struct worker_status *w,
                                struct trouble *troubles, size_t *bytes) {
    w->troubles = troubles;
    w->trouble_count = destinations_describe(&p->destinations, troubles, consumer_time(c));
    for (size_t i = 0; i < w->trouble_count; i++)
        *bytes += ENTRY_BYTES + w->troubles[i].location.len + w->troubles[i].error.len;
}

static void status_add_workers(const struct consumer *c, const struct peer *peer, struct status_lists *lists,
                               struct msg_state *page) {
    size_t bytes = 0, room = reply_room(c, REPLY_BYTES / 2);
    uint64_t now = consumer_time(c);
    for (size_t i = 0; i < c->peers.count && page->worker_count < WORKERS_PER_PAGE; i++) {
        const struct peer *p = c->peers.all[i];
        if (!status_sees_worker(c, peer, p))
            continue;
        bytes += ENTRY_BYTES + strlen(p->worker) + strlen(p->outage);
        if (bytes > room)
            return;
        struct worker_status *w = &page->workers[page->worker_count];
        *w = (struct worker_status){
            .role = p->role,
            .worker = slice_of(p->worker),
            .slots = p->slots,
            .active = p->active,
            .free = p->free,
            .sent_bytes = p->sent_bytes,
            .rate = p->rate,
            .retries = p->retries,
            .bwlimit = p->limits.kept_bwlimit,
            .outage = slice_of(p->outage),
            .outage_ms = p->outage_ms,
            .fetched_bytes = p->fetched_bytes,
            .integrity = p->integrity,
            .slots_why = p->slots_why,
            .reply_us = p->reply_us,
            .work_us = p->work_us,
            .silent_ms = sub_or_zero(now, p->heard_ms),
        };
        status_add_troubles(c, p, w, lists->troubles[page->worker_count++], &bytes);
    }
}

int status_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    if (reply_is_backpressured(c, peer))
        return 0;
    struct msg answer = {.type = MSG_STATE, .number = m->number};
    struct status_lists *lists = calloc(1, sizeof *lists);
    int err = 0;
    if (lists) {
        answer.state = (struct msg_state){
            .epoch = journal_epoch(c->journal),
            .head_seq = journal_seq(c->journal),
            .pid = (uint64_t)getpid(),
            .head = slice_of(journal_head(c->journal)),
            .journal_dir = slice_of(c->o.dir),
            .uploads = lists->uploads,
            .workers = lists->workers,
            .finished = c->state.finished.total,
        };
        status_add_uploads(c, peer, m->status.from, &answer.state);
        if (m->status.from == 0)
            status_add_workers(c, peer, lists, &answer.state);
        fleet_describe(&c->fleet, &answer.state, lists->brakes, c->short_replies ? SHORT_BRAKES : BRAKES_MAX,
                       consumer_time(c));
        fleet_describe_plan(&c->fleet, clock_real_us() / 1000000, &answer.state.bwlimit_plan);
        err = reply_queue(c, &peer->route, &answer);
    }
    free(lists);
    return err;
}
