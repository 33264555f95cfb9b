/*
 * TAIL: long polling for records and events (rule 13). Each peer has one outstanding request; a new
 * one replaces it. It is answered when there is news, and at the latest when its time is over.
 * After a burst of replies they are 20 ms apart to a producer, 50 ms to other roles.
 *
 * A producer's own records come from memory (recent.c). Other records come from disk, with a
 * bounded number of reads in a round. Only committed records are sent.
 */
#include "consumer/beats.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include "pure/arith.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define PRODUCER_GAP_MS 20
#define READER_GAP_MS 50
#define BURST 8          /* replies without a gap; each gap without a reply gives one back */
#define WAIT_MAX_MS 2000 /* a waiting peer sends its next request within this time */
#define DISK_READS 4     /* of one round */
#define LINES_BYTES ((size_t)256 << 10)
#define EVENTS_BYTES ((size_t)256 << 10)
#define EVENT_LIST_MAX 1024
#define EVENT_BYTES 128 /* of an encoded event without its texts, at most */
#define MOVING_MS 100   /* the greatest age of the sums of moving bytes */

/* A key that is not a reader's may follow only its own uploads. */
static bool tail_is_allowed(const struct consumer *c, const struct peer *peer, enum tail_filter filter) {
    return filter == TAIL_MINE || access_sees_all(c, peer);
}

/* A TAIL confirms the lines before its seq. */
static void tail_forget_read_lines(struct consumer *c) {
    uint64_t needed = UINT64_MAX;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++) {
        const struct peer *producer = c->peers.producers[i];
        uint64_t from = producer ? MAX(producer->tail.seq, producer->since_seq) : UINT64_MAX;
        needed = MIN(from, needed);
    }
    recent_forget(&c->recent, needed);
}

int tail_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    if (!tail_is_allowed(c, peer, m->tail.filter))
        return reply_error(
            c, &peer->route, m->number, PROTOCOL_ROLE,
            "this key may follow only its own uploads; others need the role 'reader' in the consumer's trust file");
    peer->tailing = true;
    peer->tail = m->tail;
    peer->tail.seq = m->tail.seq ? m->tail.seq : 1;
    peer->tail_number = m->number;
    peer->tail_asked_ms = consumer_time(c);
    peer->tail.wait_ms = MIN(peer->tail.wait_ms, WAIT_MAX_MS);
    if (peer->role == ROLE_PRODUCER)
        tail_forget_read_lines(c);
    if (!m->tail.stops || peer->role != ROLE_PRODUCER || peer->stopping)
        return 0;
    peer->stopping = true;
    return beats_send_unwanted(c);
}

static bool tail_has_news(const struct consumer *c, const struct peer *peer) {
    const struct msg_tail *t = &peer->tail;
    if (t->filter != TAIL_MINE)
        return t->seq <= journal_seq(c->journal) || t->event != c->events.next;
    const struct producer_stats *stats = &c->stats[peer->producer];
    return peer->fleet_version != c->fleet.version || t->seq <= stats->last_seq || t->event <= stats->last_event ||
           t->seq < peer->since_seq || t->event < peer->since_event || t->event > c->events.next;
}

static uint64_t tail_gap_ms(const struct peer *peer) {
    return peer->role == ROLE_PRODUCER ? PRODUCER_GAP_MS : READER_GAP_MS;
}

static uint64_t tail_due_ms(const struct consumer *c, const struct peer *peer) {
    uint64_t over = peer->tail_asked_ms + peer->tail.wait_ms;
    uint64_t burst_ms = (BURST - 1) * tail_gap_ms(peer);
    uint64_t news = sub_or_zero(peer->tail_paid_ms, burst_ms);
    return tail_has_news(c, peer) ? MIN(news, over) : over;
}

/* A token bucket as a time: each reply moves it one gap ahead. */
static void tail_pay(const struct consumer *c, struct peer *peer) {
    uint64_t now = consumer_time(c), gap = tail_gap_ms(peer), most = now + BURST * gap;
    uint64_t paid = MAX(peer->tail_paid_ms, now) + gap;
    peer->tail_paid_ms = MIN(paid, most); /* replies without news are not delayed */
}

uint64_t tail_deadline_ms(const struct consumer *c) {
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *peer = c->peers.all[i];
        uint64_t due = peer->tailing ? tail_due_ms(c, peer) + c->leases.paused_ms : UINT64_MAX;
        first = MIN(due, first);
    }
    return first;
}

/* ---- lines ---- */

static int tail_read_own(struct consumer *c, const struct peer *peer, struct msg_records *out, uint32_t max) {
    const struct msg_tail *t = &peer->tail;
    if (t->seq < c->recent.complete_from || t->seq < peer->since_seq) { /* the next PLANNED has the missing state */
        out->resync = true;
        out->next = journal_seq(c->journal) + 1;
        return 0;
    }
    return recent_read(&c->recent, peer_bit(peer), access_sees_all(c, peer), t->seq, journal_seq(c->journal), max,
                       reply_room(c, LINES_BYTES), &c->lines, &out->line_count, &out->next);
}

/* Keeps the first max lines that match. *seq moves past the lines read. A line names its upload as
 * "upload":"<id>". No other part of a line can match, because quotes inside JSON strings are
 * escaped. */
static uint32_t tail_filter_lines(struct buf *lines, const char *match, uint32_t max, uint64_t *seq) {
    size_t kept = 0, at = 0;
    uint32_t count = 0;
    while (at < lines->len && count < max) {
        const char *end = memchr(lines->data + at, '\n', lines->len - at);
        size_t len = end ? (size_t)(end - lines->data) + 1 - at : lines->len - at;
        if (!match || memmem(lines->data + at, len, match, strlen(match))) {
            memmove(lines->data + kept, lines->data + at, len);
            kept += len;
            count++;
        }
        at += len;
        ++*seq;
    }
    lines->len = kept;
    return count;
}

static int tail_read_disk(struct consumer *c, const struct peer *peer, struct msg_records *out, uint32_t max) {
    char match[ID_HEX_SIZE + 16] = "", hex[ID_HEX_SIZE];
    uint64_t next, seq = peer->tail.seq;
    out->next = seq;
    if (seq > journal_seq(c->journal))
        return 0;
    int err = journal_read(c->journal, seq, reply_room(c, LINES_BYTES), &c->lines, &next);
    if (err == ERR_NOMEM)
        return err;
    if (err) { /* an unreadable file concerns this peer only, not the journal */
        if (err != ERR_NOT_FOUND)
            log_warn("records from seq %llu on cannot be read: %s", (unsigned long long)seq, err_text(err));
        buf_clear(&c->lines);
        out->resync = true;
        return 0;
    }
    if (peer->tail.filter == TAIL_UPLOAD) {
        id_to_hex(&peer->tail.upload, hex);
        snprintf(match, sizeof match, "\"upload\":\"%s\"", hex);
    }
    out->line_count = tail_filter_lines(&c->lines, match[0] ? match : NULL, max, &seq);
    out->next = seq;
    return 0;
}

static int tail_read_lines(struct consumer *c, const struct peer *peer, struct msg_records *out) {
    uint32_t max = peer->tail.max_records ? peer->tail.max_records : UINT32_MAX;
    buf_clear(&c->lines);
    int err = peer->tail.filter == TAIL_MINE ? tail_read_own(c, peer, out, max) : tail_read_disk(c, peer, out, max);
    out->lines = buf_slice(&c->lines);
    return err;
}

/* ---- events ---- */

static bool tail_wants_event(const struct peer *peer, const struct event_entry *entry) {
    switch (peer->tail.filter) {
    case TAIL_MINE:
        return (entry->producers & peer_bit(peer)) != 0;
    case TAIL_UPLOAD:
        return id_equal(&entry->e.ref.upload, &peer->tail.upload);
    case TAIL_ALL:
        break;
    }
    return true;
}

static void tail_read_events(struct consumer *c, const struct peer *peer, struct msg_records *out) {
    const struct events *ring = &c->events;
    uint64_t at = peer->tail.event;
    size_t bytes = 0, room = reply_room(c, EVENTS_BYTES);
    out->events = c->event_list;
    bool mine = peer->tail.filter == TAIL_MINE;
    if (at < ring->first || at > ring->next || (mine && at < peer->since_event)) {
        out->resync |= mine;
        at = mine ? ring->next : clamp_u64(at, ring->first, ring->next);
    }
    for (; at < ring->next; at++) {
        const struct event_entry *entry = events_at(ring, at);
        if (!tail_wants_event(peer, entry))
            continue;
        bytes += EVENT_BYTES + entry->e.worker.len + entry->e.detail.len + entry->e.etag.len + entry->e.listing.len;
        if (out->event_count == EVENT_LIST_MAX || bytes > room) /* one event always fits */
            break;
        c->event_list[out->event_count++] = entry->e;
    }
    out->event_next = at;
}

/* ---- fleet and slow jobs ---- */

static void tail_sum_moving(struct consumer *c) {
    if (consumer_time(c) < c->moving_ms + MOVING_MS && c->moving_ms)
        return;
    c->moving_ms = consumer_time(c);
    for (struct producer_stats *s = c->stats, *end = s + PRODUCERS_MAX; s != end; s++)
        s->moving_bytes = 0;
    for (struct list *n = c->leases.by_age.next; n != &c->leases.by_age; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, by_age);
        for (uint64_t p = l->upload && !l->second && !l->lost ? l->upload->producers : 0; p; p &= p - 1)
            c->stats[__builtin_ctzll(p)].moving_bytes += l->bytes;
    }
}

/* An equal share of the free slots among the producers with uploads, at least 1 when any slot is
 * free. */
static uint32_t tail_share(const struct consumer *c, uint32_t free_slots) {
    uint32_t producers = 0;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        producers += c->peers.producers[i] && c->stats[i].uploads > 0;
    uint32_t share = free_slots / (producers ? producers : 1);
    return MAX(share, free_slots > 0);
}

static void tail_note_outage(const struct peer *p, struct fleet *f) {
    f->outage_uploaders += p->outage_ms > 0;
    if (p->outage_ms <= f->outage_ms)
        return;
    f->outage_ms = p->outage_ms;
    f->outage = slice_of(p->outage);
}

static void tail_count_uploaders(const struct consumer *c, const struct peer *peer, struct fleet *f) {
    uint64_t bit = peer_bit(peer), free_slots = 0, fresh_slots = 0, slots = 0, now = consumer_time(c);
    uint32_t fresh = 0;
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.all[i];
        if (!fleet_is_member(&c->fleet, p, now))
            continue;
        f->uploaders++;
        f->unable += (p->unable & bit) != 0;
        slots += p->slots;
        tail_note_outage(p, f);
        fresh += fleet_is_fresh(p, now);
        *(fleet_is_fresh(p, now) ? &fresh_slots : &free_slots) += p->free;
    }
    if (fresh == f->uploaders) /* no older uploader would get the offers meant for fresh ones */
        free_slots += fresh_slots;
    f->slots = (uint32_t)MIN(slots, UINT32_MAX);
    f->free = c->draining ? 0 : (uint32_t)MIN(free_slots, UINT32_MAX);
}

static void tail_describe_fleet(struct consumer *c, const struct peer *peer, struct fleet *f) {
    tail_sum_moving(c);
    tail_count_uploaders(c, peer, f);
    f->share = tail_share(c, f->free);
    f->retries = c->retries;
    f->local_uploaders = c->fleet.settings.uploaders;
    if (peer->role == ROLE_PRODUCER) {
        f->moving_bytes = c->stats[peer->producer].moving_bytes;
        f->resent_bytes = c->stats[peer->producer].resent_bytes;
        f->hedged_bytes = c->stats[peer->producer].hedged_bytes;
    }
}

static void tail_list_slow(struct consumer *c, const struct peer *peer, struct msg_records *out) {
    out->slow = c->slow_refs;
    for (size_t i = 0; i < c->slow_count && out->fleet.free > 0; i++)
        if (c->slow[i].producers & peer_bit(peer))
            c->slow_refs[out->slow_count++] = c->slow[i].ref;
}

/* ---- replies ---- */

static int tail_answer(struct consumer *c, struct peer *peer) {
    struct msg m = {.type = MSG_RECORDS, .number = peer->tail_number};
    struct msg_records *out = &m.records;
    *out = (struct msg_records){.epoch = journal_epoch(c->journal),
                                .head_seq = journal_seq(c->journal),
                                .head = slice_of(journal_head(c->journal))};
    int err = tail_read_lines(c, peer, out);
    if (err == ERR_NOMEM)
        return 0; /* in a later round */
    if (err)
        return err;
    tail_read_events(c, peer, out);
    tail_describe_fleet(c, peer, &out->fleet);
    tail_list_slow(c, peer, out);
    peer->tailing = false;
    tail_pay(c, peer);
    peer->fleet_version = c->fleet.version;
    return reply_queue(c, &peer->route, &m);
}

static bool tail_needs_disk(const struct consumer *c, const struct peer *peer) {
    return peer->tail.filter != TAIL_MINE && peer->tail.seq <= journal_seq(c->journal);
}

int tail_answer_due(struct consumer *c) {
    int reads = 0;
    c->tails_pending = false;
    if (!c->event_list && !(c->event_list = calloc(EVENT_LIST_MAX, sizeof *c->event_list)))
        return ERR_NOMEM;
    for (size_t i = 0; i < c->peers.count; i++) {
        struct peer *peer = c->peers.all[(c->tail_turn + i) % c->peers.count];
        if (!peer->tailing || tail_due_ms(c, peer) > consumer_time(c))
            continue;
        if (reply_is_backpressured(c, peer) || !tail_is_allowed(c, peer, peer->tail.filter)) {
            peer->tailing = false; /* dropped: the peer repeats it, and other peers do not wait for it */
            continue;
        }
        if (tail_needs_disk(c, peer) && ++reads > DISK_READS) { /* the next round begins with this peer */
            c->tail_turn = (c->tail_turn + i) % c->peers.count;
            c->tails_pending = true;
            return 0;
        }
        int err = tail_answer(c, peer);
        if (err)
            return err;
    }
    return 0;
}
