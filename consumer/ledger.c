#include "consumer/ledger.h"
#include "consumer/consumer_internal.h"
#include "pure/check.h"
#include "pure/text.h"
#include "system/fault.h"
#include <sys/param.h>

static uint64_t ledger_producers_of(const struct consumer *c, const struct id128 *upload) {
    const struct upload *u = state_find(&c->state, upload);
    if (u)
        return u->producers;
    const struct ended_upload *ended = recently_ended_find(&c->state.recently_ended, upload);
    return ended ? ended->producers : UINT64_MAX;
}

uint64_t ledger_producers_of_job(const struct consumer *c, const struct ref *ref) {
    if (!job_kind_asks(ref->kind))
        return ledger_producers_of(c, &ref->upload);
    uint64_t bits = 0; /* two, when the halves of their incarnations are equal; the other one has no such question */
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        if (c->peers.producers[i] && question_is_of(&ref->upload, &c->peers.producers[i]->incarnation))
            bits |= peer_bit(c->peers.producers[i]);
    return bits;
}

struct upload *ledger_upload_of_job(const struct consumer *c, const struct ref *ref) {
    return job_kind_asks(ref->kind) ? NULL : state_find(&c->state, &ref->upload);
}

uint64_t ledger_concerned(const struct consumer *c, const struct upload *u) {
    const struct upload *next = state_find(&c->state, &u->superseded_by);
    return u->producers | (next ? next->producers : 0);
}

/* ---- appending ---- */

/* *before: bytes of the batch in front of the new line. */
static int ledger_append_line(struct consumer *c, struct record *r, size_t *before) {
    *before = journal_gathered(c->journal).len;
    int err = journal_append(c->journal, r);
    if (err != ERR_LIMIT)
        return err;
    err = journal_commit(c->journal); /* the batch is full; replies may still wait */
    *before = 0;
    return err ? err : journal_append(c->journal, r);
}

static int ledger_apply(struct consumer *c, struct record *r, uint64_t producers, size_t before) {
    struct slice batch = journal_gathered(c->journal);
    CHECK(batch.len > before);
    recent_add(&c->recent, r->seq, producers, slice_make(batch.ptr + before, batch.len - before));
    producer_stats_note_record(c->stats, producers, r->seq);
    int err = state_apply(&c->state, r);
    struct upload *u = err ? NULL : state_find(&c->state, &r->upload);
    if (u && u->opened)
        plans_remove(&c->planned, u);
    return err;
}

int ledger_append(struct consumer *c, struct record *r, uint64_t producers) {
    size_t before;
    if (c->failed)
        return ERR_IO;
    int err = ledger_append_line(c, r, &before);
    if (err == ERR_INVALID)
        return err;
    if (!err)
        err = ledger_apply(c, r, producers, before);
    c->failed = err != 0;
    return err;
}

int ledger_append_open(struct consumer *c, struct upload *u) {
    struct record r = {.ev = EV_OPEN, .upload = u->id};
    upload_to_record(u, &r);
    return ledger_append(c, &r, u->producers);
}

int ledger_append_abort(struct consumer *c, const struct upload *u, const char *reason) {
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = u->id, .reason = slice_of(reason)};
    return ledger_append(c, &r, ledger_concerned(c, u));
}

int ledger_append_fail(struct consumer *c, const struct id128 *upload, enum fail_class class, struct slice error,
                       uint64_t *seq) {
    struct upload *u = state_find(&c->state, upload);
    struct ended_upload *ended = u ? NULL : recently_ended_find(&c->state.recently_ended, upload);
    uint32_t *failed = u ? &u->failed : ended ? &ended->failed : NULL;
    *seq = 0;
    if (!failed || *failed & (UINT32_C(1) << class))
        return 0;
    error.len = MIN(error.len, ERROR_TEXT_MAX);
    struct buf text = BUF_INIT;
    struct record r = {.ev = EV_FAIL, .has = HAS_UPLOAD, .upload = *upload};
    if (u) { /* no other record may name its file */
        r.has |= HAS_SRC | HAS_DEST;
        r.src = u->identity.src;
        r.dest = u->identity.dest;
    }
    r.class = slice_of(fail_class_name(class));
    if (text_add_printable(&text, error) == 0)
        r.error = buf_slice(&text);
    *failed |= UINT32_C(1) << class;
    int err = ledger_append(c, &r, u ? ledger_concerned(c, u) : ledger_producers_of(c, upload));
    buf_release(&text);
    *seq = err ? 0 : r.seq;
    return err;
}

/* ---- committing ---- */

void ledger_save_snapshot(struct consumer *c) {
    struct journal_position pos;
    journal_position(c->journal, &pos);
    snapshot_writer_stop(&c->snapshot_writer);
    snapshot_write_state(c->o.dir, &pos, &c->state);
}

void ledger_begin_snapshot(struct consumer *c) {
    struct journal_position pos;
    journal_position(c->journal, &pos);
    snapshot_writer_start(&c->snapshot_writer, c->o.dir, &pos, &c->state);
}

static int ledger_commit(struct consumer *c) {
    if (c->failed)
        return ERR_IO;
    int err = journal_commit(c->journal);
    c->failed = err != 0;
    if (!err && journal_rotations(c->journal) != c->rotations) {
        c->rotations = journal_rotations(c->journal);
        ledger_begin_snapshot(c);
    }
    return err;
}

int ledger_flush(struct consumer *c) {
    int err = ledger_commit(c);
    if (!err)
        outbox_send(&c->outbox, c->o.send, c->o.arg);
    FAULT_POINT_NOTED(answers_sent);
    return err;
}
