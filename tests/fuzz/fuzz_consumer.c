/*
 * Any messages of any peers to a consumer, in any order, with time passing and restarts in between: the decoder with
 * everything behind it, on a real journal. Input: steps of one byte, a length (two bytes, little-endian) and as many
 * bytes. The first byte is a connection and the bytes a message from there; 0xff: as many milliseconds pass; 0xfe: it
 * is killed and started again; 0xfd: short replies on or off.
 *   - every message that leaves can be read, has an allowed size, of this journal, and committed before;
 *   - the journal stays valid, every chunk has one record, `finish` comes after all of them;
 *   - a consumer started on it finds the same uploads.
 * Seeds: corpus/consumer, conversations of honest peers.
 */
#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/state/snapshot.h"
#include "journal/verify.h"
#include "pure/check.h"
#include "scratch.h"
#include "state_books.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define STEPS_MAX 200
#define CHUNKS_ALL_MAX 4096 /* a `begin` may have half a million, and takes memory for them */

enum { STEP_TIME = 0xff, STEP_RESTART = 0xfe, STEP_BRIEF = 0xfd };

static struct consumer *c;
static uint64_t now_ms;

static int no_sync(int fd) {
    (void)fd;
    return 0;
}
static const struct journal_io io = {.write = write, .fdatasync = no_sync, .fsync = no_sync, .rename = rename};

static int sent(void *arg, const void *route, size_t len, struct slice frame) {
    struct msg m;
    (void)arg, (void)route;
    CHECK(len > 0 && len <= ROUTE_MAX && frame.len <= PROTO_FRAME_MAX);
    CHECK(journal_gathered(c->journal).len == 0); /* rule 8 */
    CHECK(msg_decode(frame, &m) == 0);
    CHECK(id_equal(&m.journal, journal_id(c->journal)));
    CHECK(!c->short_replies || frame.len <= (32 << 10) || m.type == MSG_VERDICT || m.type == MSG_ACK ||
          m.type == MSG_BEAT || m.type == MSG_WELCOME);
    msg_release(&m);
    return frame.len % 7 == 0 ? ERR_AGAIN : 0; /* some do not read */
}

static void start(void) {
    struct consumer_options o = {.dir = scratch_dir(), .lease_ms = 1000, .io = &io, .send = sent};
    CHECK(consumer_new(&c, &o, now_ms) == 0);
    check_books(&c->state);
}

/* --- steps --- */

static void say(uint8_t from, struct slice bytes) {
    char *copy = slice_dup(bytes); /* PLAN and CLAIM wait for the round */
    CHECK(copy);
    struct frame f = {.data = slice_make(copy, bytes.len), .peer = {from, 1}, .peer_len = 2};
    CHECK(consumer_take(c, &f, now_ms) == 0);
    CHECK(consumer_round(c, now_ms, now_ms) == 0);
    free(copy);
}

static bool is_small(struct slice bytes) {
    struct msg m;
    uint64_t chunks = 0;
    if (msg_decode(bytes, &m))
        return true;
    for (size_t i = 0; m.type == MSG_PLAN && i < m.plan.file_count; i++)
        chunks += m.plan.files[i].chunks;
    msg_release(&m);
    return chunks <= CHUNKS_ALL_MAX;
}

static void step(uint8_t what, struct slice bytes) {
    if (what == STEP_TIME) {
        now_ms += bytes.len;
        CHECK(consumer_round(c, now_ms, now_ms) == 0);
    } else if (what == STEP_RESTART) {
        consumer_destroy(&c);
        start();
    } else if (what == STEP_BRIEF) {
        consumer_set_short_replies(c, bytes.len & 1);
    } else if (is_small(bytes)) {
        say(what, bytes);
    }
    CHECK(consumer_deadline_ms(c, now_ms) >= now_ms);
}

/* --- the journal, read once more --- */

struct chunk_seen {
    struct id128 upload;
    uint32_t chunk;
};
static struct records {
    struct chunk_seen *chunks;
    size_t count, cap;
    uint64_t seq;
} seen;

static size_t find_chunk(const struct record *r) {
    size_t i = 0;
    while (i < seen.count && !(seen.chunks[i].chunk == r->chunk && id_equal(&seen.chunks[i].upload, &r->upload)))
        i++;
    return i;
}

static void see_chunk(const struct record *r) {
    CHECK(find_chunk(r) == seen.count); /* rule 7 */
    if (seen.count == seen.cap) {
        seen.cap = seen.cap ? 2 * seen.cap : 64;
        CHECK((seen.chunks = reallocarray(seen.chunks, seen.cap, sizeof *seen.chunks)) != NULL);
    }
    seen.chunks[seen.count++] = (struct chunk_seen){r->upload, r->chunk};
}

static void see_redo(const struct record *r) {
    size_t i = find_chunk(r);
    CHECK(i < seen.count);
    seen.chunks[i] = seen.chunks[--seen.count];
}

static void see(struct slice line) {
    struct record r;
    struct buf scratch = BUF_INIT;
    CHECK(record_parse(line, &r, &scratch) == 0 && r.seq == ++seen.seq);
    if (r.ev == EV_CHUNK)
        see_chunk(&r);
    else if (r.ev == EV_REDO)
        see_redo(&r);
    buf_release(&scratch);
}

static void check_journal(void) {
    struct verify_report report;
    struct buf text = BUF_INIT;
    seen.count = 0;
    seen.seq = 0;
    CHECK(journal_verify(scratch_dir(), journal_head(c->journal), &report) == 0 && report.has_head);
    CHECK(scratch_read("journal.jsonl", &text));
    for (size_t at = 0; at < text.len;) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        CHECK(end);
        see(slice_make(text.data + at, (size_t)(end - text.data) - at));
        at = (size_t)(end - text.data) + 1;
    }
    CHECK(seen.seq == journal_seq(c->journal));
    buf_release(&text);
}

/* --- one input --- */

static void check_found_again(void) {
    struct buf before = BUF_INIT, after = BUF_INIT;
    bool clean;
    CHECK(consumer_stop(c, &clean) == 0);
    must(snapshot_encode(&c->state, &before));
    consumer_destroy(&c);
    start();
    must(snapshot_encode(&c->state, &after));
    CHECK(slice_equal(buf_slice(&before), buf_slice(&after)));
    check_journal();
    consumer_destroy(&c);
    buf_release(&before);
    buf_release(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    log_setup("fuzz", LOG_ERROR, false);
    scratch_empty();
    now_ms = 1000000;
    start();
    for (int i = 0; i < STEPS_MAX && size >= 3; i++) {
        size_t len = bytes[1] | (size_t)bytes[2] << 8;
        len = len < size - 3 ? len : size - 3;
        bool passes = bytes[0] >= STEP_BRIEF; /* these have no bytes, only a length */
        step(bytes[0], slice_make(bytes + 3, passes ? bytes[1] | (size_t)bytes[2] << 8 : len));
        bytes += 3 + (passes ? 0 : len);
        size -= 3 + (passes ? 0 : len);
    }
    check_journal();
    check_found_again();
    return 0;
}
