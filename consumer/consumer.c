#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/journal/snapshot_file.h"
#include "consumer/ledger.h"
#include "consumer/state/snapshot.h"
#include "consumer/uploads.h"
#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"
#include <stdlib.h>
#include <sys/stat.h>

/* ---- life ---- */

static int consumer_apply(void *arg, const struct record *r) {
    struct consumer *c = arg;
    return state_apply(&c->state, r);
}

/* The snapshot does not fit the journal, and the journal is read from its start. */
static void consumer_start_empty(void *arg) {
    struct consumer *c = arg;
    log_debug("%s: the snapshot does not fit the journal; reading the journal", c->o.dir);
    c->failed = state_clear(&c->state) != 0;
}

static int consumer_read_snapshot(void *file, char *to, size_t len) {
    return snapshot_next(file, to, len);
}

static void consumer_load_snapshot(struct consumer *c, struct journal_position *pos) {
    struct snapshot_reading file;
    struct stat st;
    if (stat(c->o.dir, &st) == -1 || !S_ISDIR(st.st_mode))
        return; /* journal_open logs the error */
    int err = snapshot_open(c->o.dir, pos, &file);
    if (!err)
        err = snapshot_decode_from(consumer_read_snapshot, &file, file.length, &c->state);
    snapshot_close(&file);
    if (err)
        *pos = (struct journal_position){0};
    if (err && err != ERR_NOT_FOUND)
        log_debug("%s: the snapshot is not used: %s", c->o.dir, err_text(err));
}

static void consumer_upload_leaves(void *arg, struct upload *u, struct ended_upload *ended) {
    struct consumer *c = arg;
    (void)ended;
    plans_remove(&c->planned, u);
    while (!list_is_empty(&u->leases))
        leases_end(&c->leases, list_entry(u->leases.next, struct lease, of_upload));
    for (uint64_t p = u->producers; p; p &= p - 1)
        c->stats[__builtin_ctzll(p)].uploads--;
}

static int consumer_open_journal(struct consumer *c) {
    struct journal_options jo = {.dir = c->o.dir,
                                 .expected = c->o.journal,
                                 .read_only = c->o.read_only,
                                 .rotate_bytes = c->o.rotate_bytes,
                                 .io = c->o.io,
                                 .apply = consumer_apply,
                                 .known_rejected = consumer_start_empty,
                                 .arg = c};
    consumer_load_snapshot(c, &jo.known);
    int err = journal_open(&c->journal, &jo);
    return err ? err : c->failed ? ERR_NOMEM : 0;
}

/* Rule 6: after a crash, holders of the last epoch may still work. */
static void consumer_begin_epoch(struct consumer *c, uint64_t now_ms) {
    bool clean = journal_stopped_cleanly(c->journal);
    for (size_t i = 0; i < c->state.count; i++)
        c->state.uploads[i]->inherited = true;
    if (!clean)
        c->grace_until_ms = c->adopt_until_ms = now_ms + c->leases.lease_ms;
    if (!clean && finished_has_mark(&c->state.finished))
        c->old_removals_until_ms = now_ms + c->leases.lease_ms;
    c->now_ms = c->member_heard_ms = c->ticked_ms = now_ms;
    c->rotations = journal_rotations(c->journal);
}

static int consumer_init(struct consumer *c, uint64_t now_ms) {
    leases_init(&c->leases, c->o.lease_ms);
    peers_init(&c->peers);
    refusals_init(&c->refusals);
    int err = id_random(&c->self);
    if (!err)
        err = state_init(&c->state);
    if (!err)
        err = consumer_open_journal(c);
    if (err)
        return err;
    c->state.leaving = consumer_upload_leaves;
    c->state.arg = c;
    consumer_begin_epoch(c, now_ms);
    err = fleet_init(&c->fleet, &c->peers, c->o.lease_ms, c->o.dir, consumer_time(c));
    if (!err) /* time has passed since the limits were saved */
        (void)fleet_follow_clock(&c->fleet, clock_real_us() / 1000000);
    if (!err)
        err = events_init(&c->events, journal_epoch(c->journal));
    return err ? err : recent_init(&c->recent, journal_seq(c->journal) + 1);
}

int consumer_new(struct consumer **out, const struct consumer_options *o, uint64_t now_ms) {
    CHECK(o->dir && o->send && o->lease_ms >= LEASE_MS_MIN && o->lease_ms <= LEASE_MS_MAX);
    *out = NULL;
    struct consumer *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->o = *o;
    list_init(&c->leases.by_age);
    plans_init(&c->planned);
    removals_init(&c->removals);
    int err = consumer_init(c, now_ms);
    if (err)
        consumer_destroy(&c);
    *out = c;
    return err;
}

void consumer_skip_grace(struct consumer *c) {
    c->grace_until_ms = 0;
}

void consumer_destroy(struct consumer **out) {
    struct consumer *c = *out;
    if (!c)
        return;
    snapshot_writer_stop(&c->snapshot_writer);
    waiting_list_clear(&c->waiting_plans);
    waiting_list_clear(&c->waiting_claims);
    free(c->waiting_plans.items);
    free(c->waiting_claims.items);
    leases_release(&c->leases);
    c->state.leaving = NULL;
    state_release(&c->state);
    peers_release(&c->peers);
    fleet_release(&c->fleet);
    events_release(&c->events);
    recent_release(&c->recent);
    refusals_release(&c->refusals);
    removals_release(&c->removals);
    outbox_release(&c->outbox);
    buf_release(&c->lines);
    free(c->event_list);
    journal_close(&c->journal);
    free(c);
    *out = NULL;
}

/* ---- while it runs ---- */

int consumer_check_journal(struct consumer *c) {
    int err = c->failed ? ERR_IO : journal_check(c->journal);
    c->failed = err != 0;
    return err;
}

void consumer_set_short_replies(struct consumer *c, bool short_replies) {
    c->short_replies = short_replies;
}

void consumer_extend_leases(struct consumer *c, uint64_t ms) {
    c->leases.paused_ms += ms;
}

/* ---- the end ---- */

void consumer_drain(struct consumer *c) {
    c->draining = true;
}

bool consumer_is_deserted(const struct consumer *c, uint64_t silence_ms, uint64_t now_ms) {
    if (c->member_count == 0 && c->member_left)
        return true;
    return leases_time(&c->leases, now_ms) >= c->member_heard_ms + silence_ms;
}

static void consumer_send_stopping(struct consumer *c, const char *text) {
    for (size_t i = 0; i < c->peers.count; i++) {
        struct msg m = {.type = MSG_ERROR, .journal = *journal_id(c->journal), .sender = c->self};
        m.error = (struct msg_error){.code = PROTOCOL_STOPPING, .text = slice_of(text)};
        if (outbox_add(&c->outbox, &c->peers.all[i]->route, &m))
            return; /* the other peers notice by the silence */
    }
}

/* The leases of dead local processes do not prevent a clean end. */
static int consumer_drop_dead(struct consumer *c) {
    int err = 0;
    for (size_t i = c->peers.count; !err && i-- > 0;)
        if (peer_is_dead(c->peers.all[i]))
            err = leave_drop_peer(c, c->peers.all[i]);
    return err;
}

int consumer_stop(struct consumer *c, bool *clean) {
    int err = ledger_flush(c);
    if (!err)
        err = consumer_drop_dead(c);
    *clean = !err && consumer_lease_count(c) == 0 && uploads_removals_are_settled(c);
    FAULT_POINT_IF(*clean, stop_decided, "");
    if (*clean) {
        struct record stop = {.ev = EV_STOP};
        err = ledger_append(c, &stop, 0);
    }
    if (!err)
        consumer_send_stopping(c, "this consumer ends");
    if (!err)
        err = ledger_flush(c);
    if (!err)
        ledger_save_snapshot(c);
    return err;
}

void consumer_farewell(struct consumer *c) {
    c->outbox.count = 0;
    buf_clear(&c->outbox.frames);
    consumer_send_stopping(c, "the journal cannot be written");
    outbox_send(&c->outbox, c->o.send, c->o.arg);
}

/* ---- access ---- */

const struct journal *consumer_journal(const struct consumer *c) {
    return c->journal;
}

size_t consumer_lease_count(const struct consumer *c) {
    return c->leases.by_ref.count;
}

const struct peers *consumer_peers(const struct consumer *c) {
    return &c->peers;
}

bool consumer_is_in_grace(const struct consumer *c, uint64_t now_ms) {
    return leases_time(&c->leases, now_ms) < c->adopt_until_ms;
}
