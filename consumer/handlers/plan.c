/*
 * PLAN: which upload a file is. The first match counts:
 *   1. The named upload was superseded: SUPERSEDED. The file fails at this producer.
 *   2. The file finished last at its destination: DONE, unless --force or a missing object asks for
 *      a new upload. The reply has the recorded crc when inode or ctime differ, or when the content
 *      decides. With `compare`, any source of the recorded size is the file.
 *   3. An unfinished upload has its key, inode, ctime and properties: it goes on, unless it is
 *      spoiled, or has failed and --force or another --chunk-size asks for a new one.
 *   4. Otherwise a new upload. It supersedes the unfinished one at its destination.
 *
 * A destination has at most one upload that is not superseded, and that one supersedes at most one
 * other. An upload that would make the chain longer was never begun, and ends at once.
 *
 * PLAN is handled after the commit of the round's results, so that it sees only committed records.
 * Records that it appends are committed before PLANNED leaves.
 *
 * A file gets no answer while the object at its destination is being removed (plan_removal.c).
 *
 * A file with `ask` takes the same decisions, and the state and the journal stay as they are.
 */
#include "consumer/handlers/handlers.h"
#include "consumer/handlers/plan_internal.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/array.h"
#include "system/fault.h"
#include <assert.h>
#include <stdlib.h>

#define FILE_BYTES 160 /* of an encoded planned_file without its lists and texts, at most */
#define LEASE_BYTES 40

int plan_refuse(struct planned_file *out, const char *why) {
    out->state = PLANNED_REFUSED;
    out->error = slice_of(why);
    return 0;
}

/* ---- finished files ---- */

/* The producer of a finished upload gets the events of its `stat` job. */
static void plan_watch_finished(struct planning *p, const struct finished_entry *e) {
    struct ended_upload *ended = recently_ended_find(&p->c->state.recently_ended, &e->upload);
    if (!ended)
        ended = recently_ended_add(&p->c->state.recently_ended, &e->upload, ENDED_FINISHED, e->seq);
    ended->producers |= peer_bit(p->peer);
    ended->failed = 0;
}

/* The content is the recorded one, under another inode or ctime: its producer read the file, or
 * inode numbers are not stable there. The record spares other producers the reading. */
static int plan_record_same(struct planning *p, const struct finished_entry *e) {
    struct record r = {.ev = EV_SAME, .has = HAS_CRC, .upload = e->upload, .crc = e->crc};
    upload_identity_to_record(&p->identity, &r);
    return ledger_append(p->c, &r, peer_bit(p->peer));
}

/* The recorded source has other attributes now, and its record is to have them. */
static bool plan_is_same(const struct planning *p, const struct finished_entry *e, bool compared) {
    if (e->key != p->finished)
        return false;
    if (finished_differs(e, &p->identity.file))
        return compared;
    return p->file->inodes == INODES_UNSTABLE && e->inode && !p->identity.file.ino;
}

/* Why the producer has to read the file. */
static uint32_t plan_differs(const struct planning *p, const struct finished_entry *e) {
    switch (p->file->compare) {
    case COMPARE_SIZE:
        return 0;
    case COMPARE_CONTENT:
        return DIFFERS_UNREAD;
    case COMPARE_TIMES:
        break;
    }
    return finished_differs(e, &p->identity.file);
}

/* The state has no etags: it is read from the record. p->bitmap keeps it, which a finished file does not need. */
static struct slice plan_read_etag(struct planning *p, const struct finished_entry *e) {
    struct buf line = BUF_INIT, scratch = BUF_INIT;
    struct record r;
    uint64_t next;
    int err = journal_read(p->c->journal, e->seq, 1, &line, &next);
    if (!err)
        err = record_parse(slice_make(line.data, line.len - 1), &r, &scratch);
    if (!err && id_equal(&r.upload, &e->upload) && (r.has & HAS_ETAG))
        err = buf_add_slice(p->bitmap, r.etag);
    buf_release(&scratch);
    buf_release(&line);
    return err ? slice_of(NULL) : buf_slice(p->bitmap);
}

static int plan_answer_finished(struct planning *p, const struct finished_entry *found, struct planned_file *out) {
    struct finished_entry e = *found;                 /* a copy, because appending may move it */
    bool own = id_equal(&e.upload, &p->file->upload); /* compared when it was planned first */
    bool compared = p->file->verified && p->file->crc == e.crc;
    int err = !own && !p->file->ask && plan_is_same(p, &e, compared) ? plan_record_same(p, &e) : 0;
    if (err == ERR_INVALID)
        return plan_refuse(out, "its record cannot be written");
    if (err)
        return err;
    if (!p->file->ask)
        plan_watch_finished(p, &e);
    out->upload = e.upload;
    out->state = PLANNED_DONE;
    out->differs = own || compared ? 0 : plan_differs(p, &e);
    out->crc = out->differs ? e.crc : 0;
    if (p->file->check && !out->differs)
        out->etag = plan_read_etag(p, &e);
    return 0;
}

/* ---- unfinished files ---- */

/* The geometry that the first producer wants counts until the upload is begun. Another producer's
 * counts when the first one left. */
static void plan_set_geometry(struct upload *u, const struct plan_file *file, const struct peer *peer) {
    if (u->begun || (u->shaped && (u->lease_count || (u->producers & ~peer_bit(peer)))))
        return;
    u->put = (file->flags & PLAN_PUT) != 0;
    u->chunk_size = file->chunk_size;
    u->chunks = file->chunks;
    u->grow = file->grow;
    u->shaped = true;
}

/* Without memory for the bitmap the file counts as not planned; the producer repeats the
 * request. */
static void plan_describe_begun(struct planning *p, const struct upload *u, struct planned_file *out) {
    if (upload_add_bitmap(u, p->bitmap)) {
        out->upload = (struct id128){{0}};
        return;
    }
    out->handle = upload_handle(u);
    out->checksum = u->checksum;
    out->done = buf_slice(p->bitmap);
    out->done_bytes = u->done_bytes;
}

static enum planned_state plan_state_of(const struct upload *u) {
    return u->begun ? PLANNED_OPEN : u->opened ? PLANNED_OPENING : PLANNED_NEW;
}

static void plan_describe_superseded(const struct upload *old, struct planned_file *out) {
    out->superseded = old->id;
    out->superseded_handle = upload_handle(old);
    out->superseded_opened = old->opened;
}

static int plan_describe(struct planning *p, struct upload *u, struct planned_file *out) {
    struct upload *old = state_find(&p->c->state, &u->supersedes);
    if (old) { /* its last lease, or the grace period, may be over */
        int err = uploads_settle(p->c, old);
        if (err)
            return err;
        old = state_find(&p->c->state, &u->supersedes);
    }
    out->upload = u->id;
    out->state = plan_state_of(u);
    out->chunk_size = u->chunk_size;
    out->chunks = u->chunks;
    if (u->begun)
        plan_describe_begun(p, u, out);
    if (old)
        plan_describe_superseded(old, out);
    return 0;
}

static void plan_describe_leases(struct planning *p, const struct upload *u, struct planned_file *out) {
    out->leases = u->lease_count ? calloc(u->lease_count, sizeof *out->leases) : NULL;
    for (struct list *n = u->leases.next; out->leases && n != &u->leases; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, of_upload);
        if (out->lease_count == PROTO_LIST_MAX)
            break;
        if (l->lost || l->second)
            continue;
        out->leases[out->lease_count++] =
            (struct job_lease){.ref = l->ref, .remaining_ms = lease_remaining_ms(&p->c->leases, l, p->c->now_ms)};
    }
}

/* With keys, after a restart: the producer of the open upload may not have planned it again yet. */
static bool plan_owner_may_return(const struct planning *p, const struct upload *there) {
    return curve_key_is_set(&p->peer->key) && there->inherited && !there->producers && uploads_may_adopt(p->c);
}

/* The upload that a new one at this destination would wait for. */
static const struct upload *plan_foresee_superseded(const struct planning *p, const struct upload *there) {
    const struct upload *older = there ? state_find(&p->c->state, &there->supersedes) : NULL;
    return older ? older : there;
}

/* The producer only asks. u: the upload that would go on; NULL: a new one would begin. */
static void plan_foresee(struct planning *p, const struct upload *u, const struct upload *there,
                         struct planned_file *out) {
    const struct upload *old = u ? state_find(&p->c->state, &u->supersedes) : plan_foresee_superseded(p, there);
    bool shaped = u && (u->begun || u->shaped);
    out->chunk_size = shaped ? u->chunk_size : p->file->chunk_size;
    out->chunks = shaped ? u->chunks : p->file->chunks;
    if (u) {
        out->upload = u->id;
        out->state = plan_state_of(u);
    }
    if (u && u->begun)
        plan_describe_begun(p, u, out);
    if (old)
        plan_describe_superseded(old, out);
}

/* Leaves out->upload zero when there is no room now; the producer repeats the request. */
static int plan_upload(struct planning *p, const struct upload *asked, struct planned_file *out) {
    struct upload *u = plan_find_unfinished(p, asked);
    const struct upload *there = u ? NULL : state_find_dest(&p->c->state, &p->dest);
    if (there && uploads_is_foreign(p->c, there, p->peer))
        return plan_refuse(out, "a producer with another key uploads to this destination; run again when it has ended, "
                                "or choose another destination");
    if (p->file->ask) {
        plan_foresee(p, u, there, out);
        return 0;
    }
    if (!u && ((there && plan_owner_may_return(p, there)) || !plan_make_room(p)))
        return 0;
    int err = u ? 0 : plan_add_upload(p, &u);
    if (!u)
        return err;
    uploads_add_producer(p->c, u, p->peer);
    u->droppers &= ~peer_bit(p->peer);
    u->failed = 0;
    u->properties = p->file->properties; /* only an upload that has created nothing has others */
    upload_forget_failure(u);
    upload_forget_redos(u);
    plan_set_geometry(u, p->file, p->peer);
    err = plan_describe(p, u, out);
    if (!err)
        plan_describe_leases(p, u, out);
    return err;
}

/* ---- abort and failure ---- */

/* The producer only wants the upload aborted. Not while another producer wants it, which would
 * begin it again. After a restart that one may not be back yet: the producer asks again. */
static int plan_drop(struct planning *p, struct upload *u, struct planned_file *out) {
    if (u && uploads_in_grace(p->c, u))
        return 0;
    out->upload = p->file->upload;
    out->state = PLANNED_DONE;
    if (!u || !u->opened)
        return 0;
    if (!access_may_operate(p->c, &p->peer->key))
        return plan_refuse(out, "this key needs the role 'operator' in the consumer's trust file to have uploads "
                                "aborted");
    if (u->producers & ~peer_bit(p->peer)) {
        u->droppers &= ~peer_bit(p->peer); /* the other one may abort it itself */
        return plan_refuse(out, "is being uploaded");
    }
    uploads_add_producer(p->c, u, p->peer);
    u->droppers |= peer_bit(p->peer);
    u->failed = 0;
    out->state = u->begun ? PLANNED_OPEN : PLANNED_OPENING;
    plan_describe_superseded(u, out);
    return 0;
}

/* A byte takes at most six in a record. */
static_assert(6 * (2 * PROTO_NAME_MAX + PROTO_TEXT_MAX) + 4096 < RECORD_LINE_MAX, "each plan's names fit a line");

/* The producer cannot upload the file. One `fail` record names it in the journal. */
static int plan_record_failed(struct planning *p, struct planned_file *out) {
    const struct plan_file *file = p->file;
    struct record r = {.ev = EV_FAIL, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST, .upload = file->upload};
    r.src = p->identity.src;
    r.dest = p->identity.dest;
    r.class = slice_of(fail_class_name(FAIL_SOURCE));
    r.error = file->error;
    bool known =
        state_find(&p->c->state, &file->upload) || recently_ended_find(&p->c->state.recently_ended, &file->upload);
    (void)plan_refuse(out, "it cannot be uploaded");
    if (known || id_is_zero(&file->upload))
        return 0;
    int err = ledger_append(p->c, &r, peer_bit(p->peer));
    if (!err)
        recently_ended_add(&p->c->state.recently_ended, &file->upload, ENDED_ABORTED, r.seq);
    return err;
}

/* ---- objects that were compared with their records ---- */

static int plan_record_verified(struct planning *p, struct planned_file *out) {
    struct record r = {.ev = EV_VERIFIED, .has = HAS_UPLOAD | HAS_DEST, .upload = p->file->upload};
    r.dest = p->identity.dest;
    r.found = slice_of(finding_name(p->file->found));
    r.how = slice_of(p->file->read ? "read" : "head");
    if (id_is_zero(&r.upload))
        return plan_refuse(out, "the upload that was verified has no id");
    out->upload = r.upload;
    out->state = PLANNED_DONE;
    int err = ledger_append(p->c, &r, 0); /* its producer needs no copy */
    return err == ERR_INVALID ? plan_refuse(out, "its record cannot be written") : err;
}

/* ---- requests ---- */

static const char *plan_file_error(const struct plan_file *file, const struct upload_identity *is) {
    struct geometry g = {
        .size = is->file.size, .chunk_size = file->chunk_size, .chunks = file->chunks, .grow = file->grow};
    const char *error = upload_identity_error(is);
    if (error || (file->flags & PLAN_PUT))
        return error;
    if (file->source.stream)
        g = geometry_open(is->file.size, file->chunk_size, file->chunks, file->grow);
    return g.chunks > 0 && geometry_is_valid(&g) ? NULL : "its chunks do not make up the file";
}

static int plan_one(struct planning *p, struct planned_file *out) {
    const struct plan_file *file = p->file;
    *out = (struct planned_file){.index = file->index, .state = PLANNED_NEW};
    p->identity = (struct upload_identity){.src = file->source.path,
                                           .source = file->source.name,
                                           .dest = file->target.dest,
                                           .endpoint = file->target.endpoint,
                                           .file = file->source.file};
    p->forced = (file->flags & (PLAN_FORCE | PLAN_MISSING)) != 0;
    struct upload *asked = state_find(&p->c->state, &file->upload);
    if (file->drop)
        return plan_drop(p, asked, out);
    if (file->error.len > 0)
        return plan_record_failed(p, out);
    if (file->found)
        return plan_record_verified(p, out);
    if (file->removal)
        return plan_removal(p, out);
    const char *error = plan_file_error(file, &p->identity);
    if (error)
        return plan_refuse(out, error);
    int err = state_fingerprints(&p->c->state, &p->identity, &p->key, &p->dest);
    if (err)
        return err;
    p->finished = finished_key(&p->key, p->identity.file.size);
    if (plan_was_superseded(p, asked)) {
        out->upload = file->upload;
        out->state = PLANNED_SUPERSEDED;
        return 0;
    }
    if (!file->ask && plan_waits_for_removal(p))
        return 0;
    const struct finished_entry *e = plan_find_finished(p);
    return e ? plan_answer_finished(p, e, out) : plan_upload(p, asked, out);
}

static size_t plan_encoded_bytes(const struct planned_file *out) {
    return FILE_BYTES + out->handle.len + out->done.len + out->superseded_handle.len + out->error.len + out->etag.len +
           out->lease_count * LEASE_BYTES;
}

/* As many files as fit a reply, in order. The producer asks again for the rest. The first file that
 * does not fit stays planned. */
static int plan_files(struct consumer *c, struct peer *peer, const struct msg_plan *plan, struct buf *bitmaps,
                      struct msg_planned *out) {
    size_t bytes = 0;
    while (out->file_count < plan->file_count) {
        struct planning p = {
            .c = c, .peer = peer, .file = &plan->files[out->file_count], .bitmap = &bitmaps[out->file_count]};
        struct planned_file *file = &out->files[out->file_count];
        int err = plan_one(&p, file);
        bytes += plan_encoded_bytes(file);
        bool fits = out->file_count == 0 || bytes <= reply_room(c, REPLY_BYTES);
        if (err || !fits) {
            free(file->leases);
            return err;
        }
        out->file_count++;
    }
    return 0;
}

int plan_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    struct msg answer = {.type = MSG_PLANNED, .number = m->number};
    struct planned_file *files = array_zeroed(m->plan.file_count, sizeof *files);
    struct buf *bitmaps = array_zeroed(m->plan.file_count, sizeof *bitmaps);
    int err = 0;
    if (!files || !bitmaps)
        goto out; /* the producer repeats the PLAN */
    answer.planned.files = files;
    err = plan_files(c, peer, &m->plan, bitmaps, &answer.planned);
    answer.planned.seq = journal_seq(c->journal);
    if (!err)
        err = reply_queue(c, &peer->route, &answer);
    FAULT_POINT_IF(!err, plan_judged, "");
out:
    for (size_t i = m->plan.file_count; files && i-- > 0;)
        free(files[i].leases);
    for (size_t i = m->plan.file_count; bitmaps && i-- > 0;)
        buf_release(&bitmaps[i]);
    free(bitmaps);
    free(files);
    return err;
}
