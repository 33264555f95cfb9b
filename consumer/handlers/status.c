/* STATUS: uploads, page by page, and on the first page who is there. */
#include "consumer/consumer_internal.h"
#include <stdlib.h>
#include <unistd.h>

#define UPLOADS_PER_PAGE 512
#define WORKERS_PER_PAGE 1024
#define ENTRY_BYTES 128 /* of an encoded entry besides its texts, at most */

static void describe_upload(const struct upload *u, struct upload_status *out) {
    *out = (struct upload_status){
        .upload = u->id,
        .path = u->identity.src,
        .dest = u->identity.dest,
        .size = u->identity.file.size,
        .done_bytes = u->done_bytes,
        .chunks = u->chunks,
        .chunks_done = u->done_count,
        .leases = u->lease_count,
        .class = u->failed_as,
        .error = slice_of(u->failure ? u->failure : ""),
    };
    for (struct list *n = u->leases.next; n != &u->leases; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, of_upload);
        out->second += l->second;
        out->moving_bytes += l->second || l->lost ? 0 : l->bytes; /* a chunk that moves twice arrives once */
    }
}

/* Whose key is no reader's sees what is its own. */
static bool sees_upload(const struct consumer *c, const struct peer *peer, const struct upload *u) {
    return core_sees_all(c, peer) || (u->producers & peer_bit(peer)) != 0;
}

static bool sees_worker(const struct consumer *c, const struct peer *peer, const struct peer *worker) {
    return core_sees_all(c, peer) || curve_key_equal(&peer->key, &worker->key);
}

static void add_uploads(const struct consumer *c, const struct peer *peer, uint64_t from, struct msg_state *page) {
    size_t bytes = 0, room = core_room(c, ANSWER_BYTES / 2);
    for (uint64_t i = from; i < c->state.count; i++) {
        const struct upload *u = c->state.uploads[i];
        if (!sees_upload(c, peer, u))
            continue;
        bytes += ENTRY_BYTES + u->identity.src.len + u->identity.dest.len + (u->failure ? strlen(u->failure) : 0);
        if (page->upload_count == UPLOADS_PER_PAGE || (page->upload_count > 0 && bytes > room)) {
            page->next = i;
            return;
        }
        describe_upload(u, &page->uploads[page->upload_count++]);
    }
}

/* Of the uploaders that have some; as many as fit. */
static void add_troubles(const struct consumer *c, const struct peer *p, struct msg_state *page, size_t *bytes) {
    struct worker_status *w = &page->workers[page->worker_count - 1];
    if (!p->able.trouble_count || !(w->troubles = calloc(PROTO_TROUBLES_MAX, sizeof *w->troubles)))
        return;
    w->trouble_count = able_describe(c, p, w->troubles);
    for (size_t i = 0; i < w->trouble_count; i++)
        *bytes += ENTRY_BYTES + w->troubles[i].location.len + w->troubles[i].error.len;
}

static void add_workers(const struct consumer *c, const struct peer *peer, struct msg_state *page) {
    size_t bytes = 0, room = core_room(c, ANSWER_BYTES / 2);
    uint64_t now = core_time(c);
    for (size_t i = 0; i < c->peers.count && page->worker_count < WORKERS_PER_PAGE; i++) {
        const struct peer *p = c->peers.all[i];
        if (!sees_worker(c, peer, p))
            continue;
        bytes += ENTRY_BYTES + strlen(p->worker) + strlen(p->outage);
        if (bytes > room)
            return;
        page->workers[page->worker_count++] = (struct worker_status){
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
            .silent_ms = now > p->heard_ms ? now - p->heard_ms : 0,
        };
        add_troubles(c, p, page, &bytes);
    }
}

int status_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    if (core_is_deaf(c, peer))
        return 0;
    struct msg answer = {.type = MSG_STATE, .number = m->number};
    struct upload_status *uploads = calloc(UPLOADS_PER_PAGE, sizeof *uploads);
    struct brake_status brakes[BRAKES_MAX];
    struct worker_status *workers = calloc(WORKERS_PER_PAGE, sizeof *workers);
    int rc = 0;
    if (uploads && workers) {
        answer.state = (struct msg_state){
            .epoch = journal_epoch(c->journal),
            .head_seq = journal_seq(c->journal),
            .pid = (uint64_t)getpid(),
            .head = slice_of(journal_head(c->journal)),
            .journal_dir = slice_of(c->o.dir),
            .uploads = uploads,
            .workers = workers,
            .finished = c->state.finished.total,
        };
        add_uploads(c, peer, m->status.from, &answer.state);
        if (m->status.from == 0)
            add_workers(c, peer, &answer.state);
        fleet_describe(c, &answer.state, brakes);
        rc = core_answer(c, &peer->route, &answer);
    }
    for (size_t i = 0; workers && i < WORKERS_PER_PAGE; i++)
        free(workers[i].troubles);
    free(uploads);
    free(workers);
    return rc;
}
