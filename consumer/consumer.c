#include "consumer/consumer_internal.h"
#include "pure/array.h"
#include "pure/check.h"
#include "system/fault.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TICK_MS 250
#define DEATH_SETTLES_MS 200 /* what a dead process left in its sockets has arrived by then */
#define SILENT_DROP_MS 60000 /* a peer that was not heard for so long, and holds nothing, is forgotten */
#define COMPLAIN_MS 1000     /* to one peer, about frames that mean nothing */
#define COMPLAINTS_MAX 64    /* considered in that time, for all together */

/* ---- life ---- */

static int apply(void *arg, const struct record *r) {
    struct consumer *c = arg;
    return state_apply(&c->state, r);
}

/* The snapshot does not fit the journal. A state that cannot be emptied shows itself in the first record applied. */
static void start_empty(void *arg) {
    struct consumer *c = arg;
    log_debug("%s: the snapshot does not fit the journal; reading the journal", c->o.dir);
    c->failed = state_clear(&c->state) != 0;
}

static int read_snapshot(void *file, char *to, size_t len) {
    return snapshot_next(file, to, len);
}

static void load_snapshot(struct consumer *c, struct journal_position *pos) {
    struct snapshot_reading file;
    struct stat st;
    if (stat(c->o.dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return; /* journal_open says what is wrong */
    int rc = snapshot_open(c->o.dir, pos, &file);
    if (!rc)
        rc = snapshot_decode_from(read_snapshot, &file, file.length, &c->state);
    snapshot_close(&file);
    if (rc)
        *pos = (struct journal_position){0};
    if (rc && rc != ERR_NOT_FOUND)
        log_debug("%s: the snapshot is not used: %s", c->o.dir, err_text(rc));
}

static void leaving(void *arg, struct upload *u, struct ended_entry *ended) {
    struct consumer *c = arg;
    (void)ended;
    plans_remove(&c->planned, u);
    while (!list_is_empty(&u->leases))
        leases_end(&c->leases, list_entry(u->leases.next, struct lease, of_upload));
    for (uint64_t p = u->producers; p; p &= p - 1)
        c->books[__builtin_ctzll(p)].uploads--;
}

static int open_journal(struct consumer *c) {
    struct journal_options jo = {.dir = c->o.dir,
                                 .expected = c->o.journal,
                                 .rotate_bytes = c->o.rotate_bytes,
                                 .io = c->o.io,
                                 .apply = apply,
                                 .known_rejected = start_empty,
                                 .arg = c};
    load_snapshot(c, &jo.known);
    int rc = journal_open(&c->journal, &jo);
    return rc ? rc : c->failed ? ERR_NOMEM : 0;
}

/* Rule 6. */
static void begin_epoch(struct consumer *c, uint64_t now_ms) {
    bool clean = journal_stopped_cleanly(c->journal);
    for (size_t i = 0; i < c->state.count; i++)
        c->state.uploads[i]->inherited = true;
    if (!clean)
        c->grace_until_ms = c->adopt_until_ms = now_ms + c->leases.lease_ms;
    c->now_ms = c->member_heard_ms = c->ticked_ms = now_ms;
    c->rotations = journal_rotations(c->journal);
}

static int init(struct consumer *c, uint64_t now_ms) {
    leases_init(&c->leases, c->o.lease_ms);
    peers_init(&c->peers);
    refusals_init(&c->refusals);
    int rc = id_random(&c->self);
    if (!rc)
        rc = state_init(&c->state);
    if (!rc)
        rc = open_journal(c);
    if (rc)
        return rc;
    c->state.leaving = leaving;
    c->state.arg = c;
    begin_epoch(c, now_ms);
    rc = fleet_init(c);
    if (!rc)
        rc = events_init(&c->events, journal_epoch(c->journal));
    return rc ? rc : recent_init(&c->recent, journal_seq(c->journal) + 1);
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
    int rc = init(c, now_ms);
    if (rc)
        consumer_destroy(&c);
    *out = c;
    return rc;
}

void consumer_skip_grace(struct consumer *c) {
    c->grace_until_ms = 0;
}

static void waiting_clear(struct waiting_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        msg_release(&list->items[i].msg);
        frame_release(&list->items[i].frame);
    }
    list->count = 0;
}

void consumer_destroy(struct consumer **out) {
    struct consumer *c = *out;
    if (!c)
        return;
    saver_stop(&c->saver);
    waiting_clear(&c->plans);
    waiting_clear(&c->claims);
    free(c->plans.items);
    free(c->claims.items);
    leases_release(&c->leases);
    c->state.leaving = NULL;
    state_release(&c->state);
    peers_release(&c->peers);
    fleet_release(c);
    events_release(&c->events);
    recent_release(&c->recent);
    refusals_release(&c->refusals);
    outbox_release(&c->outbox);
    buf_release(&c->lines);
    free(c->event_list);
    journal_close(&c->journal);
    free(c);
    *out = NULL;
}

/* ---- intake ---- */

#define BIT(role) (1u << (role))
#define ANYBODY (BIT(ROLE_PRODUCER) | BIT(ROLE_UPLOADER) | BIT(ROLE_READER))

/* Who may send what; 0: nobody sends that to a consumer. */
static unsigned roles_of(const struct msg *m) {
    switch (m->type) {
    case MSG_PLAN:
        return BIT(ROLE_PRODUCER);
    case MSG_CLAIM:
    case MSG_HEARTBEAT:
    case MSG_RELEASE:
    case MSG_PARTS:
    case MSG_COMPLETE:
        return BIT(ROLE_UPLOADER);
    case MSG_SET:
    case MSG_FORGET:
        return BIT(ROLE_PRODUCER) | BIT(ROLE_READER);
    case MSG_TAIL:
        return m->tail.filter == TAIL_MINE ? BIT(ROLE_PRODUCER) : ANYBODY;
    case MSG_STATUS:
    case MSG_BYE:
        return ANYBODY;
    default:
        return 0;
    }
}

/* list_bytes: what its decoded list takes besides the frame; the round's bound is about memory. */
static int wait_turn(struct consumer *c, struct waiting_list *list, size_t list_bytes, struct frame *f, struct msg *m) {
    c->taken_bytes += list_bytes;
    if (array_grow(&list->items, &list->cap, list->count, sizeof *list->items))
        return ERR_NOMEM;
    list->items[list->count++] = (struct waiting){.frame = *f, .msg = *m};
    *f = (struct frame)FRAME_INIT;
    *m = (struct msg){0};
    return 0;
}

static int dispatch(struct consumer *c, struct peer *peer, struct frame *f, struct msg *m) {
    switch (m->type) {
    case MSG_PLAN:
        (void)!wait_turn(c, &c->plans, m->plan.file_count * sizeof *m->plan.files, f,
                         m); /* memory is out: asked again */
        return 0;
    case MSG_CLAIM:
        (void)!wait_turn(c, &c->claims, m->claim.claim_count * sizeof *m->claim.claims, f, m);
        return 0;
    case MSG_COMPLETE:
        return complete_handle(c, peer, m);
    case MSG_HEARTBEAT:
        return heartbeat_handle(c, peer, m);
    case MSG_RELEASE:
        return release_handle(c, peer, m);
    case MSG_PARTS:
        return parts_handle(c, peer, m);
    case MSG_TAIL:
        return tail_handle(c, peer, m);
    case MSG_STATUS:
        return status_handle(c, peer, m);
    case MSG_SET:
        return set_handle(c, peer, m);
    case MSG_FORGET:
        return forget_handle(c, peer, m);
    case MSG_BYE:
        return bye_handle(c, peer);
    default:
        CHECK(!"roles_of lets nothing else through");
        return 0;
    }
}

/* At most once a second to the same peer, and to all strangers together. */
static bool may_complain(struct consumer *c, struct peer *peer) {
    uint64_t *last = peer ? &peer->complained_ms : &c->complained_ms;
    if (*last && core_time(c) < *last + COMPLAIN_MS)
        return false;
    *last = core_time(c);
    return true;
}

static struct peer *peer_at(const struct consumer *c, const struct route *from) {
    for (size_t i = 0; i < c->peers.count; i++)
        if (peer_is_at(c->peers.all[i], from->bytes, from->len))
            return c->peers.all[i];
    return NULL;
}

/* Looking for a peer by its route takes time: a flood must not have it for each message. */
static bool has_complaints_left(struct consumer *c) {
    if (core_time(c) >= c->complaints_since_ms + COMPLAIN_MS) {
        c->complaints_since_ms = core_time(c);
        c->complaints = 0;
    }
    return c->complaints++ < COMPLAINTS_MAX;
}

static int answer_unreadable(struct consumer *c, const struct route *from, int err) {
    char text[160];
    c->undecodable++;
    if (err == ERR_NOMEM || !has_complaints_left(c) || !may_complain(c, peer_at(c, from)))
        return 0;
    if (err != ERR_VERSION)
        return core_answer_error(c, from, 0, PROTOCOL_MALFORMED,
                                 "this consumer cannot decode a message of this program; use programs of one version");
    snprintf(text, sizeof text,
             "this consumer (chunklift " CHUNKLIFT_VERSION
             ") speaks version %d of the protocol, the message is of another; use the same chunklift on both sides",
             PROTO_VERSION);
    return core_answer_error(c, from, 0, PROTOCOL_VERSION, text);
}

static void heard(struct consumer *c, struct peer *peer) {
    peer->heard_ms = core_time(c);
    if (peer->role != ROLE_READER)
        c->member_heard_ms = peer->heard_ms;
}

static int take_message(struct consumer *c, const struct route *from, struct frame *f, struct msg *m) {
    if (!core_key_roles(c, &f->key)) /* not trusted any more: as if it had never come */
        return 0;
    if (!id_is_zero(&m->journal) && !id_equal(&m->journal, journal_id(c->journal)))
        return core_answer_error(c, from, m->number, PROTOCOL_JOURNAL, "this consumer serves another journal");
    if (m->type == MSG_HELLO)
        return hello_handle(c, m, from, &f->key);
    struct peer *peer = peers_find(&c->peers, &m->sender);
    if (!peer || !peer_is_at(peer, from->bytes, from->len))
        return core_answer_error(c, from, m->number, PROTOCOL_HELLO_FIRST, "the first message must be HELLO");
    if (!curve_key_equal(&peer->key, &f->key))
        return core_answer_error(c, from, m->number, PROTOCOL_ROLE,
                                 "this incarnation belongs to another key; start the program again");
    heard(c, peer);
    unsigned roles = roles_of(m);
    if (!roles)
        return may_complain(c, peer)
                   ? core_answer_error(c, from, m->number, PROTOCOL_MALFORMED, "not a message for a consumer")
                   : 0;
    if (!(roles & BIT(peer->role)) || !core_key_may_be(c, &f->key, peer->role))
        return core_answer_error(c, from, m->number, PROTOCOL_ROLE,
                                 "the role of this program does not allow this message");
    return dispatch(c, peer, f, m);
}

int consumer_take(struct consumer *c, struct frame *f, uint64_t now_ms) {
    struct msg m = {0};
    struct route from = {.len = f->peer_len};
    CHECK(f->peer_len <= ROUTE_MAX);
    memcpy(from.bytes, f->peer, f->peer_len);
    c->now_ms = now_ms;
    c->taken_frames++;
    c->taken_bytes += f->data.len;
    int rc = msg_decode(f->data, &m);
    if (rc) {
        rc = answer_unreadable(c, &from, rc);
    } else {
        rc = take_message(c, &from, f, &m);
        msg_release(&m);
    }
    frame_release(f);
    return rc;
}

bool consumer_is_full(const struct consumer *c) {
    return c->taken_frames >= ROUND_FRAMES || c->taken_bytes >= ROUND_BYTES;
}

int consumer_check_journal(struct consumer *c) {
    int rc = c->failed ? ERR_IO : journal_check(c->journal);
    c->failed = rc != 0;
    return rc;
}

/* ---- the round ---- */

static int handle_waiting(struct consumer *c, struct waiting_list *list,
                          int (*handle)(struct consumer *, struct peer *, const struct msg *)) {
    int rc = 0;
    for (size_t i = 0; !rc && i < list->count; i++) {
        const struct msg *m = &list->items[i].msg;
        struct peer *peer = peers_find(&c->peers, &m->sender);
        if (peer && curve_key_equal(&peer->key, &list->items[i].frame.key)) /* it may have said BYE since */
            rc = handle(c, peer, m);
    }
    waiting_clear(list);
    return rc;
}

/* A local process that ended will not answer for its leases: they end now, not when their time is over. What it sent
 * before may still be on its way to us, so it is looked for twice, with the socket read empty in between. */
static bool is_gone(const struct consumer *c, struct peer *peer, uint64_t drained_ms) {
    if (peer->dead_ms == 0) {
        if (peer_is_dead(peer))
            peer->dead_ms = core_time(c);
        return false;
    }
    return drained_ms && leases_time(&c->leases, drained_ms) >= peer->dead_ms + DEATH_SETTLES_MS;
}

static bool is_silent(const struct consumer *c, const struct peer *peer) {
    uint64_t limit = 3 * (uint64_t)c->leases.lease_ms;
    limit = limit > SILENT_DROP_MS ? limit : SILENT_DROP_MS;
    return list_is_empty(&peer->leases) && core_time(c) >= peer->heard_ms + limit;
}

static int drop_vanished(struct consumer *c, uint64_t drained_ms) {
    for (size_t i = c->peers.count; i-- > 0;) {
        struct peer *peer = i < c->peers.count ? c->peers.all[i] : NULL;
        if (!peer || !(is_gone(c, peer, drained_ms) || is_silent(c, peer)))
            continue;
        if (c->o.happened)
            c->o.happened(c->o.arg, HAPPENED_VANISHED, peer, NULL);
        int rc = peer_drop(c, peer);
        if (rc)
            return rc;
        FAULT_POINT(dead_noticed);
    }
    return 0;
}

/* Rule 12. Those that were not renewed for longest come first. */
static void look_for_stragglers(struct consumer *c) {
    c->slow_count = 0;
    if (c->o.no_second_lease)
        return;
    for (struct list *n = c->leases.by_age.next; n != &c->leases.by_age && c->slow_count < SECOND_LEASES_MAX;
         n = n->next) {
        const struct lease *l = list_entry(n, struct lease, by_age);
        if (claim_is_slow(c, l))
            c->slow[c->slow_count++] = (struct slow_job){.ref = l->ref, .producers = l->upload->producers};
    }
}

static int tick(struct consumer *c, uint64_t drained_ms) {
    if (core_time(c) < c->ticked_ms + TICK_MS)
        return 0;
    c->ticked_ms = core_time(c);
    look_for_stragglers(c);
    return drop_vanished(c, drained_ms);
}

int consumer_round(struct consumer *c, uint64_t drained_ms, uint64_t now_ms) {
    c->now_ms = now_ms;
    FAULT_ONLY(bool claims = c->claims.count > 0;)
    int rc = core_flush(c);
    FAULT_POINT_IF(!rc && claims, acks_sent, "");
    if (!rc && saver_poll(&c->saver)) /* everything is committed: the state is that of the journal's end */
        core_begin_snapshot(c);
    if (!rc)
        rc = tail_answer_due(c);
    if (!rc)
        rc = expire_leases(c, drained_ms);
    if (!rc)
        rc = tick(c, drained_ms);
    if (!rc)
        rc = fleet_step(c);
    if (!rc)
        rc = handle_waiting(c, &c->plans, plan_handle);
    if (!rc)
        rc = handle_waiting(c, &c->claims, claim_handle);
    if (!rc)
        rc = core_flush(c);
    FAULT_POINT_IF(!rc && claims, verdicts_sent, "");
    c->taken_frames = c->taken_bytes = 0;
    return rc;
}

void consumer_be_brief(struct consumer *c, bool brief) {
    c->brief = brief;
}

void consumer_stood_still(struct consumer *c, uint64_t ms) {
    c->leases.stood_still_ms += ms;
}

uint64_t consumer_deadline_ms(struct consumer *c, uint64_t now_ms) {
    c->now_ms = now_ms;
    if (c->more)
        return now_ms;
    uint64_t next = c->ticked_ms + TICK_MS + c->leases.stood_still_ms;
    uint64_t lease = leases_next_ms(&c->leases), tail = tail_deadline_ms(c);
    next = lease < next ? lease : next;
    return tail < next ? tail : next;
}

int consumer_recheck_keys(struct consumer *c, uint64_t now_ms) {
    c->now_ms = now_ms;
    for (size_t i = c->peers.count; i-- > 0;) {
        struct peer *peer = i < c->peers.count ? c->peers.all[i] : NULL;
        if (!peer || core_key_may_be(c, &peer->key, peer->role))
            continue;
        if (c->o.happened)
            c->o.happened(c->o.arg, HAPPENED_REVOKED, peer, NULL);
        int rc = peer_drop(c, peer);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the end ---- */

void consumer_drain(struct consumer *c) {
    c->draining = true;
}

bool consumer_is_deserted(const struct consumer *c, uint64_t silence_ms, uint64_t now_ms) {
    if (c->members == 0 && c->said_bye)
        return true;
    return leases_time(&c->leases, now_ms) >= c->member_heard_ms + silence_ms;
}

static void tell_all(struct consumer *c, const char *text) {
    for (size_t i = 0; i < c->peers.count; i++) {
        struct msg m = {.type = MSG_ERROR, .journal = *journal_id(c->journal), .sender = c->self};
        m.error = (struct msg_error){.code = PROTOCOL_STOPPING, .text = slice_of(text)};
        if (outbox_add(&c->outbox, &c->peers.all[i]->route, &m))
            return; /* they find out by themselves */
    }
}

/* Leases of local processes that are gone stand in nobody's way. */
static int drop_dead(struct consumer *c) {
    int rc = 0;
    for (size_t i = c->peers.count; !rc && i-- > 0;)
        if (i < c->peers.count && peer_is_dead(c->peers.all[i]))
            rc = peer_drop(c, c->peers.all[i]);
    return rc;
}

int consumer_stop(struct consumer *c, bool *clean) {
    int rc = core_flush(c);
    if (!rc)
        rc = drop_dead(c);
    *clean = !rc && consumer_lease_count(c) == 0 && core_time(c) >= c->grace_until_ms;
    FAULT_POINT_IF(*clean, stop_decided, "");
    if (*clean) {
        struct record stop = {.ev = EV_STOP};
        rc = core_append(c, &stop, 0);
    }
    if (!rc)
        tell_all(c, "this consumer ends");
    if (!rc)
        rc = core_flush(c);
    if (!rc)
        core_save_snapshot(c);
    return rc;
}

void consumer_farewell(struct consumer *c) {
    c->outbox.count = 0;
    buf_clear(&c->outbox.frames);
    tell_all(c, "the journal cannot be written");
    outbox_send(&c->outbox, c->o.send, c->o.arg);
}

/* ---- looking in ---- */

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
