#include "consumer/state/state.h"
#include "pure/array.h"
#include "pure/check.h"
#include <stdlib.h>

int state_init(struct state *s) {
    *s = (struct state){0};
    int err = finished_init(&s->finished);
    if (!err)
        err = recently_ended_init(&s->recently_ended);
    if (!err)
        err = digest_new(&s->sha, DIGEST_SHA256);
    if (err)
        state_release(s);
    return err;
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

/* ---- lookup ---- */

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
        if (id_equal(&u->dest_key, dest) && !upload_is_superseded(u))
            return u;
    }
    return NULL;
}

int state_fingerprints(struct state *s, const struct upload_identity *is, struct id128 *key, struct id128 *dest) {
    int err = fingerprint_key(s->sha, is, key);
    return err ? err : fingerprint_dest(s->sha, is->endpoint, is->dest, dest);
}

/* ---- add and remove ---- */

int state_add(struct state *s, const struct id128 *id, const struct upload_identity *is, struct upload **out) {
    struct id128 key, dest;
    *out = NULL;
    CHECK(!state_find(s, id));
    int err = state_fingerprints(s, is, &key, &dest);
    if (!err)
        err = array_grow(&s->uploads, &s->cap, s->count, sizeof *s->uploads);
    if (err)
        return err;
    struct upload *u = upload_new(id, is);
    if (!u)
        return ERR_NOMEM;
    u->key = key;
    u->dest_key = dest;
    u->position = s->count;
    s->uploads[s->count++] = u;
    hash_insert(&s->by_id, &u->by_id, id_hash(id));
    hash_insert(&s->by_key, &u->by_key, id_hash(&key));
    hash_insert(&s->by_dest, &u->by_dest, id_hash(&dest));
    *out = u;
    return 0;
}

/* An upload that waits for this one no longer waits, and the reverse. */
static void state_unlink_superseding(struct state *s, struct upload *u) {
    struct upload *other = state_find(s, &u->superseded_by);
    if (other && id_equal(&other->supersedes, &u->id))
        other->supersedes = (struct id128){{0}};
    other = state_find(s, &u->supersedes);
    if (other && id_equal(&other->superseded_by, &u->id))
        other->superseded_by = (struct id128){{0}};
}

static void state_take_out(struct state *s, struct upload *u, struct ended_upload *ended) {
    if (ended) {
        ended->producers = u->producers;
        ended->made_by = u->made_by;
        ended->failed = u->failed;
    }
    if (s->leaving)
        s->leaving(s->arg, u, ended);
    state_unlink_superseding(s, u);
    hash_remove(&s->by_id, &u->by_id);
    hash_remove(&s->by_key, &u->by_key);
    hash_remove(&s->by_dest, &u->by_dest);
    s->uploads[u->position] = s->uploads[--s->count];
    s->uploads[u->position]->position = u->position;
    upload_destroy(&u);
}

void state_remove(struct state *s, struct upload *u) {
    state_take_out(s, u, NULL);
}

/* ---- records ---- */

static int state_find_or_add(struct state *s, const struct record *r, struct upload **u) {
    *u = state_find(s, &r->upload);
    if (*u)
        return 0;
    struct upload_identity is;
    upload_identity_from_record(r, &is);
    int err = state_add(s, &r->upload, &is, u);
    if (!err && (r->has & HAS_PROPERTIES))
        (*u)->properties = r->properties;
    return err;
}

/* The time of the original record; a carry has it in since_ns. */
static int64_t record_since_us(const struct record *r) {
    return r->has & HAS_SINCE ? r->since_ns / 1000 : r->ts_us;
}

static int state_apply_open(struct state *s, const struct record *r) {
    struct upload *u;
    int err = state_find_or_add(s, r, &u);
    if (!err && !u->opened) {
        u->opened = true;
        u->open_us = record_since_us(r);
        u->open_seq = r->seq;
    } else if (!err && r->ev == EV_OPEN && !u->begun) {
        u->reopened = true;
    }
    if (!err && (r->has & HAS_OPENS) && r->opens > 1)
        u->reopened = true;
    return err;
}

static int state_apply_begin(struct state *s, const struct record *r) {
    struct upload *u;
    int err = state_apply_open(s, r);
    if (!err)
        err = state_find_or_add(s, r, &u);
    if (err)
        return err;
    if (!u->begun)
        u->grow = r->has & HAS_GROW ? r->grow : 0;
    bool checked = (r->has & HAS_CHECKSUM) && slice_equal(r->checksum, slice_of(CHECKSUM_TEXT));
    err = upload_begin(u, r->handle, checked ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE, r->chunk_size, r->chunks);
    if (err == 0) {
        u->begin_seq = r->seq;
        u->open_us = u->reopened ? u->open_us : record_since_us(r);
    }
    return err == ERR_INVALID ? 0 : err;
}

static int state_apply_chunk(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (!u)
        return 0;
    if (r->has & HAS_TOTAL)
        upload_note_end(u, r->chunk, r->total);
    upload_note_integrity(u, r->chunk, r->has & HAS_INTEGRITY ? integrity_from_name(r->integrity) : INTEGRITY_UNKNOWN);
    int err = upload_set_chunk(u, r->chunk, r->crc, r->has & HAS_ETAG ? r->etag : slice_of(""), r->seq);
    return err == ERR_INVALID ? 0 : err;
}

static void state_end_upload(struct state *s, const struct id128 *id, enum ended_how how, uint64_t seq) {
    struct upload *u = state_find(s, id);
    struct ended_upload *ended = recently_ended_add(&s->recently_ended, id, how, seq);
    if (u)
        state_take_out(s, u, ended);
}

static int state_apply_finish(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (!u) { /* its first records were removed: a carry follows, or it is not to be kept */
        state_end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
        return 0;
    }
    struct finished_entry e = {.dest = finished_short(&u->dest_key),
                               .key = finished_key(&u->key, r->file.size), /* of a stream, it is known now */
                               .upload = u->id,
                               .seq = r->seq,
                               .crc = r->crc};
    finished_identify(&e, &u->identity.file);
    int err = finished_put(&s->finished, &e);
    if (!err)
        state_end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
    return err;
}

/* The entry of a put, a carried finished upload or a `same`: records with the whole identity. */
static int state_finished_entry(struct state *s, const struct record *r, struct finished_entry *e) {
    struct upload_identity is;
    struct id128 key, dest;
    *e = (struct finished_entry){.upload = r->upload, .seq = r->seq, .crc = r->crc};
    upload_identity_from_record(r, &is);
    finished_identify(e, &is.file);
    int err = state_fingerprints(s, &is, &key, &dest);
    if (err)
        return err;
    e->key = finished_key(&key, is.file.size);
    e->dest = finished_short(&dest);
    return 0;
}

static int state_apply_same(struct state *s, const struct record *r) {
    struct finished_entry e;
    int err = state_finished_entry(s, r, &e);
    if (!err)
        finished_update(&s->finished, &e);
    return err;
}

/* The object of a finished upload is being removed; it is gone. */
static int state_apply_removal(struct state *s, const struct record *r) {
    struct id128 dest;
    int err = fingerprint_dest(s->sha, r->endpoint, r->dest, &dest);
    if (!err && r->ev == EV_DELETING)
        finished_mark(&s->finished, finished_short(&dest), &r->upload);
    else if (!err)
        finished_remove(&s->finished, finished_short(&dest), &r->upload);
    return err;
}

static int state_apply_put(struct state *s, const struct record *r) {
    struct finished_entry e;
    int err = state_finished_entry(s, r, &e);
    if (!err)
        err = finished_put(&s->finished, &e);
    if (!err)
        state_end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
    return err;
}

static int state_apply_abort(struct state *s, const struct record *r) {
    bool superseded = slice_equal(r->reason, slice_of(RECORD_SUPERSEDED));
    state_end_upload(s, &r->upload, superseded ? ENDED_SUPERSEDED : ENDED_ABORTED, r->seq);
    return 0;
}

/*
 * A carried record replaces the original: the state keeps the new seq. So a state that applied both
 * is the same as one that applied only the carry, and `drop` finds the records that were not
 * carried by their seq alone.
 */
static int state_apply_carried_upload(struct state *s, const struct record *r) {
    bool begun = (r->has & HAS_HANDLE) && (r->has & HAS_GEOMETRY);
    struct upload *u = state_find(s, &r->upload);
    if (!u || (begun && !u->begun))
        return begun ? state_apply_begin(s, r) : state_apply_open(s, r);
    u->open_seq = r->seq;
    if (begun)
        u->begin_seq = r->seq;
    if ((r->has & HAS_OPENS) && r->opens > 1) { /* the first `open` may be in a removed file */
        u->reopened = true;
        u->open_us = record_since_us(r);
    }
    return 0;
}

static int state_apply_carried_chunk(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (!u || !upload_has_chunk(u, r->chunk))
        return state_apply_chunk(s, r);
    upload_move_chunk(u, r->chunk, r->seq);
    return 0;
}

/* A carry of an entry that exists counts once. It ended long ago, so it is not added to
 * recently_ended. */
static int state_apply_carried_finish(struct state *s, const struct record *r) {
    struct finished_entry e;
    int err = state_finished_entry(s, r, &e);
    const struct finished_entry *old = err ? NULL : finished_find(&s->finished, e.dest);
    if (old && id_equal(&old->upload, &r->upload))
        finished_move(&s->finished, e.dest, &r->upload, r->seq);
    else if (!err)
        err = finished_put(&s->finished, &e);
    struct upload *u = err ? NULL : state_find(s, &r->upload);
    if (u)
        state_end_upload(s, &r->upload, ENDED_FINISHED, r->seq);
    return err;
}

static int state_apply_carry(struct state *s, const struct record *r) {
    if (slice_equal(r->kind, slice_of(CARRY_CHUNK)))
        return state_apply_carried_chunk(s, r);
    if (slice_equal(r->kind, slice_of(CARRY_FINISHED)))
        return state_apply_carried_finish(s, r);
    return slice_equal(r->kind, slice_of(CARRY_UPLOAD)) ? state_apply_carried_upload(s, r) : 0;
}

/* Removes the entries whose only record is in the dropped file. Unfinished uploads are always
 * carried before. */
static int state_apply_drop(struct state *s, const struct record *r) {
    recently_ended_drop(&s->recently_ended, r->to);
    return finished_drop(&s->finished, r->to);
}

static int state_apply_forget(struct state *s, const struct record *r) {
    struct upload *u = state_find(s, &r->upload);
    if (u)
        state_remove(s, u);
    return finished_forget(&s->finished, &r->upload);
}

/* A fail does not end the upload: the next plan continues it, unless it would fail again. An upload
 * that was not opened left nothing at the destination, so only a changed source spoils it. */
static void state_apply_fail(struct state *s, const struct record *r) {
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
        return state_apply_open(s, r);
    case EV_BEGIN:
        return state_apply_begin(s, r);
    case EV_CHUNK:
        return state_apply_chunk(s, r);
    case EV_REDO:
        u = state_find(s, &r->upload);
        if (u)
            upload_clear_chunk(u, r->chunk);
        return 0;
    case EV_FINISH:
        return state_apply_finish(s, r);
    case EV_PUT:
        return state_apply_put(s, r);
    case EV_ABORT:
        return state_apply_abort(s, r);
    case EV_CARRY:
        return state_apply_carry(s, r);
    case EV_DROP:
        return state_apply_drop(s, r);
    case EV_FORGET:
        return state_apply_forget(s, r);
    case EV_SAME:
        return state_apply_same(s, r);
    case EV_DELETING:
    case EV_DELETE:
        return state_apply_removal(s, r);
    case EV_FAIL:
        state_apply_fail(s, r);
        return 0;
    default:
        return 0;
    }
}
