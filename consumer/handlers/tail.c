/*
 * TAIL: long polling (rule 13). One question outstanding for each peer; a new one takes its place. It is answered as
 * soon as there is something new, but not more often than every 20 ms (producers) or 50 ms (others), and at the latest
 * when its time is over.
 *
 * A producer's own records come from memory (recent.c), by its bit; everybody else's from disk, a bounded number of
 * reads in a round. Only committed records are handed out.
 */
#include "consumer/consumer_internal.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>

#define PRODUCER_GAP_MS 20
#define READER_GAP_MS 50
#define WAIT_MAX_MS 2000 /* so that a peer that waits is heard of now and then */
#define DISK_READS 4     /* in one round */
#define EVENT_LIST_MAX 1024
#define EVENT_BYTES 96 /* of an encoded event besides its texts, at most */
#define MOVING_MS 100  /* how old the sums of moving bytes may be */

/* Whose key is no reader's follows its own uploads. */
static bool may_tail(const struct consumer *c, const struct peer *peer, enum tail_filter filter) {
    return filter == TAIL_MINE || core_sees_all(c, peer);
}

int tail_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    if (!may_tail(c, peer, m->tail.filter))
        return core_answer_error(c, &peer->route, m->number, PROTOCOL_ROLE, "that is for readers");
    peer->tailing = true;
    peer->tail = m->tail;
    peer->tail.seq = m->tail.seq ? m->tail.seq : 1;
    peer->tail_number = m->number;
    peer->tail_asked_ms = core_time(c);
    if (peer->tail.wait_ms > WAIT_MAX_MS)
        peer->tail.wait_ms = WAIT_MAX_MS;
    return m->tail.stops && peer->role == ROLE_PRODUCER && !peer->stops ? stops_begin(c, peer) : 0;
}

static bool has_news(const struct consumer *c, const struct peer *peer) {
    const struct msg_tail *t = &peer->tail;
    if (t->filter != TAIL_MINE)
        return t->seq <= journal_seq(c->journal) || t->event != c->events.next;
    const struct book *book = &c->books[peer->place];
    return peer->fleet_version != c->fleet.version || t->seq <= book->last_seq || t->event <= book->last_event ||
           t->seq < peer->since_seq || t->event < peer->since_event || t->event > c->events.next;
}

static uint64_t due_ms(const struct consumer *c, const struct peer *peer) {
    uint64_t over = peer->tail_asked_ms + peer->tail.wait_ms;
    uint64_t gap = peer->role == ROLE_PRODUCER ? PRODUCER_GAP_MS : READER_GAP_MS;
    uint64_t news = peer->tail_answered_ms + gap;
    return has_news(c, peer) && news < over ? news : over;
}

uint64_t tail_deadline_ms(const struct consumer *c) {
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *peer = c->peers.all[i];
        uint64_t due = peer->tailing ? due_ms(c, peer) + c->leases.stood_still_ms : UINT64_MAX;
        first = due < first ? due : first;
    }
    return first;
}

/* ---- lines ---- */

static int take_mine(struct consumer *c, const struct peer *peer, struct msg_records *out, uint32_t max) {
    const struct msg_tail *t = &peer->tail;
    if (t->seq < c->recent.complete_from || t->seq < peer->since_seq) { /* what is missing is in the next PLANNED */
        out->resync = true;
        out->next = journal_seq(c->journal) + 1;
        return 0;
    }
    return recent_read(&c->recent, peer_bit(peer), core_sees_all(c, peer), t->seq, journal_seq(c->journal), max,
                       core_room(c, LINES_BYTES), &c->lines, &out->line_count, &out->next);
}

/* Keeps the first max lines that match; *seq moves past what was looked at. A line names its upload as
 * "upload":"<id>", and nothing inside a JSON string can look so, for quotes are escaped there. */
static uint32_t keep_lines(struct buf *lines, const char *match, uint32_t max, uint64_t *seq) {
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

static int take_from_disk(struct consumer *c, const struct peer *peer, struct msg_records *out, uint32_t max) {
    char match[ID_HEX_SIZE + 16] = "", hex[ID_HEX_SIZE];
    uint64_t next, seq = peer->tail.seq;
    out->next = seq;
    if (seq > journal_seq(c->journal))
        return 0;
    int rc = journal_read(c->journal, seq, core_room(c, LINES_BYTES), &c->lines, &next);
    if (rc && rc != ERR_NOMEM) { /* a file that cannot be read is the reader's trouble, not the journal's */
        if (rc != ERR_NOT_FOUND)
            log_warn("records from seq %llu on cannot be read: %s", (unsigned long long)seq, err_text(rc));
        buf_clear(&c->lines);
        out->resync = true;
        return 0;
    }
    if (rc)
        return rc;
    if (peer->tail.filter == TAIL_UPLOAD) {
        id_to_hex(&peer->tail.upload, hex);
        snprintf(match, sizeof match, "\"upload\":\"%s\"", hex);
    }
    out->line_count = keep_lines(&c->lines, match[0] ? match : NULL, max, &seq);
    out->next = seq;
    return 0;
}

static int take_lines(struct consumer *c, const struct peer *peer, struct msg_records *out) {
    uint32_t max = peer->tail.max_records ? peer->tail.max_records : UINT32_MAX;
    buf_clear(&c->lines);
    int rc = peer->tail.filter == TAIL_MINE ? take_mine(c, peer, out, max) : take_from_disk(c, peer, out, max);
    out->lines = buf_slice(&c->lines);
    return rc;
}

/* ---- events ---- */

static bool wants(const struct peer *peer, const struct event_entry *entry) {
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

static void take_events(struct consumer *c, const struct peer *peer, struct msg_records *out) {
    const struct events *ring = &c->events;
    uint64_t at = peer->tail.event;
    size_t bytes = 0, room = core_room(c, EVENTS_BYTES);
    out->events = c->event_list;
    if (at < ring->first || at > ring->next || (peer->tail.filter == TAIL_MINE && at < peer->since_event)) {
        out->resync = out->resync || peer->tail.filter == TAIL_MINE;
        at = peer->tail.filter == TAIL_MINE || at > ring->next ? ring->next : ring->first;
    }
    for (; at < ring->next; at++) {
        const struct event_entry *entry = events_at(ring, at);
        if (!wants(peer, entry))
            continue;
        bytes += EVENT_BYTES + entry->e.worker.len + entry->e.detail.len;
        if (out->event_count == EVENT_LIST_MAX || (out->event_count > 0 && bytes > room))
            break;
        c->event_list[out->event_count++] = entry->e;
    }
    out->event_next = at;
}

/* ---- fleet ---- */

static void sum_moving(struct consumer *c) {
    if (core_time(c) < c->moving_ms + MOVING_MS && c->moving_ms)
        return;
    c->moving_ms = core_time(c);
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        c->books[i].moving_bytes = 0;
    for (struct list *n = c->leases.by_age.next; n != &c->leases.by_age; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, by_age);
        for (uint64_t p = l->upload && !l->second && !l->lost ? l->upload->producers : 0; p; p &= p - 1)
            c->books[__builtin_ctzll(p)].moving_bytes += l->bytes;
    }
}

static uint32_t share(const struct consumer *c, uint32_t free_places) {
    uint32_t producers = 0;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        producers += c->peers.producers[i] && c->books[i].uploads > 0;
    uint32_t part = free_places / (producers ? producers : 1);
    return part || !free_places ? part : 1;
}

static void note_outage(const struct peer *p, struct fleet *f) {
    f->outage_uploaders += p->outage_ms > 0;
    if (p->outage_ms <= f->outage_ms)
        return;
    f->outage_ms = p->outage_ms;
    f->outage = slice_of(p->outage);
}

static void describe_fleet(struct consumer *c, const struct peer *peer, struct fleet *f) {
    uint64_t bit = peer_bit(peer), free_places = 0, fresh_places = 0, slots = 0;
    uint32_t fresh = 0;
    sum_moving(c);
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.all[i];
        if (p->role != ROLE_UPLOADER || core_time(c) > p->heard_ms + c->leases.lease_ms)
            continue;
        f->uploaders++;
        f->unable += (p->unable & bit) != 0;
        slots += p->slots;
        note_outage(p, f);
        fresh += fleet_is_fresh(c, p);
        *(fleet_is_fresh(c, p) ? &fresh_places : &free_places) += p->free;
    }
    if (fresh == f->uploaders) /* nobody is there who could get in the way of those that have just come */
        free_places += fresh_places;
    f->slots = slots < UINT32_MAX ? (uint32_t)slots : UINT32_MAX;
    f->free = c->draining ? 0 : free_places < UINT32_MAX ? (uint32_t)free_places : UINT32_MAX;
    f->share = share(c, f->free);
    f->retries = c->retries;
    f->local_uploaders = c->fleet.dials.uploaders;
    if (bit) {
        f->moving_bytes = c->books[peer->place].moving_bytes;
        f->again_bytes = c->books[peer->place].again_bytes;
    }
}

/* ---- stragglers ---- */

static void list_slow(struct consumer *c, const struct peer *peer, struct msg_records *out) {
    out->slow = c->slow_refs;
    for (size_t i = 0; i < c->slow_count && out->fleet.free > 0; i++)
        if (c->slow[i].producers & peer_bit(peer))
            c->slow_refs[out->slow_count++] = c->slow[i].ref;
}

/* ---- answers ---- */

static int answer(struct consumer *c, struct peer *peer) {
    struct msg m = {.type = MSG_RECORDS, .number = peer->tail_number};
    struct msg_records *out = &m.records;
    *out = (struct msg_records){.epoch = journal_epoch(c->journal),
                                .head_seq = journal_seq(c->journal),
                                .head = slice_of(journal_head(c->journal))};
    int rc = take_lines(c, peer, out);
    if (rc == ERR_NOMEM)
        return 0; /* later */
    if (rc)
        return rc;
    take_events(c, peer, out);
    describe_fleet(c, peer, &out->fleet);
    list_slow(c, peer, out);
    peer->tailing = false;
    peer->tail_answered_ms = core_time(c);
    peer->fleet_version = c->fleet.version;
    return core_answer(c, &peer->route, &m);
}

static bool needs_disk(const struct consumer *c, const struct peer *peer) {
    return peer->tail.filter != TAIL_MINE && peer->tail.seq <= journal_seq(c->journal);
}

int tail_answer_due(struct consumer *c) {
    int reads = 0;
    c->more = false;
    if (!c->event_list && !(c->event_list = calloc(EVENT_LIST_MAX, sizeof *c->event_list)))
        return ERR_NOMEM;
    for (size_t i = 0; i < c->peers.count; i++) {
        struct peer *peer = c->peers.all[(c->tail_turn + i) % c->peers.count];
        if (!peer->tailing || due_ms(c, peer) > core_time(c))
            continue;
        if (core_is_deaf(c, peer) || !may_tail(c, peer, peer->tail.filter)) { /* nor is it in the way of others */
            peer->tailing = false;
            continue;
        }
        if (needs_disk(c, peer) && ++reads > DISK_READS) { /* who comes next goes on here */
            c->tail_turn = (c->tail_turn + i) % c->peers.count;
            c->more = true;
            return 0;
        }
        int rc = answer(c, peer);
        if (rc)
            return rc;
    }
    return 0;
}
