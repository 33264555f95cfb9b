/*
 * COMPLETE with an outcome other than `done`. A failure that may be the uploader's own is given
 * back to its producer while another uploader is eligible (rule 2). Otherwise it becomes a record.
 */
#include "consumer/handlers/complete_internal.h"
#include "consumer/jobs/eligible.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include <sys/param.h>

#define REDOS_MAX 3 /* of one chunk; one more and the file fails, because its store loses accepted chunks */

static enum fail_class complete_class_of(const struct result *result) {
    return result->class ? result->class : FAIL_DEST;
}

/* Another uploader may do it (rule 2): the producer offers the job again. */
static int complete_give_back(struct completion *v) {
    const struct result *result = v->result;
    bool of_source = result->class == FAIL_CHANGED || result->class == FAIL_SOURCE;
    struct event e = {.ref = result->ref,
                      .kind = EVENT_RELEASED,
                      .why = of_source ? WHY_NO_SOURCE : WHY_NOT_HERE,
                      .class = complete_class_of(result),
                      .worker = slice_of(v->peer->worker),
                      .detail = result->error};
    struct lease *l = leases_find_of(&v->c->leases, &result->ref, v->peer);
    producer_stats_note_resent(v->c->stats, v->producers, result->sent_bytes);
    if (l) {
        int err = uploads_end_lease(v->c, l, &e);
        return err ? err : completion_recorded(v, 0);
    }
    if (!leases_find(&v->c->leases, &result->ref))
        reply_event(v->c, &e, v->producers);
    return completion_recorded(v, 0);
}

/* The failure can be this uploader's own, and another uploader is eligible. */
static bool complete_another_may(struct completion *v) {
    const struct result *result = v->result;
    bool over = true;
    if (!result->own)
        return false;
    (void)eligible_refuse(&v->c->refusals, &v->c->peers, &result->ref.upload, v->u, v->peer, complete_class_of(result),
                          result->error, consumer_time(v->c), &over);
    return !over;
}

/* The upload stays open: the next plan goes on with its recorded chunks. */
static int complete_record_fail(struct completion *v, enum fail_class class, struct slice error) {
    uint64_t seq;
    int err = ledger_append_fail(v->c, &v->result->ref.upload, class, error, &seq);
    if (err == ERR_INVALID)
        return completion_refused(v, WHY_JOURNAL);
    refusals_forget(&v->c->refusals, &v->result->ref.upload);
    return err ? err : completion_repeated(v, seq);
}

/* No record: a question changes nothing. Its producer gets the reason. */
static int complete_question_failed(struct completion *v) {
    const struct result *r = v->result;
    struct event e = {.ref = r->ref,
                      .kind = EVENT_CHECKED,
                      .class = complete_class_of(r),
                      .worker = slice_of(v->peer->worker),
                      .detail = r->error};
    if (completion_end_question(v))
        return completion_unanswered(v);
    reply_event(v->c, &e, v->producers);
    return completion_recorded(v, 0);
}

int complete_failed(struct completion *v) {
    const struct ref *ref = &v->result->ref;
    bool asks = job_kind_asks(ref->kind);
    bool of_ended = ref->kind == JOB_STAT && recently_ended_find(&v->c->state.recently_ended, &ref->upload);
    if (!v->u && !of_ended && !asks)
        return completion_absent(v);
    if (!completion_has_lease(v, ref))
        return completion_refused(v, WHY_STALE);
    if (complete_another_may(v))
        return complete_give_back(v);
    if (asks)
        return complete_question_failed(v);
    return complete_record_fail(v, v->result->class, v->result->error);
}

/* ---- redo ---- */

static int complete_fail_redo(struct completion *v) {
    struct buf text = BUF_INIT;
    struct slice error = v->result->error;
    error.len = MIN(error.len, ERROR_TEXT_MAX);
    int err = buf_addf(&text, "chunk %u was sent %d times and the store does not have it: %.*s", v->result->ref.chunk,
                       REDOS_MAX + 1, (int)error.len, error.len ? error.ptr : "");
    err = err ? completion_unanswered(v) : complete_record_fail(v, FAIL_DEST, buf_slice(&text));
    buf_release(&text);
    return err;
}

/* Only the holder of `finish` compared the parts with the records. A chunk that is revoked while
 * another peer finishes would spoil a finish that succeeds. */
static bool complete_may_redo(const struct completion *v) {
    const struct ref ref = {.kind = JOB_FINISH, .upload = v->u->id};
    const struct lease *finish = leases_find(&v->c->leases, &ref);
    return (!finish || finish->peer == v->peer) && completion_has_lease(v, &ref);
}

int complete_redo(struct completion *v) {
    uint32_t chunk = v->result->ref.chunk;
    if (v->result->ref.kind != JOB_CHUNK)
        return completion_refused(v, WHY_STALE);
    if (!v->u)
        return completion_absent(v);
    if (!completion_handle_fits(v) || chunk >= v->u->chunks)
        return completion_refused(v, WHY_STALE);
    const struct chunk_info *old = upload_chunk(v->u, chunk);
    if (!old || (v->result->seq && old->seq != v->result->seq))
        return completion_recorded(v, 0); /* repeated; the chunk may be recorded again since */
    if (!complete_may_redo(v))
        return completion_refused(v, WHY_STALE);
    if (upload_redos(v->u, chunk) >= REDOS_MAX)
        return complete_fail_redo(v);
    if (upload_count_redo(v->u, chunk))
        return completion_unanswered(v);
    const struct geometry g = upload_geometry(v->u);
    producer_stats_note_resent(v->c->stats, v->u->producers, geometry_length(&g, chunk));
    struct record r = {.ev = EV_REDO, .has = HAS_UPLOAD | HAS_CHUNK, .upload = v->u->id, .chunk = chunk};
    return completion_append(v, &r, 0);
}

/* ---- gone ---- */

int complete_gone(struct completion *v) {
    const struct ref *ref = &v->result->ref;
    if (!v->u)
        return completion_absent(v);
    if (!completion_handle_fits(v))
        return completion_refused(v, WHY_STALE);
    const struct chunk_info *old = ref->kind == JOB_CHUNK ? upload_chunk(v->u, ref->chunk) : NULL;
    if (old)
        return completion_repeated(v, old->seq); /* the second holder of a recorded chunk; the object may be complete */
    if (!completion_has_lease(v, ref))
        return completion_refused(v, WHY_STALE);
    if (complete_another_may(v))
        return complete_give_back(v);
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = v->u->id};
    r.reason = slice_of(upload_is_superseded(v->u) ? RECORD_SUPERSEDED : "gone: the store no longer knows it");
    return completion_append(v, &r, 0);
}
