/*
 * COMPLETE: what came of jobs, into records, and the ACK for each.
 *
 * Judged by upload and handle, not by whether the lease is still known (rule 7): a result that arrives late is as good
 * as one in time. With keys, four results need more, because a lie in them harms uploads of others: `put`, `failed`,
 * `redo` and `gone` (rule 15). What is recorded already is acknowledged again without a second record; what cannot
 * count any more is refused. Either ends the resending (rule 8). Every ACK leaves after the commit of the round, so it
 * names only what is on disk.
 */
#include "consumer/consumer_internal.h"
#include "pure/text.h"
#include <stdlib.h>

#define REDOS_MAX 3 /* of one chunk; then the file fails, because its store does not keep what it accepts */

struct verdict_on { /* a result being judged */
    struct consumer *c;
    struct peer *peer;
    const struct result *result;
    struct upload *u; /* NULL: not (any longer) open here */
    uint64_t producers;
    struct ack *ack;
    char **text; /* what ack->handle points to when it is a copy */
};

static int recorded(struct verdict_on *v, uint64_t seq) {
    v->ack->kind = ACK_RECORDED;
    v->ack->seq = seq;
    return 0;
}

static int refused(struct verdict_on *v, enum why why) {
    v->ack->kind = ACK_REFUSED;
    v->ack->why = why;
    core_note_again(v->c, v->producers, v->result->sent_bytes);
    return 0;
}

/* Cannot be judged yet (its producer has to plan it again after a restart): it is sent again until it can. */
static int unanswered(struct verdict_on *v) {
    v->ack->kind = 0;
    return 0;
}

/* Recorded before: what was sent this time was sent in vain. */
static int again(struct verdict_on *v, uint64_t seq) {
    core_note_again(v->c, v->producers, v->result->sent_bytes);
    return recorded(v, seq);
}

static int record(struct verdict_on *v, struct record *r, uint64_t useful_bytes) {
    uint64_t sent = v->result->sent_bytes;
    int rc = core_append(v->c, r, v->u ? core_concerned(v->c, v->u) : v->producers);
    if (rc == ERR_INVALID)
        return refused(v, WHY_JOURNAL);
    if (rc)
        return rc;
    core_note_again(v->c, v->producers, sent > useful_bytes ? sent - useful_bytes : 0);
    if (v->result->outcome == OUTCOME_DONE)
        refusals_forget(&v->c->refusals, &v->result->ref.upload); /* an uploader can do it */
    return recorded(v, r->seq);
}

static bool handle_fits(const struct verdict_on *v) {
    return v->u->begun && slice_equal(upload_handle(v->u), v->result->handle);
}

/* Rule 15. Refusing one that is true costs a repetition, for the next holder finds the same. */
static bool holds_lease(const struct verdict_on *v, const struct ref *ref) {
    if (!curve_key_is_set(&v->peer->key))
        return true;
    const struct lease *l = leases_find_of(&v->c->leases, ref, v->peer);
    return l && !l->lost;
}

/* Rule 15: a put is recorded on its sender's word alone. It counts from the holder, from the last one there was, and in
 * the first lease time after a restart, when nobody knows who that was, from any uploader that no other one excludes.
 */
static bool may_have_put(const struct verdict_on *v) {
    const struct ref *ref = &v->result->ref;
    if (holds_lease(v, ref) || (v->u && id_equal(&v->u->put_holder, &v->peer->incarnation)))
        return true;
    return core_may_adopt(v->c) && !leases_find(&v->c->leases, ref);
}

/* No open upload of this id: it ended, or nobody here ever heard of it. */
static int judge_absent(struct verdict_on *v) {
    const struct ended_entry *ended = ended_find(&v->c->state.ended, &v->result->ref.upload);
    return refused(v, ended ? WHY_ENDED : WHY_UNKNOWN);
}

static void fill_integrity(struct record *r, enum integrity integrity) {
    if (!integrity)
        return;
    r->has |= HAS_INTEGRITY;
    r->integrity = slice_of(integrity_name(integrity));
}

static void fill_result(const struct verdict_on *v, struct record *r) {
    r->has |= HAS_CRC | HAS_MS | HAS_WORKER;
    r->crc = v->result->crc;
    r->ms = v->result->ms;
    r->worker = slice_of(v->peer->worker);
    if (v->result->etag.len) {
        r->has |= HAS_ETAG;
        r->etag = v->result->etag;
    }
    if (v->result->fetched && v->result->ref.kind != JOB_FINISH) {
        r->has |= HAS_VIA;
        r->via = slice_of("fetch");
    }
    fill_integrity(r, v->result->ref.kind == JOB_FINISH ? v->u->integrity : v->result->integrity);
}

/* ---- done ---- */

/* The handle comes back from here in every answer, so it must survive being a line of text. */
static bool handle_is_keepable(struct slice handle) {
    return handle.len > 0 && !memchr(handle.ptr, '\0', handle.len) && utf8_is_valid(handle);
}

static int done_begin(struct verdict_on *v) {
    struct upload *u = v->u;
    if (!u)
        return judge_absent(v);
    if (u->begun) { /* rule 10: the first one counts, a loser aborts its own */
        *v->text = slice_dup(upload_handle(u));
        v->ack->handle = slice_of(*v->text);
        return *v->text ? again(v, u->begin_seq) : unanswered(v);
    }
    if (!u->shaped)
        return unanswered(v);
    struct geometry g = upload_geometry(u);
    if (u->put || g.chunks == 0 || !geometry_is_valid(&g) || !handle_is_keepable(v->result->handle))
        return refused(v, WHY_STALE);
    int rc = v->result->doubt && u->opened && !u->reopened && !upload_is_file(u) ? core_record_open(v->c, u) : 0;
    if (rc)
        return rc == ERR_INVALID ? refused(v, WHY_JOURNAL) : rc;
    struct record r = {.ev = EV_BEGIN, .upload = u->id, .handle = v->result->handle};
    upload_identity_to_record(&u->identity, &r);
    r.has |= HAS_GEOMETRY | HAS_HANDLE;
    r.chunk_size = g.chunk_size;
    r.chunks = g.chunks;
    if (v->result->checksum == CHECKSUM_CRC32C_FULL) {
        r.has |= HAS_CHECKSUM;
        r.checksum = slice_of(CHECKSUM_TEXT);
    }
    rc = record(v, &r, 0);
    if (!rc && v->ack->kind == ACK_RECORDED)
        v->ack->handle = v->result->handle;
    return rc;
}

/* Rule 12: how long such jobs take, everybody and this one. */
#define PACE_WEIGHT 0.25
static void note_pace(const struct verdict_on *v, uint64_t length) {
    const struct lease *l = leases_find_of(&v->c->leases, &v->result->ref, v->peer);
    if (!l || length == 0)
        return;
    uint64_t took_ms = core_time(v->c) - l->granted_ms;
    double now = (double)(took_ms ? took_ms : 1) / (double)length, *mean = &v->peer->ms_per_byte;
    *mean = *mean > 0 ? *mean + PACE_WEIGHT * (now - *mean) : now;
    stragglers_note(&v->c->stragglers, length, took_ms);
}

static int done_chunk(struct verdict_on *v) {
    const struct result *result = v->result;
    uint32_t chunk = result->ref.chunk;
    if (!v->u)
        return judge_absent(v);
    if (!handle_fits(v) || chunk >= v->u->chunks)
        return refused(v, WHY_STALE);
    const struct chunk_info *old = upload_chunk(v->u, chunk);
    if (old)
        return again(v, old->seq);
    struct geometry g = upload_geometry(v->u);
    uint64_t length = geometry_length(&g, chunk);
    if (result->length != length || result->offset != geometry_offset(&g, chunk))
        return refused(v, WHY_STALE);
    struct record r = {.ev = EV_CHUNK, .has = HAS_UPLOAD | HAS_CHUNK, .upload = v->u->id, .chunk = chunk};
    r.offset = result->offset;
    r.length = length;
    fill_result(v, &r);
    note_pace(v, length);
    return record(v, &r, length);
}

/* An upload that ended by finish or put, and this says so again. */
static int again_if_finished(struct verdict_on *v) {
    const struct ended_entry *ended = ended_find(&v->c->state.ended, &v->result->ref.upload);
    return ended && ended->how == ENDED_FINISHED ? again(v, ended->seq) : judge_absent(v);
}

static int done_finish(struct verdict_on *v) {
    const struct result *result = v->result;
    struct upload *u = v->u;
    if (!u)
        return again_if_finished(v);
    if (!handle_fits(v) || u->done_count != u->chunks || (result->size && result->size != u->identity.file.size))
        return refused(v, WHY_STALE);
    struct record r = {.ev = EV_FINISH, .has = HAS_UPLOAD | HAS_DEST, .upload = u->id, .dest = u->identity.dest};
    r.file.size = u->identity.file.size;
    fill_result(v, &r);
    return record(v, &r, 0);
}

static int done_abort(struct verdict_on *v) {
    if (!v->u) {
        const struct ended_entry *ended = ended_find(&v->c->state.ended, &v->result->ref.upload);
        return ended && ended->how != ENDED_FINISHED ? again(v, ended->seq) : judge_absent(v);
    }
    bool looked = !v->u->begun && v->u->opened && v->result->handle.len == 0;
    if (!handle_fits(v) && !looked)
        return refused(v, WHY_STALE);
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = v->u->id};
    r.reason = slice_of(upload_is_superseded(v->u) ? "superseded" : "dropped");
    return record(v, &r, 0);
}

/* What a put's record needs, from the result itself: the consumer may have restarted and know nothing of it. */
static bool put_identity(const struct result *result, struct upload_identity *is) {
    *is = (struct upload_identity){.src = result->source.path,
                                   .source = result->source.name,
                                   .dest = result->target.dest,
                                   .endpoint = result->target.endpoint,
                                   .file = result->source.file};
    return upload_identity_error(is) == NULL;
}

/*
 * A put whose id nobody here knows: its holder outlived a consumer and a producer. The same file may meanwhile have
 * been recorded, or planned anew under another id, and one record is enough (rule 7). kind of the ack stays 0 when this
 * result is to be the one.
 */
static int judge_stray_put(struct verdict_on *v, const struct upload_identity *is) {
    struct state *s = &v->c->state;
    struct id128 key, dest;
    int rc = state_fingerprints(s, is, &key, &dest);
    if (rc)
        return rc;
    const struct finished_entry *finished = finished_find(&s->finished, &dest);
    if (finished && id_equal(&finished->key, &key) && !finished_differs(finished, &is->file))
        return again(v, finished->seq);
    struct upload *planned = state_find_key(s, &key);
    if (planned && (planned->lease_count > 0 || planned->opened))
        return refused(v, WHY_STALE); /* that one is under way */
    if (planned)
        state_remove(s, planned); /* its producer plans again and finds this record */
    return 0;
}

static int done_put(struct verdict_on *v) {
    struct upload_identity is;
    int rc;
    if (!v->u && ended_find(&v->c->state.ended, &v->result->ref.upload))
        return again_if_finished(v);
    if (v->u && v->u->begun)
        return refused(v, WHY_STALE);
    if (!may_have_put(v))
        return v->u ? refused(v, WHY_STALE) : judge_absent(v);
    if (v->u)
        is = v->u->identity;
    else if (!put_identity(v->result, &is))
        return judge_absent(v);
    if (!v->u && ((rc = judge_stray_put(v, &is)) != 0 || v->ack->kind))
        return rc;
    struct record r = {.ev = EV_PUT, .upload = v->result->ref.upload};
    upload_identity_to_record(&is, &r);
    fill_result(v, &r);
    return record(v, &r, is.file.size);
}

static int done_head(struct verdict_on *v) {
    struct event e = {.ref = v->result->ref,
                      .kind = EVENT_CHECKED,
                      .worker = slice_of(v->peer->worker),
                      .exists = v->result->exists,
                      .size = v->result->size};
    core_event(v->c, &e, v->producers);
    return recorded(v, 0);
}

static int judge_done(struct verdict_on *v) {
    switch (v->result->ref.kind) {
    case JOB_BEGIN:
        return done_begin(v);
    case JOB_CHUNK:
        return done_chunk(v);
    case JOB_FINISH:
        return done_finish(v);
    case JOB_ABORT:
        return done_abort(v);
    case JOB_PUT:
        return done_put(v);
    case JOB_STAT:
        return done_head(v);
    }
    return refused(v, WHY_STALE);
}

/* ---- not done ---- */

/* Another uploader may do it (rule 2): its producer offers the job again. */
static int given_back(struct verdict_on *v) {
    const struct result *result = v->result;
    bool of_source = result->class == FAIL_CHANGED || result->class == FAIL_SOURCE;
    struct event e = {.ref = result->ref,
                      .kind = EVENT_RELEASED,
                      .why = of_source ? WHY_NO_SOURCE : WHY_NOT_HERE,
                      .class = result->class ? result->class : FAIL_DEST,
                      .worker = slice_of(v->peer->worker),
                      .detail = result->error};
    struct lease *l = leases_find_of(&v->c->leases, &result->ref, v->peer);
    core_note_again(v->c, v->producers, result->sent_bytes);
    if (l) {
        int rc = core_lease_lost(v->c, l, &e);
        return rc ? rc : recorded(v, 0);
    }
    if (!leases_find(&v->c->leases, &result->ref))
        core_event(v->c, &e, v->producers);
    return recorded(v, 0);
}

/* True: the failure can be this uploader's own, and another one is left that may do the job. */
static bool another_may(struct verdict_on *v) {
    const struct result *result = v->result;
    bool over = true;
    if (!result->own)
        return false;
    enum fail_class class = result->class ? result->class : FAIL_DEST;
    (void)able_refused(v->c, &result->ref.upload, v->u, v->peer, class, result->error, &over);
    return !over;
}

/* Ends nothing: another plan goes on with the chunks that are there. Recorded once for each class, until the upload is
 * planned again. */
static int record_failure(struct verdict_on *v, enum fail_class class, struct slice error) {
    uint64_t seq;
    int rc = core_record_fail(v->c, &v->result->ref.upload, class, error, &seq);
    if (rc == ERR_INVALID)
        return refused(v, WHY_JOURNAL);
    refusals_forget(&v->c->refusals, &v->result->ref.upload);
    return rc ? rc : again(v, seq);
}

static int judge_failed(struct verdict_on *v) {
    if (!v->u && !(v->result->ref.kind == JOB_STAT && ended_find(&v->c->state.ended, &v->result->ref.upload)))
        return judge_absent(v);
    if (!holds_lease(v, &v->result->ref))
        return refused(v, WHY_STALE);
    return another_may(v) ? given_back(v) : record_failure(v, v->result->class, v->result->error);
}

/* The chunk was sent 1 + REDOS_MAX times, and its store still has something else. */
static int fail_redo(struct verdict_on *v) {
    struct buf text = BUF_INIT;
    struct slice words = v->result->error;
    words.len = words.len < ERROR_TEXT_MAX ? words.len : ERROR_TEXT_MAX;
    int err = buf_addf(&text, "chunk %u was sent %d times and the store does not have it: %.*s", v->result->ref.chunk,
                       REDOS_MAX + 1, (int)words.len, words.len ? words.ptr : "");
    int rc = err ? unanswered(v) : record_failure(v, FAIL_DEST, buf_slice(&text));
    buf_release(&text);
    return rc;
}

static int judge_redo(struct verdict_on *v) {
    uint32_t chunk = v->result->ref.chunk;
    if (v->result->ref.kind != JOB_CHUNK || (v->u && (!handle_fits(v) || chunk >= v->u->chunks)))
        return refused(v, WHY_STALE);
    if (!v->u)
        return judge_absent(v);
    const struct chunk_info *old = upload_chunk(v->u, chunk);
    if (!old || (v->result->seq && old->seq != v->result->seq))
        return recorded(v, 0); /* said before, and maybe made good since */
    /* Who finishes it now looks at the parts itself; taken away under its feet, a record would spoil a finish that
     * succeeds. */
    const struct ref finish_ref = {.kind = JOB_FINISH, .upload = v->u->id};
    const struct lease *finish = leases_find(&v->c->leases, &finish_ref);
    if ((finish && finish->peer != v->peer) || !holds_lease(v, &finish_ref))
        return refused(v, WHY_STALE);
    if (upload_redos(v->u, chunk) >= REDOS_MAX)
        return fail_redo(v);
    if (upload_count_redo(v->u, chunk))
        return unanswered(v);
    const struct geometry shape = {
        .size = v->u->identity.file.size, .chunk_size = v->u->chunk_size, .chunks = v->u->chunks};
    core_note_again(v->c, v->u->producers, geometry_length(&shape, chunk));
    struct record r = {.ev = EV_REDO, .has = HAS_UPLOAD | HAS_CHUNK, .upload = v->u->id, .chunk = chunk};
    return record(v, &r, 0);
}

static int judge_gone(struct verdict_on *v) {
    if (!v->u)
        return judge_absent(v);
    if (!handle_fits(v))
        return refused(v, WHY_STALE);
    const struct chunk_info *old = v->result->ref.kind == JOB_CHUNK ? upload_chunk(v->u, v->result->ref.chunk) : NULL;
    if (old)
        return again(v, old->seq); /* a late loser: the object may be complete by now */
    if (!holds_lease(v, &v->result->ref))
        return refused(v, WHY_STALE);
    if (another_may(v))
        return given_back(v);
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = v->u->id};
    r.reason = slice_of(upload_is_superseded(v->u) ? "superseded" : "gone: the store no longer knows it");
    return record(v, &r, 0);
}

/* ---- all ---- */

/* What others hold of it. A chunk's loser is told at once by a BEAT, and stops; until it says so, or its time is over,
 * it may be writing, and rules 9's finish waits for it. */
static int lose_others(struct verdict_on *v) {
    struct leases *t = &v->c->leases;
    struct lease *own = leases_find_of(t, &v->result->ref, v->peer), *l;
    while ((l = own && !own->lost ? leases_twin(t, own) : leases_find(t, &v->result->ref))) {
        if (v->result->ref.kind == JOB_CHUNK) {
            leases_lose(t, l);
            int rc = fleet_tell_lost(v->c, l->peer, &l->ref);
            if (rc)
                return rc;
            continue;
        }
        core_note_again(v->c, v->producers, l->bytes);
        leases_end(t, l);
    }
    return 0;
}

/* The job is over for whoever held it: its holder is done, another one lost it. A `redo`, said again, says nothing
 * about the lease of the chunk's next attempt. */
static int end_leases(struct verdict_on *v) {
    bool settled = v->result->outcome == OUTCOME_DONE || v->result->outcome == OUTCOME_GONE;
    if (v->result->outcome == OUTCOME_REDO)
        return 0;
    bool ended = v->ack->seq || v->result->outcome == OUTCOME_DONE; /* a `gone` that was given back ended nothing */
    int rc = settled && ended && v->ack->kind == ACK_RECORDED ? lose_others(v) : 0;
    struct lease *l = leases_find_of(&v->c->leases, &v->result->ref, v->peer);
    if (!l)
        return rc;
    if (v->ack->kind == ACK_REFUSED && !l->lost) { /* its producer would wait for a record that never comes */
        struct event e = {.ref = l->ref,
                          .kind = EVENT_RELEASED,
                          .why = v->ack->why,
                          .worker = slice_of(v->peer->worker),
                          .second = leases_twin(&v->c->leases, l) != NULL};
        core_event(v->c, &e, v->producers);
    }
    leases_end(&v->c->leases, l);
    return rc;
}

static int judge(struct verdict_on *v) {
    switch (v->result->outcome) {
    case OUTCOME_DONE:
        return judge_done(v);
    case OUTCOME_FAILED:
        return judge_failed(v);
    case OUTCOME_REDO:
        return judge_redo(v);
    case OUTCOME_GONE:
        return judge_gone(v);
    }
    return refused(v, WHY_STALE);
}

static int complete_one(struct consumer *c, struct peer *peer, const struct result *result, struct ack *ack,
                        char **text) {
    struct verdict_on v = {.c = c, .peer = peer, .result = result, .ack = ack, .text = text};
    v.u = state_find(&c->state, &result->ref.upload);
    v.producers = core_producers_of(c, &result->ref.upload);
    *ack = (struct ack){.ref = result->ref, .outcome = result->outcome};
    int rc = judge(&v); /* may end the upload, and its leases with it */
    if (rc)
        return rc;
    if (!ack->kind)
        return 0;
    rc = end_leases(&v);
    if (rc)
        return rc;
    struct upload *u = state_find(&c->state, &result->ref.upload);
    return u ? core_settle(c, u) : 0;
}

int complete_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    const struct msg_complete *all = &m->complete;
    struct ack *acks = calloc(all->result_count + 1, sizeof *acks);
    char **texts = calloc(all->result_count + 1, sizeof *texts);
    size_t count = 0;
    int rc = 0;
    if (!acks || !texts)
        goto out; /* sent again */
    for (size_t i = 0; !rc && i < all->result_count; i++) {
        rc = complete_one(c, peer, &all->results[i], &acks[count], &texts[i]);
        count += acks[count].kind != 0;
    }
    struct msg answer = {.type = MSG_ACK, .number = m->number};
    answer.ack = (struct msg_ack){.acks = acks, .ack_count = count};
    if (!rc)
        rc = core_answer(c, &peer->route, &answer);
out:
    for (size_t i = 0; texts && i < all->result_count; i++)
        free(texts[i]);
    free(texts);
    free(acks);
    return rc;
}
