#include "consumer/consumer_internal.h"
#include "pure/check.h"
#include "pure/text.h"
#include "system/fault.h"
#include "system/log.h"

uint64_t core_producers_of(const struct consumer *c, const struct id128 *upload) {
    const struct upload *u = state_find(&c->state, upload);
    if (u)
        return u->producers;
    const struct ended_entry *ended = ended_find(&c->state.ended, upload);
    return ended ? ended->producers : UINT64_MAX;
}

/* ---- records ---- */

static void note_record(struct consumer *c, uint64_t seq, uint64_t producers) {
    for (; producers; producers &= producers - 1)
        c->books[__builtin_ctzll(producers)].last_seq = seq;
}

static int append_line(struct consumer *c, struct record *r, size_t *before) {
    *before = journal_gathered(c->journal).len;
    int rc = journal_append(c->journal, r);
    if (rc != ERR_LIMIT)
        return rc;
    rc = journal_commit(c->journal); /* the batch is full; what was answered so far may wait */
    *before = 0;
    return rc ? rc : journal_append(c->journal, r);
}

int core_append(struct consumer *c, struct record *r, uint64_t producers) {
    size_t before;
    if (c->failed)
        return ERR_IO;
    int rc = append_line(c, r, &before);
    if (rc == ERR_INVALID)
        return rc;
    if (!rc) {
        struct slice all = journal_gathered(c->journal);
        CHECK(all.len > before);
        recent_add(&c->recent, r->seq, producers, slice_make(all.ptr + before, all.len - before));
        note_record(c, r->seq, producers);
        rc = state_apply(&c->state, r);
        struct upload *u = rc ? NULL : state_find(&c->state, &r->upload);
        if (u && u->opened)
            plans_remove(&c->planned, u);
    }
    c->failed = c->failed || rc;
    return rc;
}

int core_record_open(struct consumer *c, struct upload *u) {
    struct record r = {.ev = EV_OPEN, .upload = u->id};
    upload_identity_to_record(&u->identity, &r);
    return core_append(c, &r, u->producers);
}

int core_record_fail(struct consumer *c, const struct id128 *upload, enum fail_class class, struct slice error,
                     uint64_t *seq) {
    struct upload *u = state_find(&c->state, upload);
    struct ended_entry *ended = u ? NULL : ended_find(&c->state.ended, upload);
    uint32_t *failed = u ? &u->failed : ended ? &ended->failed : NULL;
    *seq = 0;
    if (!failed || *failed & (UINT32_C(1) << class))
        return 0;
    error.len = error.len < ERROR_TEXT_MAX ? error.len : ERROR_TEXT_MAX;
    struct buf text = BUF_INIT;
    struct record r = {.ev = EV_FAIL, .has = HAS_UPLOAD, .upload = *upload};
    if (u) { /* it may have no other record that names its file */
        r.has |= HAS_SRC | HAS_DEST;
        r.src = u->identity.src;
        r.dest = u->identity.dest;
    }
    r.class = slice_of(fail_class_name(class));
    if (text_add_printable(&text, error) == 0)
        r.error = buf_slice(&text);
    *failed |= UINT32_C(1) << class;
    int rc = core_append(c, &r, u ? core_concerned(c, u) : core_producers_of(c, upload));
    buf_release(&text);
    *seq = rc ? 0 : r.seq;
    return rc;
}

uint64_t core_concerned(const struct consumer *c, const struct upload *u) {
    const struct upload *next = state_find(&c->state, &u->superseded_by);
    return u->producers | (next ? next->producers : 0);
}

int core_append_abort(struct consumer *c, const struct upload *u, const char *reason) {
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = u->id, .reason = slice_of(reason)};
    return core_append(c, &r, core_concerned(c, u));
}

void core_save_snapshot(struct consumer *c) {
    struct journal_position pos;
    journal_position(c->journal, &pos);
    saver_stop(&c->saver);
    saver_write(c->o.dir, &pos, &c->state);
}

void core_begin_snapshot(struct consumer *c) {
    struct journal_position pos;
    journal_position(c->journal, &pos);
    saver_start(&c->saver, c->o.dir, &pos, &c->state);
}

static int commit(struct consumer *c) {
    if (c->failed)
        return ERR_IO;
    int rc = journal_commit(c->journal);
    c->failed = rc != 0;
    if (!rc && journal_rotations(c->journal) != c->rotations) {
        c->rotations = journal_rotations(c->journal);
        core_begin_snapshot(c);
    }
    return rc;
}

int core_flush(struct consumer *c) {
    int rc = commit(c);
    if (!rc)
        outbox_send(&c->outbox, c->o.send, c->o.arg);
    FAULT_POINT_NOTED(answers_sent);
    return rc;
}

/* ---- answers and events ---- */

static int gather(struct consumer *c, const struct route *to, struct msg *m) {
    if (c->journal)
        m->journal = *journal_id(c->journal);
    m->sender = c->self;
    int rc = outbox_add(&c->outbox, to, m);
    if (rc) /* asked again by who needs it */
        log_warn("a reply (%s) was not sent: %s", msg_type_name(m->type), err_text(rc));
    return rc;
}

int core_answer(struct consumer *c, const struct route *to, struct msg *m) {
    (void)!gather(c, to, m);
    return c->outbox.frames.len >= OUTBOX_BYTES ? core_flush(c) : 0;
}

int core_answer_error(struct consumer *c, const struct route *to, uint64_t number, enum protocol_error code,
                      const char *text) {
    struct msg m = {.type = MSG_ERROR, .number = number};
    m.error = (struct msg_error){.code = code, .text = slice_of(text)};
    return core_answer(c, to, &m);
}

void core_event(struct consumer *c, const struct event *e, uint64_t producers) {
    uint64_t number = c->events.next;
    events_add(&c->events, e, producers);
    for (; producers; producers &= producers - 1)
        c->books[__builtin_ctzll(producers)].last_event = number;
}

void core_note_again(struct consumer *c, uint64_t producers, uint64_t bytes) {
    for (; bytes && producers; producers &= producers - 1)
        c->books[__builtin_ctzll(producers)].again_bytes += bytes;
}

/* ---- uploads and leases ---- */

void core_own(struct consumer *c, struct upload *u, const struct peer *producer) {
    uint64_t bit = peer_bit(producer);
    if (u->producers & bit)
        return;
    u->producers |= bit;
    c->books[producer->place].uploads++;
}

bool core_in_grace(const struct consumer *c, const struct upload *u) {
    return u->inherited && core_time(c) < c->grace_until_ms;
}

bool core_may_adopt(const struct consumer *c) {
    return core_time(c) < c->adopt_until_ms;
}

bool core_is_anothers(const struct consumer *c, const struct upload *u, const struct peer *producer) {
    if (!curve_key_is_set(&producer->key))
        return false;
    for (uint64_t bits = u->producers; bits; bits &= bits - 1) {
        const struct peer *owner = c->peers.producers[__builtin_ctzll(bits)];
        if (owner && !curve_key_equal(&owner->key, &producer->key))
            return true;
    }
    return false;
}

int core_settle(struct consumer *c, struct upload *u) {
    if (u->lease_count || core_in_grace(c, u))
        return 0;
    if (upload_is_superseded(u) && !u->opened)
        return core_append_abort(c, u, "superseded");
    if (!u->opened && !u->producers)
        state_remove(&c->state, u);
    return 0;
}

int core_lease_lost(struct consumer *c, struct lease *l, const struct event *e) {
    struct upload *u = l->upload;
    struct event said = *e;
    said.second = leases_twin(&c->leases, l) != NULL;
    if (!l->lost) /* its job has its record: nobody waits for it */
        core_event(c, &said, core_producers_of(c, &l->ref.upload));
    leases_end(&c->leases, l);
    return u ? core_settle(c, u) : 0;
}
