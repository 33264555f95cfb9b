/* COMPLETE with the outcome `done`: one function for each kind of job. */
#include "consumer/handlers/complete_internal.h"
#include "consumer/jobs/hedge.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/text.h"

static void complete_fill_integrity(struct record *r, enum integrity integrity) {
    if (!integrity)
        return;
    r->has |= HAS_INTEGRITY;
    r->integrity = slice_of(integrity_name(integrity));
}

static void complete_fill_record(const struct completion *v, struct record *r) {
    bool finish = v->result->ref.kind == JOB_FINISH;
    r->has |= HAS_CRC | HAS_MS | HAS_WORKER;
    r->crc = v->result->crc;
    r->ms = v->result->ms;
    r->worker = slice_of(v->peer->worker);
    if (v->result->etag.len) {
        r->has |= HAS_ETAG;
        r->etag = v->result->etag;
    }
    if (v->result->fetched && !finish) {
        r->has |= HAS_VIA;
        r->via = slice_of("fetch");
    }
    complete_fill_integrity(r, finish ? v->u->integrity : v->result->integrity);
}

/* ---- begin ---- */

/* Handles are written to the journal as text and sent to uploaders. No text of a message has a NUL. */
static bool complete_handle_is_text(struct slice handle) {
    return handle.len > 0 && utf8_is_valid(handle);
}

static int complete_record_begin(struct completion *v, const struct geometry *g) {
    struct record r = {.ev = EV_BEGIN, .upload = v->u->id, .handle = v->result->handle};
    upload_to_record(v->u, &r);
    r.has |= HAS_GEOMETRY | HAS_HANDLE;
    r.chunk_size = g->chunk_size;
    r.chunks = g->chunks;
    if (g->grow) {
        r.has |= HAS_GROW;
        r.grow = g->grow;
    }
    if (v->result->checksum == CHECKSUM_CRC32C_FULL) {
        r.has |= HAS_CHECKSUM;
        r.checksum = slice_of(CHECKSUM_TEXT);
    }
    int err = completion_append(v, &r, 0);
    if (!err && v->ack->kind == ACK_RECORDED)
        v->ack->handle = v->result->handle;
    return err;
}

static int complete_done_begin(struct completion *v) {
    struct upload *u = v->u;
    if (!u)
        return completion_absent(v);
    if (u->begun) { /* rule 10: the first one counts; the sender aborts its own */
        *v->text = slice_dup(upload_handle(u));
        v->ack->handle = slice_of(*v->text);
        return *v->text ? completion_repeated(v, u->begin_seq) : completion_unanswered(v);
    }
    if (!u->shaped)
        return completion_unanswered(v);
    struct geometry g = upload_geometry(u);
    if (u->put || g.chunks == 0 || !geometry_is_valid(&g) || !complete_handle_is_text(v->result->handle))
        return completion_refused(v, WHY_STALE);
    bool second_intent = v->result->doubt && u->opened && !u->reopened && !upload_is_file(u);
    int err = second_intent ? ledger_append_open(v->c, u) : 0;
    if (err)
        return err == ERR_INVALID ? completion_refused(v, WHY_JOURNAL) : err;
    return complete_record_begin(v, &g);
}

/* ---- chunk ---- */

/* With the last chunk of a stream, that of the whole input. Without chunks: the end does not fit the other chunks. */
static struct geometry complete_chunk_geometry(const struct completion *v) {
    struct geometry open = upload_geometry(v->u), g;
    uint32_t chunk = v->result->ref.chunk, later = chunk + 1;
    if (!v->result->total || !upload_is_open_ended(v->u))
        return open;
    if (upload_next_chunk(v->u, &later) || geometry_end(&open, chunk, v->result->total, &g))
        g = (struct geometry){.size = 0};
    return g;
}

static int complete_done_chunk(struct completion *v) {
    const struct result *result = v->result;
    uint32_t chunk = result->ref.chunk;
    if (!v->u)
        return completion_absent(v);
    if (!completion_handle_fits(v) || chunk >= v->u->chunks)
        return completion_refused(v, WHY_STALE);
    const struct chunk_info *old = upload_chunk(v->u, chunk);
    if (old)
        return completion_repeated(v, old->seq);
    struct geometry g = complete_chunk_geometry(v);
    if (chunk >= g.chunks)
        return completion_refused(v, WHY_STALE);
    uint64_t length = geometry_length(&g, chunk);
    if (result->length != length || result->offset != geometry_offset(&g, chunk))
        return completion_refused(v, WHY_STALE);
    struct record r = {.ev = EV_CHUNK, .has = HAS_UPLOAD | HAS_CHUNK, .upload = v->u->id, .chunk = chunk};
    r.offset = result->offset;
    r.length = length;
    if (upload_is_open_ended(v->u) && result->total) {
        r.has |= HAS_TOTAL;
        r.total = g.size;
    }
    complete_fill_record(v, &r);
    const struct lease *l = leases_find_of(&v->c->leases, &result->ref, v->peer);
    if (l)
        hedge_note_result(&v->c->leases, &v->c->stragglers, l, length, v->c->now_ms);
    return completion_append(v, &r, length);
}

/* ---- finish and abort ---- */

static const struct ended_upload *complete_find_ended(const struct completion *v) {
    return recently_ended_find(&v->c->state.recently_ended, &v->result->ref.upload);
}

/* The upload is not open: a repeated result when it ended by finish or put. */
static int complete_repeated_finish(struct completion *v) {
    const struct ended_upload *ended = complete_find_ended(v);
    return ended && ended->how == ENDED_FINISHED ? completion_repeated(v, ended->seq) : completion_absent(v);
}

/* The result came after the lease, and the removal of the object at its destination began since, or was interrupted: the new
 * object may be removed too, or at any moment. The job is done again. */
static bool complete_is_undone(const struct completion *v) {
    const struct finished_entry *there = finished_find(&v->c->state.finished, finished_short(&v->u->dest_key));
    return there && there->deleting && !leases_find_of(&v->c->leases, &v->result->ref, v->peer);
}

static int complete_done_finish(struct completion *v) {
    const struct result *result = v->result;
    struct upload *u = v->u;
    if (!u)
        return complete_repeated_finish(v);
    if (!completion_handle_fits(v) || u->done_count != u->chunks || upload_is_open_ended(u) ||
        (result->size && result->size != upload_size(u)) || complete_is_undone(v))
        return completion_refused(v, WHY_STALE);
    struct record r = {.ev = EV_FINISH, .has = HAS_UPLOAD | HAS_DEST, .upload = u->id, .dest = u->identity.dest};
    r.file.size = upload_size(u);
    complete_fill_record(v, &r);
    return completion_append(v, &r, 0);
}

static int complete_done_abort(struct completion *v) {
    if (!v->u) {
        const struct ended_upload *ended = complete_find_ended(v);
        return ended && ended->how != ENDED_FINISHED ? completion_repeated(v, ended->seq) : completion_absent(v);
    }
    bool without_handle = !v->u->begun && v->u->opened && v->result->handle.len == 0;
    if (!completion_handle_fits(v) && !without_handle)
        return completion_refused(v, WHY_STALE);
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = v->u->id};
    r.reason = slice_of(upload_is_superseded(v->u) ? RECORD_SUPERSEDED : "dropped");
    return completion_append(v, &r, 0);
}

/* ---- put ---- */

/* Rule 15: a put is recorded on its sender's word alone. It counts from its holder, also a former
 * one. In the first lease time after a restart the holder is not known; then it counts from any
 * uploader while no other one holds it. */
static bool complete_may_put(const struct completion *v) {
    const struct ref *ref = &v->result->ref;
    if (completion_has_lease(v, ref) || (v->u && id_equal(&v->u->put_holder, &v->peer->incarnation)))
        return true;
    return uploads_may_adopt(v->c) && !leases_find(&v->c->leases, ref);
}

/* The identity for a put's record, from the result itself. */
static bool complete_put_identity(const struct result *result, struct upload_identity *is) {
    *is = (struct upload_identity){.src = result->source.path,
                                   .source = result->source.name,
                                   .dest = result->target.dest,
                                   .endpoint = result->target.endpoint,
                                   .file = result->source.file};
    return upload_identity_error(is) == NULL;
}

/*
 * A put with an unknown id: its holder outlived a consumer and a producer. The same file may have
 * been recorded since, or planned again under another id. One record is enough (rule 7). The kind
 * of the ack stays 0 when this result must be recorded.
 */
static int complete_judge_stray_put(struct completion *v, const struct upload_identity *is) {
    struct state *s = &v->c->state;
    struct id128 key, dest;
    int err = state_fingerprints(s, is, &key, &dest);
    if (err)
        return err;
    const struct finished_entry *finished = finished_find(&s->finished, finished_short(&dest));
    if (finished && finished->deleting)
        return completion_refused(v, WHY_STALE); /* as complete_is_undone */
    if (finished && finished->key == finished_key(&key, is->file.size) && !finished_differs(finished, &is->file))
        return completion_repeated(v, finished->seq);
    struct upload *planned = state_find_key(s, &key);
    if (planned && (planned->lease_count > 0 || planned->opened))
        return completion_refused(v, WHY_STALE); /* the planned one is under way */
    if (planned && !id_equal(&planned->properties, &v->result->properties))
        return completion_refused(v, WHY_STALE); /* the planned one is another object */
    if (planned)
        state_remove(s, planned); /* its producer plans again and finds this record */
    return 0;
}

static int complete_done_put(struct completion *v) {
    struct upload_identity is;
    if (!v->u && complete_find_ended(v))
        return complete_repeated_finish(v);
    if (v->u && (v->u->begun || complete_is_undone(v)))
        return completion_refused(v, WHY_STALE);
    if (!complete_may_put(v))
        return v->u ? completion_refused(v, WHY_STALE) : completion_absent(v);
    if (v->u) {
        is = v->u->identity;
    } else {
        if (!complete_put_identity(v->result, &is))
            return completion_absent(v);
        int err = complete_judge_stray_put(v, &is);
        if (err || v->ack->kind)
            return err;
    }
    struct record r = {.ev = EV_PUT, .upload = v->result->ref.upload};
    upload_identity_to_record(&is, &r);
    complete_fill_record(v, &r);
    return completion_append(v, &r, is.file.size);
}

/* ---- stat, and questions ---- */

static int complete_done_stat(struct completion *v) {
    struct event e = {.ref = v->result->ref,
                      .kind = EVENT_CHECKED,
                      .worker = slice_of(v->peer->worker),
                      .exists = v->result->exists,
                      .size = v->result->size,
                      .etag = v->result->etag};
    reply_event(v->c, &e, v->producers);
    return completion_recorded(v, 0);
}

/* The answer to a question. Its producer compares it. */
static int complete_done_question(struct completion *v) {
    const struct result *r = v->result;
    if (!completion_has_lease(v, &r->ref))
        return completion_refused(v, WHY_STALE);
    struct event e = {.ref = r->ref,
                      .kind = EVENT_CHECKED,
                      .worker = slice_of(v->peer->worker),
                      .exists = r->exists,
                      .size = r->size,
                      .etag = r->etag,
                      .owner = r->owner,
                      .has_crc = r->has_crc,
                      .crc = r->crc,
                      .listing = r->listing};
    if (completion_end_question(v))
        return completion_unanswered(v);
    reply_event(v->c, &e, v->producers);
    return completion_recorded(v, 0);
}

int complete_done(struct completion *v) {
    switch (v->result->ref.kind) {
    case JOB_BEGIN:
        return complete_done_begin(v);
    case JOB_CHUNK:
        return complete_done_chunk(v);
    case JOB_FINISH:
        return complete_done_finish(v);
    case JOB_ABORT:
        return complete_done_abort(v);
    case JOB_PUT:
        return complete_done_put(v);
    case JOB_STAT:
        return complete_done_stat(v);
    case JOB_HEAD:
    case JOB_READ:
    case JOB_LIST:
    case JOB_DISCARD:
    case JOB_DELETE:
        return complete_done_question(v);
    }
    return completion_refused(v, WHY_STALE);
}
