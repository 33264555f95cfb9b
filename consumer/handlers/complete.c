/*
 * COMPLETE: results of jobs become records, and each result gets an ACK.
 *
 * A result is judged by upload and handle, not by whether its lease is still known (rule 7): a late
 * result is as good as one in time. With keys, four results also need a lease, because a false one
 * would harm uploads of other peers: `put`, `failed`, `redo` and `gone` (rule 15). A repeated
 * result is acknowledged without a second record. A result that cannot count any more is refused.
 * Either ends the resending (rule 8).
 */
#include "consumer/beats.h"
#include "consumer/handlers/complete_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "pure/arith.h"
#include "pure/array.h"
#include <stdlib.h>

/* ---- acknowledgements ---- */

int completion_recorded(struct completion *v, uint64_t seq) {
    v->ack->kind = ACK_RECORDED;
    v->ack->seq = seq;
    return 0;
}

int completion_refused(struct completion *v, enum why why) {
    v->ack->kind = ACK_REFUSED;
    v->ack->why = why;
    producer_stats_note_resent(v->c->stats, v->producers, v->result->sent_bytes);
    return 0;
}

int completion_unanswered(struct completion *v) {
    v->ack->kind = 0;
    return 0;
}

int completion_repeated(struct completion *v, uint64_t seq) {
    const struct lease *l = leases_find_of(&v->c->leases, &v->result->ref, v->peer);
    uploads_note_unused(v->c, v->producers, l, v->result->sent_bytes);
    return completion_recorded(v, seq);
}

int completion_absent(struct completion *v) {
    const struct ended_upload *ended = recently_ended_find(&v->c->state.recently_ended, &v->result->ref.upload);
    return completion_refused(v, ended ? WHY_ENDED : WHY_UNKNOWN);
}

int completion_append(struct completion *v, struct record *r, uint64_t useful_bytes) {
    uint64_t sent = v->result->sent_bytes;
    int err = ledger_append(v->c, r, v->u ? ledger_concerned(v->c, v->u) : v->producers);
    if (err == ERR_INVALID)
        return completion_refused(v, WHY_JOURNAL);
    if (err)
        return err;
    producer_stats_note_resent(v->c->stats, v->producers, sub_or_zero(sent, useful_bytes));
    if (v->result->outcome == OUTCOME_DONE)
        refusals_forget(&v->c->refusals, &v->result->ref.upload); /* an uploader can do it */
    return completion_recorded(v, r->seq);
}

/* ---- checks ---- */

bool completion_handle_fits(const struct completion *v) {
    return v->u->begun && slice_equal(upload_handle(v->u), v->result->handle);
}

bool completion_has_lease(const struct completion *v, const struct ref *ref) {
    if (!curve_key_is_set(&v->peer->key))
        return true;
    const struct lease *l = leases_find_of(&v->c->leases, ref, v->peer);
    return l && !l->lost;
}

/* Rule 19: a delete job that has ended is never granted again. */
int completion_end_question(struct completion *v) {
    const struct ref *ref = &v->result->ref;
    refusals_forget(&v->c->refusals, &ref->upload);
    if (ref->kind != JOB_DELETE || !v->producers)
        return 0;
    return removals_note_answered(&v->c->removals, &ref->upload);
}

/* Another uploader removes the objects at this moment: only its result tells that this has ended. */
static bool completion_is_early_end(const struct completion *v) {
    const struct lease *l = leases_find(&v->c->leases, &v->result->ref);
    return v->result->ref.kind == JOB_DELETE && l && l->peer != v->peer;
}

/* ---- leases ---- */

/* Ends the other leases on the job. The other holder of a chunk learns it by a BEAT. Its lease is
 * lost and stays until it gives it back or its time is over: it may be writing until then, and a
 * `finish` waits for it (rule 9). */
static int complete_lose_others(struct completion *v) {
    struct leases *t = &v->c->leases;
    struct lease *own = leases_find_of(t, &v->result->ref, v->peer), *l;
    while ((l = own && !own->lost ? leases_twin(t, own) : leases_find(t, &v->result->ref))) {
        if (v->result->ref.kind == JOB_CHUNK) {
            leases_lose(t, l);
            int err = beats_send_lost(v->c, l->peer, &l->ref);
            if (err)
                return err;
            continue;
        }
        producer_stats_note_resent(v->c->stats, v->producers, l->bytes);
        leases_end(t, l);
    }
    return 0;
}

/* Ends the sender's lease, and those of others when the job is over. A repeated `redo` says nothing
 * about the lease of the chunk's next attempt. */
static int complete_end_leases(struct completion *v) {
    enum outcome outcome = v->result->outcome;
    if (outcome == OUTCOME_REDO)
        return 0;
    /* seq 0: a `gone` that was given back to other uploaders */
    bool over = outcome == OUTCOME_DONE || (outcome == OUTCOME_GONE && v->ack->seq);
    int err = over && v->ack->kind == ACK_RECORDED ? complete_lose_others(v) : 0;
    struct lease *l = leases_find_of(&v->c->leases, &v->result->ref, v->peer);
    if (!l)
        return err;
    if (v->ack->kind == ACK_REFUSED && !l->lost) { /* the producer would wait for a record that never comes */
        struct event e = {.ref = l->ref,
                          .kind = EVENT_RELEASED,
                          .why = v->ack->why,
                          .worker = slice_of(v->peer->worker),
                          .second = leases_twin(&v->c->leases, l) != NULL};
        reply_event(v->c, &e, v->producers);
    }
    leases_end(&v->c->leases, l);
    return err;
}

/* ---- results ---- */

static int complete_judge(struct completion *v) {
    if (completion_is_early_end(v))
        return completion_refused(v, WHY_STALE);
    switch (v->result->outcome) {
    case OUTCOME_DONE:
        return complete_done(v);
    case OUTCOME_FAILED:
        return complete_failed(v);
    case OUTCOME_REDO:
        return complete_redo(v);
    case OUTCOME_GONE:
        return complete_gone(v);
    }
    return completion_refused(v, WHY_STALE);
}

static int complete_one(struct consumer *c, struct peer *peer, const struct result *result, struct ack *ack,
                        char **text) {
    struct completion v = {.c = c, .peer = peer, .result = result, .ack = ack, .text = text};
    v.u = ledger_upload_of_job(c, &result->ref);
    v.producers = ledger_producers_of_job(c, &result->ref);
    *ack = (struct ack){.ref = result->ref, .outcome = result->outcome};
    int err = complete_judge(&v); /* may end the upload, and its leases with it */
    if (err || !ack->kind)
        return err;
    err = complete_end_leases(&v);
    if (err)
        return err;
    struct upload *u = ledger_upload_of_job(c, &result->ref);
    return u ? uploads_settle(c, u) : 0;
}

int complete_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    const struct msg_complete *all = &m->complete;
    struct ack *acks = array_zeroed(all->result_count, sizeof *acks);
    char **texts = array_zeroed(all->result_count, sizeof *texts);
    size_t count = 0;
    int err = 0;
    if (!acks || !texts)
        goto out; /* the uploader resends */
    for (size_t i = 0; !err && i < all->result_count; i++) {
        err = complete_one(c, peer, &all->results[i], &acks[count], &texts[i]);
        count += acks[count].kind != 0;
    }
    struct msg answer = {.type = MSG_ACK, .number = m->number};
    answer.ack = (struct msg_ack){.acks = acks, .ack_count = count};
    if (!err)
        err = reply_queue(c, &peer->route, &answer);
out:
    for (size_t i = all->result_count; texts && i-- > 0;)
        free(texts[i]);
    free(texts);
    free(acks);
    return err;
}
