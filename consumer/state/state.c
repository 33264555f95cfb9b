#include "consumer/state/state.h"
#include "pure/array.h"
#include "pure/check.h"
#include <stdlib.h>

int state_init(struct state *s) {
    *s = (struct state){0};
    int rc = finished_init(&s->finished);
    if (!rc)
        rc = recently_ended_init(&s->recently_ended);
    if (!rc)
        rc = digest_new(&s->sha, DIGEST_SHA256);
    if (rc)
        state_release(s);
    return rc;
}

void state_release(struct state *s) {
    while (s->count)
        state_remove(s, s->uploads[s->count - 1]);
    free(s->uploads);
    hash_release(&s->by_id);
    hash_release(&s->by_key);
    hash_release(&s->by_dest);
    finished_release(&s->finished);
    recently_ended_release(&s->recently_ended);
    digest_destroy(&s->sha);
    *s = (struct state){0};
}

int state_clear(struct state *s) {
    while (s->count)
        state_remove(s, s->uploads[s->count - 1]);
    recently_ended_clear(&s->recently_ended);
    finished_release(&s->finished);
    return finished_init(&s->finished);
}

/* ---- looking up ---- */

struct upload *state_find(const struct state *s, const struct id128 *id) {
    for (struct hash_node *n = hash_first(&s->by_id, id_hash(id)); n; n = hash_next(n)) {
        struct upload *u = list_entry(n, struct upload, by_id);
        if (id_equal(&u->id, id))
            return u;
    }
    return NULL;
}

struct upload *state_find_key(const struct state *s, const struct id128 *key) {
    for (struct hash_node *n = hash_first(&s->by_key, id_hash(key)); n; n = hash_next(n)) {
        struct upload *u = list_entry(n, struct upload, by_key);
        if (id_equal(&u->key, key) && !upload_is_superseded(u))
            return u;
    }
    return NULL;
}

struct upload *state_find_dest(const struct state *s, const struct id128 *dest) {
    for (struct hash_node *n = hash_first(&s->by_dest, id_hash(dest)); n; n = hash_next(n)) {
        struct upload *u = list_entry(n, struct upload, by_dest);
        if (id_equal(&u->place, dest) && !upload_is_superseded(u))
            return u;
    }
    return NULL;
}

int state_fingerprints(struct state *s, const struct upload_identity *is, struct id128 *key, struct id128 *dest) {
    int rc = fingerprint_key(s->sha, is, key);
    return rc ? rc : fingerprint_dest(s->sha, is->endpoint, is->dest, dest);
}

/* ---- coming and going ---- */

int state_add(struct state *s, const struct id128 *id, const struct upload_identity *is, struct upload **out) {
    struct id128 key, dest;
    *out = NULL;
    CHECK(!state_find(s, id));
    int rc = state_fingerprints(s, is, &key, &dest);
    if (!rc)
        rc = array_grow(&s->uploads, &s->cap, s->count, sizeof *s->uploads);
    if (rc)
        return rc;
    struct upload *u = upload_new(id, is);
    if (!u)
        return ERR_NOMEM;
    u->key = key;
    u->place = dest;
    u->position = s->count;
    s->uploads[s->count++] = u;
    hash_insert(&s->by_id, &u->by_id, id_hash(id));
    hash_insert(&s->by_key, &u->by_key, id_hash(&key));
    hash_insert(&s->by_dest, &u->by_dest, id_hash(&dest));
    *out = u;
    return 0;
}

/* An upload that waits for this one, or that this one waits for, need wait no longer. */
static void unlink_superseding(struct state *s, struct upload *u) {
    struct upload *other = state_find(s, &u->superseded_by);
    if (other && id_equal(&other->supersedes, &u->id))
        other->supersedes = (struct id128){{0}};
    other = state_find(s, &u->supersedes);
    if (other && id_equal(&other->superseded_by, &u->id))
        other->superseded_by = (struct id128){{0}};
}

static void take_out(struct state *s, struct upload *u, struct ended_upload *ended) {
    if (ended) {
        ended->producers = u->producers;
        ended->made_by = u->made_by;
        ended->failed = u->failed;
    }
    if (s->leaving)
        s->leaving(s->arg, u, ended);
    unlink_superseding(s, u);
    hash_remove(&s->by_id, &u->by_id);
    hash_remove(&s->by_key, &u->by_key);
    hash_remove(&s->by_dest, &u->by_dest);
    s->uploads[u->position] = s->uploads[--s->count];
    s->uploads[u->position]->position = u->position;
    upload_destroy(&u);
}

void state_remove(struct state *s, struct upload *u) {
    take_out(s, u, NULL);
}

/* ---- records ---- */

static int find_or_add(struct state *s, const struct record *r, struct upload **u) {
    *u = state_find(s, &r->upload);
    if (*u)
        return 0;
    struct upload_identity is;
    upload_identity_from_record(r, &is);
    return state_add(s, &r->upload, &is, u);
}

/* When it happened first: what is carried says so, for it is later itself. */
static int64_t since_us(const struct record *r) {
    return r->has & HAS_SINCE ? r->since_ns / 1000 : r->ts_us;
}

static int apply_open(struct state *s, const struct record *r) {
    struct upload *u;
    int rc = find_or_add(s, r, &u);
    if (!rc && !u->opened) {
        u->opened = true;
        u->open_us = since_us(r);
        u->open_seq = r->seq;
    } else if (!rc && r->ev == EV_OPEN && !u->begun) {
        u->reopened = true;
    }
    if (!rc && (r->has & HAS_OPENS) && r->opens > 1)
        u->reopened = true;
    return rc;
}

static int apply_begin(struct state *s, const struct record *r) {
    struct upload *u;
    int rc = apply_open(s, r);
    if (!rc)
        rc = find_or_add(s, r, &u);
    if (rc)
        return rc;
    bool checked = (r->has & HAS_CHECKSUM) && slice_equal(r->checksum, slice_of(CHECKSUM_TEXT));
    rc = upload_begin(u, r->handle, checked ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE, r->chunk_size, r->chunks);
    if (rc == 0) {
        u->begin_seq = r->seq;
        u->open_us = u->reopened ? u->open_us : since_us(r);
    }
    return rc == ERR_INVALID ? 0 : rc;
}

static int apply_chunk(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (!u)
        return 0;
    upload_note_integrity(u, r->chunk, r->has & HAS_INTEGRITY ? integrity_from_name(r->integrity) : INTEGRITY_UNKNOWN);
    int rc = upload_set_chunk(u, r->chunk, r->crc, r->has & HAS_ETAG ? r->etag : slice_of(""), r->seq);
    return rc == ERR_INVALID ? 0 : rc;
}

static void end_upload(struct state *s, const struct id128 *id, enum ended_how how, uint64_t seq) {
    struct upload *u = state_find(s, id);
    struct ended_upload *ended = recently_ended_add(&s->recently_ended, id, how, seq);
    if (u)
        take_out(s, u, ended);
}

static int apply_finish(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (!u) { /* its beginning was dropped: a carry follows, or it is to be forgotten */
        end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
        return 0;
    }
    struct finished_entry e = {.dest = u->place, .key = u->key, .upload = u->id, .seq = r->seq, .crc = r->crc};
    finished_identify(&e, &u->identity.file);
    int rc = finished_put(&s->finished, &e);
    if (!rc)
        end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
    return rc;
}

/* Of a put, of a finished upload carried over, of a source found to be the same: the record has the whole identity. */
static int entry_of_record(struct state *s, const struct record *r, struct finished_entry *e) {
    struct upload_identity is;
    *e = (struct finished_entry){.upload = r->upload, .seq = r->seq, .crc = r->crc};
    upload_identity_from_record(r, &is);
    finished_identify(e, &is.file);
    return state_fingerprints(s, &is, &e->key, &e->dest);
}

static int apply_same(struct state *s, const struct record *r) {
    struct finished_entry e;
    int rc = entry_of_record(s, r, &e);
    if (!rc)
        finished_update(&s->finished, &e);
    return rc;
}

static int apply_put(struct state *s, const struct record *r) {
    struct finished_entry e;
    int rc = entry_of_record(s, r, &e);
    if (!rc)
        rc = finished_put(&s->finished, &e);
    if (!rc)
        end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
    return rc;
}

static int apply_abort(struct state *s, const struct record *r) {
    bool superseded = slice_equal(r->reason, slice_of(RECORD_SUPERSEDED));
    end_upload(s, &r->upload, superseded ? ENDED_SUPERSEDED : ENDED_ABORTED, r->seq);
    return 0;
}

/*
 * What is carried stands at its new place from here on. So a state that saw the first record as well is the same as
 * one that did not, and `drop` can tell by the seq alone what was not carried.
 */
static int apply_carried_upload(struct state *s, const struct record *r) {
    bool begun = (r->has & HAS_HANDLE) && (r->has & HAS_GEOMETRY);
    struct upload *u = state_find(s, &r->upload);
    if (!u || (begun && !u->begun))
        return begun ? apply_begin(s, r) : apply_open(s, r);
    u->open_seq = r->seq;
    if (begun)
        u->begin_seq = r->seq;
    if ((r->has & HAS_OPENS) && r->opens > 1) { /* the first of them may have stood in a file that is gone */
        u->reopened = true;
        u->open_us = since_us(r);
    }
    return 0;
}

static int apply_carried_chunk(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (!u || !upload_has_chunk(u, r->chunk))
        return apply_chunk(s, r);
    upload_move_chunk(u, r->chunk, r->seq);
    return 0;
}

/* What is said again counts once. That it ended long ago is nothing that anybody could still ask about. */
static int apply_carried_finish(struct state *s, const struct record *r) {
    struct finished_entry e;
    int rc = entry_of_record(s, r, &e);
    const struct finished_entry *old = rc ? NULL : finished_find(&s->finished, &e.dest);
    if (old && id_equal(&old->upload, &r->upload))
        finished_move(&s->finished, &e.dest, &r->upload, r->seq);
    else if (!rc)
        rc = finished_put(&s->finished, &e);
    struct upload *u = rc ? NULL : state_find(s, &r->upload);
    if (u)
        end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
    return rc;
}

static int apply_carry(struct state *s, const struct record *r) {
    if (slice_equal(r->kind, slice_of("chunk")))
        return apply_carried_chunk(s, r);
    if (slice_equal(r->kind, slice_of("finished")))
        return apply_carried_finish(s, r);
    return slice_equal(r->kind, slice_of("upload")) ? apply_carried_upload(s, r) : 0;
}

/* What stood in the dropped file alone is known no more; unfinished uploads are never among that. */
static int apply_drop(struct state *s, const struct record *r) {
    recently_ended_drop(&s->recently_ended, r->to);
    return finished_drop(&s->finished, r->to);
}

static int apply_forget(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (u)
        state_remove(s, u);
    return finished_forget(&s->finished, &r->upload);
}

/* Ends nothing: the next plan goes on with what is there, unless that would fail again. A planned upload without an
 * intent left nothing that could be spoiled; only a changed source makes another upload of it. */
static void apply_fail(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    enum fail_class class = fail_class_from_name(r->class);
    if (!u)
        return;
    upload_note_failure(u, r->class, r->error);
    u->has_failed = true;
    u->spoiled |= class == FAIL_CHANGED || (u->opened && fail_class_spoils(class));
}

int state_apply(struct state *s, const struct record *r) {
    struct upload *u;
    switch (r->ev) {
    case EV_OPEN:
        return apply_open(s, r);
    case EV_BEGIN:
        return apply_begin(s, r);
    case EV_CHUNK:
        return apply_chunk(s, r);
    case EV_REDO:
        u = state_find(s, &r->upload);
        if (u)
            upload_clear_chunk(u, r->chunk);
        return 0;
    case EV_FINISH:
        return apply_finish(s, r);
    case EV_PUT:
        return apply_put(s, r);
    case EV_ABORT:
        return apply_abort(s, r);
    case EV_CARRY:
        return apply_carry(s, r);
    case EV_DROP:
        return apply_drop(s, r);
    case EV_FORGET:
        return apply_forget(s, r);
    case EV_SAME:
        return apply_same(s, r);
    case EV_FAIL:
        apply_fail(s, r);
        return 0;
    default:
        return 0;
    }
}
