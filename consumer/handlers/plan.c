/*
 * PLAN: which upload a file is. In this order:
 *
 *   it was superseded already                     SUPERSEDED: its file fails at this producer
 *   its key finished last at its destination      DONE, unless --force or a failed look says otherwise; with what
 *                                                 differs when inode or ctime are not the recorded ones
 *   an unfinished upload with its key, inode and ctime      that one goes on, unless it is spoiled, or failed and
 *                                                           --force or another --chunk-size asks for a new one
 *   anything else                                 a new upload; what is unfinished at the destination is superseded by
 * it
 *
 * A destination has at most one upload that nobody superseded, and that one supersedes at most one: whoever would make
 * the chain longer was never begun, and ends on the spot.
 *
 * PLAN is handled after the commit of the round's results, so that its picture is of committed records; what it appends
 * itself is committed before PLANNED leaves.
 */
#include "consumer/consumer_internal.h"
#include "system/fault.h"
#include "system/log.h"
#include <stdlib.h>

#define FILE_BYTES 160 /* of an encoded planned_file besides its parts, at most */
#define LEASE_BYTES 40

struct question {
    struct consumer *c;
    struct peer *peer;
    const struct plan_file *file;
    struct upload_identity is;
    struct id128 key, place;
    bool forced;        /* --force, or the object is gone */
    struct buf *bitmap; /* what the answer's `done` points to */
};

/* dev is not compared: it does not last beyond one boot. */
static bool is_same_file(const struct question *q, const struct upload *u) {
    struct source_identity planned = u->identity.file;
    if (q->file->inodes != INODES_STABLE || !q->is.file.ino)
        planned.ino = 0;
    return !source_identity_difference(&planned, &q->is.file, false);
}

static int refuse(struct planned_file *out, const char *why) {
    out->state = PLANNED_REFUSED;
    out->error = slice_of(why);
    return 0;
}

/* ---- finished ---- */

/* Who plans a finished upload hears what comes of a look at it. */
static void watch_finished(struct question *q, const struct finished_entry *e) {
    struct ended_entry *ended = ended_find(&q->c->state.ended, &e->upload);
    if (!ended)
        ended = ended_add(&q->c->state.ended, &e->upload, ENDED_FINISHED, e->seq);
    ended->producers |= peer_bit(q->peer);
    ended->failed = 0;
}

static const struct finished_entry *find_finished(const struct question *q) {
    const struct finished_entry *e = finished_find(&q->c->state.finished, &q->place);
    if (!e || !id_equal(&e->key, &q->key))
        return NULL;
    if (!q->forced)
        return e;
    /* With --force, the upload this producer made itself is what it wants. */
    const struct ended_entry *ended = ended_find(&q->c->state.ended, &e->upload);
    bool own = id_equal(&e->upload, &q->file->upload);
    if (own && !(q->file->flags & PLAN_MISSING))
        return e;
    return own && ended && (ended->made_by & peer_bit(q->peer)) ? e : NULL;
}

/* The source is the one that finished, with another inode number or ctime: its producer has read all of it, or saw that
 * inode numbers mean nothing where it is. Recorded, so that nobody has to find it out again. */
static int note_same(struct question *q, const struct finished_entry *e) {
    struct record r = {.ev = EV_SAME, .has = HAS_CRC, .upload = e->upload, .crc = e->crc};
    upload_identity_to_record(&q->is, &r);
    return core_append(q->c, &r, peer_bit(q->peer));
}

static int answer_finished(struct question *q, const struct finished_entry *found, struct planned_file *out) {
    struct finished_entry e = *found;                 /* appending may move it */
    bool own = id_equal(&e.upload, &q->file->upload); /* judged when it was planned first */
    uint32_t differs = own ? 0 : finished_differs(&e, &q->is.file);
    bool same = differs ? q->file->verified && q->file->crc == e.crc
                        : !own && q->file->inodes == INODES_UNSTABLE && e.inode && !q->is.file.ino;
    int rc = same ? note_same(q, &e) : 0;
    if (rc == ERR_INVALID)
        return refuse(out, "its record cannot be written");
    if (rc)
        return rc;
    watch_finished(q, &e);
    out->upload = e.upload;
    out->state = PLANNED_DONE;
    out->differs = same ? 0 : differs;
    out->crc = out->differs ? e.crc : 0;
    return 0;
}

/* ---- unfinished ---- */

/* It failed, nobody else is at it, and this command asks for what going on cannot give: a new start, another size of
 * chunks. */
static bool is_given_up(const struct question *q, const struct upload *u) {
    bool other_size = q->file->resize && u->begun && u->chunk_size != q->file->chunk_size;
    return u->has_failed && (q->forced || other_size) && u->lease_count == 0 && !(u->producers & ~peer_bit(q->peer));
}

static struct upload *find_unfinished(const struct question *q, const struct upload *asked) {
    struct upload *u = state_find_key(&q->c->state, &q->key);
    if (!u || !is_same_file(q, u) || u->spoiled)
        return NULL;
    if (u != asked && !(u->made_by & peer_bit(q->peer)) && is_given_up(q, u))
        return NULL;
    /* --force is about what was finished: what was begun since, by whatever command, goes on. */
    if (q->forced && u != asked && !u->opened && !u->begun && !(u->made_by & peer_bit(q->peer)))
        return NULL;
    return u;
}

/* Something was begun at this destination after the last finish there, or may even have been made without its record:
 * what finished before does not tell what lies there now. */
static bool is_unsettled(const struct question *q) {
    const struct upload *there = state_find_dest(&q->c->state, &q->place);
    return there && (there->opened || there->begun);
}

/* A superseded upload that nobody can be working on and that has no intent ends at once. After an intent something may
 * be at the destination, also without a handle: it ends when somebody has looked (rule 10). */
static bool can_end_now(const struct consumer *c, const struct upload *u) {
    return !u->opened && u->lease_count == 0 && !core_in_grace(c, u);
}

static int supersede(struct question *q, struct id128 *old_id) {
    struct upload *old = state_find_dest(&q->c->state, &q->place);
    if (!old)
        return 0;
    struct upload *older = state_find(&q->c->state, &old->supersedes);
    if (!older && !can_end_now(q->c, old)) {
        *old_id = old->id;
        return 0;
    }
    if (older)
        *old_id = older->id;
    return core_append_abort(q->c, old, "superseded");
}

static bool id_is_free(const struct consumer *c, const struct id128 *id) {
    return !id_is_zero(id) && !state_find(&c->state, id) && !ended_find(&c->state.ended, id);
}

static int make_new(struct question *q, struct upload **out) {
    struct id128 old_id = {{0}}, id = q->file->upload;
    const struct finished_entry *last = finished_find(&q->c->state.finished, &q->place);
    *out = NULL;
    int rc = supersede(q, &old_id);
    if (!rc && (!id_is_free(q->c, &id) || (last && id_equal(&last->upload, &id))))
        rc = id_random(&id);
    if (rc)
        return rc;
    rc = state_add(&q->c->state, &id, &q->is, out);
    if (rc)
        return rc == ERR_NOMEM ? 0 : rc;
    struct upload *u = *out, *old = state_find(&q->c->state, &old_id);
    u->made_by = peer_bit(q->peer);
    plans_add(&q->c->planned, u, q->peer->place);
    u->inherited = id_equal(&u->id, &q->file->upload); /* planned with a consumer before us: somebody may hold it */
    if (old) {
        u->supersedes = old->id;
        old->superseded_by = u->id;
    }
    return 0;
}

/* What its first producer wants counts, until something is begun; another one's wish when that one is gone. */
static void shape(struct upload *u, const struct plan_file *file, const struct peer *peer) {
    if (u->begun || (u->shaped && (u->lease_count || (u->producers & ~peer_bit(peer)))))
        return;
    u->put = (file->flags & PLAN_PUT) != 0;
    u->chunk_size = file->chunk_size;
    u->chunks = file->chunks;
    u->shaped = true;
}

/* ---- the answer ---- */

/* Without memory for the bitmap the file counts as not planned: the producer asks again. */
static void describe_begun(struct question *q, const struct upload *u, struct planned_file *out) {
    if (upload_add_bitmap(u, q->bitmap)) {
        out->upload = (struct id128){{0}};
        return;
    }
    out->handle = upload_handle(u);
    out->checksum = u->checksum;
    out->done = buf_slice(q->bitmap);
    out->done_bytes = u->done_bytes;
}

static int describe(struct question *q, struct upload *u, struct planned_file *out) {
    struct upload *old = state_find(&q->c->state, &u->supersedes);
    if (old) { /* a lease or the grace that stood in the way may be over by now */
        int rc = core_settle(q->c, old);
        if (rc)
            return rc;
        old = state_find(&q->c->state, &u->supersedes);
    }
    out->upload = u->id;
    out->state = u->begun ? PLANNED_OPEN : u->opened ? PLANNED_OPENING : PLANNED_NEW;
    out->chunk_size = u->chunk_size;
    out->chunks = u->chunks;
    if (u->begun)
        describe_begun(q, u, out);
    if (old) {
        out->superseded = old->id;
        out->superseded_handle = upload_handle(old);
        out->superseded_opened = old->opened;
    }
    return 0;
}

/* Its abort is wanted and nothing else. While another producer is at it, that one would only begin again. */
static int plan_drop(struct question *q, struct upload *u, struct planned_file *out) {
    out->upload = q->file->upload;
    out->state = PLANNED_DONE;
    if (!u || !u->opened)
        return 0;
    if (!core_key_may_operate(q->c, &q->peer->key))
        return refuse(out, "this key needs the role 'operator' in the consumer's trust file to have uploads aborted");
    if (u->producers & ~peer_bit(q->peer))
        return refuse(out, "is being uploaded");
    core_own(q->c, u, q->peer);
    u->failed = 0;
    out->state = u->begun ? PLANNED_OPEN : PLANNED_OPENING;
    out->superseded = u->id;
    out->superseded_handle = upload_handle(u);
    out->superseded_opened = true;
    return 0;
}

static int describe_leases(struct question *q, const struct upload *u, struct planned_file *out) {
    out->leases = u->lease_count ? calloc(u->lease_count, sizeof *out->leases) : NULL;
    for (struct list *n = u->leases.next; out->leases && n != &u->leases; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, of_upload);
        if (out->lease_count == PROTO_LIST_MAX)
            break;
        if (l->lost || l->second)
            continue;
        out->leases[out->lease_count++] =
            (struct job_lease){.ref = l->ref, .remaining_ms = lease_remaining_ms(&q->c->leases, l, q->c->now_ms)};
    }
    return 0;
}

static const char *file_error(const struct plan_file *file, const struct upload_identity *is) {
    struct geometry g = {.size = is->file.size, .chunk_size = file->chunk_size, .chunks = file->chunks};
    const char *error = upload_identity_error(is);
    if (error || (file->flags & PLAN_PUT))
        return error;
    return g.chunks > 0 && geometry_is_valid(&g) ? NULL : "its chunks do not make up the file";
}

static bool was_superseded(const struct question *q, const struct upload *asked) {
    if (asked)
        return upload_is_superseded(asked);
    const struct ended_entry *ended = ended_find(&q->c->state.ended, &q->file->upload);
    return ended && ended->how == ENDED_SUPERSEDED;
}

/* The oldest plans of this producer make room for its next one. */
static bool has_room(struct question *q) {
    struct plans *planned = &q->c->planned;
    unsigned place = q->peer->place;
    struct upload *oldest;
    while (!plans_has_room(planned, place, &q->is) && (oldest = plans_oldest_idle(planned, place)))
        state_remove(&q->c->state, oldest);
    return q->c->state.count < UPLOADS_MAX && plans_has_room(planned, place, &q->is);
}

/* With keys, after a restart: the producer of what is open there may not have planned it again yet. */
static bool owner_may_come(const struct question *q, const struct upload *there) {
    return curve_key_is_set(&q->peer->key) && there->inherited && !there->producers && core_may_adopt(q->c);
}

/* Leaves out->upload zero when there is no room now: the producer asks again. */
static int plan_upload(struct question *q, const struct upload *asked, struct planned_file *out) {
    struct upload *u = find_unfinished(q, asked);
    const struct upload *there = u ? NULL : state_find_dest(&q->c->state, &q->place);
    if (there && core_is_anothers(q->c, there, q->peer))
        return refuse(out, "a producer with another key uploads to this destination; run again when it has ended, or "
                           "choose another destination");
    if (!u && ((there && owner_may_come(q, there)) || !has_room(q)))
        return 0;
    int rc = u ? 0 : make_new(q, &u);
    if (rc || !u)
        return rc;
    core_own(q->c, u, q->peer);
    u->failed = 0;
    upload_forget_failure(u);
    upload_forget_redos(u);
    shape(u, q->file, q->peer);
    rc = describe(q, u, out);
    return rc ? rc : describe_leases(q, u, out);
}

/* Its producer cannot even plan it: the journal names it all the same. Once, however often it is asked. */
static int record_failed(struct question *q, struct planned_file *out) {
    const struct plan_file *file = q->file;
    struct record r = {.ev = EV_FAIL, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST, .upload = file->upload};
    r.src = q->is.src;
    r.dest = q->is.dest;
    r.class = slice_of(fail_class_name(FAIL_SOURCE));
    r.error = file->error;
    bool known = state_find(&q->c->state, &file->upload) || ended_find(&q->c->state.ended, &file->upload);
    int rc = known || id_is_zero(&file->upload) ? 0 : core_append(q->c, &r, peer_bit(q->peer));
    if (!rc && r.seq)
        ended_add(&q->c->state.ended, &file->upload, ENDED_ABORTED, r.seq);
    return rc && rc != ERR_INVALID ? rc : refuse(out, "it cannot be uploaded");
}

static int plan_one(struct question *q, struct planned_file *out) {
    const struct plan_file *file = q->file;
    *out = (struct planned_file){.index = file->index, .state = PLANNED_NEW};
    q->is = (struct upload_identity){.src = file->source.path,
                                     .source = file->source.name,
                                     .dest = file->target.dest,
                                     .endpoint = file->target.endpoint,
                                     .file = file->source.file};
    q->forced = (file->flags & (PLAN_FORCE | PLAN_MISSING)) != 0;
    struct upload *asked = state_find(&q->c->state, &file->upload);
    if (file->drop)
        return plan_drop(q, asked, out);
    if (file->error.len > 0)
        return record_failed(q, out);
    const char *error = file_error(file, &q->is);
    if (error)
        return refuse(out, error);
    int rc = state_fingerprints(&q->c->state, &q->is, &q->key, &q->place);
    if (rc)
        return rc;
    if (was_superseded(q, asked)) {
        out->upload = file->upload;
        out->state = PLANNED_SUPERSEDED;
        return 0;
    }
    const struct finished_entry *e = is_unsettled(q) ? NULL : find_finished(q);
    if (!e)
        return plan_upload(q, asked, out);
    return answer_finished(q, e, out);
}

static size_t encoded_size(const struct planned_file *p) {
    return FILE_BYTES + p->handle.len + p->done.len + p->superseded_handle.len + p->error.len +
           p->lease_count * LEASE_BYTES;
}

/* As many files as fit into an answer, in order; the rest is asked again. What is planned for the first file that does
 * not fit stays planned. */
static int plan_files(struct consumer *c, struct peer *peer, const struct msg_plan *plan, struct buf *bitmaps,
                      struct msg_planned *out) {
    size_t bytes = 0;
    while (out->file_count < plan->file_count) {
        struct question q = {
            .c = c, .peer = peer, .file = &plan->files[out->file_count], .bitmap = &bitmaps[out->file_count]};
        struct planned_file *p = &out->files[out->file_count];
        int rc = plan_one(&q, p);
        if (rc) {
            free(p->leases);
            return rc;
        }
        bytes += encoded_size(p);
        if (out->file_count > 0 && bytes > core_room(c, ANSWER_BYTES)) {
            free(p->leases);
            return 0;
        }
        out->file_count++;
    }
    return 0;
}

int plan_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    struct msg answer = {.type = MSG_PLANNED, .number = m->number};
    struct planned_file *files = calloc(m->plan.file_count + 1, sizeof *files);
    struct buf *bitmaps = calloc(m->plan.file_count + 1, sizeof *bitmaps);
    int rc = 0;
    if (!files || !bitmaps)
        goto out; /* asked again */
    answer.planned.files = files;
    rc = plan_files(c, peer, &m->plan, bitmaps, &answer.planned);
    answer.planned.seq = journal_seq(c->journal);
    if (!rc)
        rc = core_answer(c, &peer->route, &answer);
    FAULT_POINT_IF(!rc, plan_judged, "");
out:
    for (size_t i = 0; files && i < answer.planned.file_count; i++)
        free(files[i].leases);
    for (size_t i = 0; bitmaps && i < m->plan.file_count; i++)
        buf_release(&bitmaps[i]);
    free(bitmaps);
    free(files);
    return rc;
}
