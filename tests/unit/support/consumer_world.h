/*
 * A consumer without a socket, for tests: a real journal in the test's directory, peers that send
 * encoded messages, a clock that only the test moves, and a list of all messages that the consumer
 * sent.
 */
#ifndef CHUNKLIFT_CONSUMER_WORLD_H
#define CHUNKLIFT_CONSUMER_WORLD_H

#include "unit.h"

#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/journal/snapshot_file.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/state/snapshot.h"
#include "system/fileid.h"
#include "system/log.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define JOURNAL_DIR "journal"
#define PART ((uint64_t)8 << 20)
#define UNUSED __attribute__((unused))
#define SENT_MAX 4096

struct world_sent {
    char to[ROUTE_MAX + 1];
    struct buf frame;
    struct msg msg;
};
static struct world {
    struct consumer *c;
    struct consumer_options o;
    uint64_t now;
    struct world_sent sent[SENT_MAX];
    size_t count;
    uint64_t number;
    struct curve_key key; /* of the sender; empty: without keys */
    int send_error;       /* the result of sending */
    uint64_t fsyncs;      /* fdatasyncs so far */
    uint64_t last_fsyncs; /* when the last frame was sent */
    bool disk_broken;
} w;

/* ---- the disk ---- */

static ssize_t world_write(int fd, const void *bytes, size_t len) {
    errno = EIO;
    return w.disk_broken ? -1 : write(fd, bytes, len);
}
static int world_fdatasync(int fd) {
    (void)fd;
    w.fsyncs++;
    return w.disk_broken ? -1 : 0;
}
static int world_fsync(int fd) {
    (void)fd;
    return 0;
}
static const struct journal_io world_io = {world_write, world_fdatasync, world_fsync, rename};

/* ---- life ---- */

static int world_send(void *arg, const void *route, size_t len, struct slice frame) {
    (void)arg;
    assert_true(w.count < SENT_MAX);
    assert_int_equal(journal_gathered(w.c->journal).len, 0); /* rule 8: no message leaves before the commit */
    struct world_sent *s = &w.sent[w.count++];
    memcpy(s->to, route, len);
    s->to[len] = '\0';
    s->frame = (struct buf)BUF_INIT;
    assert_int_equal(buf_add_slice(&s->frame, frame), 0);
    assert_int_equal(msg_decode(buf_slice(&s->frame), &s->msg), 0);
    w.last_fsyncs = w.fsyncs;
    return w.send_error;
}

UNUSED static void world_clear_sent(void) {
    for (size_t i = 0; i < w.count; i++) {
        msg_release(&w.sent[i].msg);
        buf_release(&w.sent[i].frame);
    }
    w.count = 0;
}

/* Starts the consumer on the journal in the directory. */
UNUSED static void world_start(void) {
    w.o.dir = JOURNAL_DIR;
    w.o.io = &world_io;
    w.o.send = world_send;
    if (!w.o.lease_ms)
        w.o.lease_ms = 10000;
    assert_int_equal(consumer_new(&w.c, &w.o, w.now), 0);
}

/* kill -9: no message is sent and no record is written. */
UNUSED static void world_kill(void) {
    world_clear_sent();
    consumer_destroy(&w.c);
}

UNUSED static int world_setup(void **state) {
    (void)state;
    memset(&w, 0, sizeof w);
    w.now = 1000000;
    w.number = 1;
    log_setup("test", LOG_WARN, false);
    assert_int_equal(system("rm -rf " JOURNAL_DIR), 0);
    world_start();
    return 0;
}

UNUSED static int world_teardown(void **state) {
    (void)state;
    world_kill();
    return 0;
}

/* ---- messages ---- */

/* A peer is a letter, which is its incarnation and its routing id. */
static struct id128 world_incarnation(char peer) {
    struct id128 id = {{0}};
    memset(id.b, peer, sizeof id.b);
    return id;
}

static void world_deliver_bytes(char peer, struct slice bytes) {
    char *copy = slice_dup(bytes);
    assert_non_null(copy);
    struct frame f = FRAME_INIT;
    f.data = slice_make(copy, bytes.len);
    f.peer[0] = (uint8_t)peer;
    f.peer_len = 1;
    f.key = w.key;
    assert_int_equal(consumer_take(w.c, &f, w.now), 0);
    /* PLAN and CLAIM wait for the round and need the bytes until then */
    assert_int_equal(consumer_round(w.c, 0, w.now), 0);
    free(copy);
}

/* Delivers m and runs a round. Returns the number of the request. */
UNUSED static uint64_t world_deliver(char peer, struct msg *m) {
    struct buf frame = BUF_INIT;
    m->sender = world_incarnation(peer);
    m->number = ++w.number;
    assert_int_equal(msg_encode(m, &frame), 0);
    world_deliver_bytes(peer, buf_slice(&frame));
    buf_release(&frame);
    return m->number;
}

/* The last message of this type to this peer; NULL: there is none. */
UNUSED static const struct msg *world_last(char peer, enum msg_type type) {
    for (size_t i = w.count; i-- > 0;)
        if (w.sent[i].to[0] == peer && w.sent[i].msg.type == type)
            return &w.sent[i].msg;
    return NULL;
}

/* The reply to the last request, which must be of this type. */
UNUSED static const struct msg *world_answer(char peer, enum msg_type type) {
    const struct msg *m = world_last(peer, type);
    assert_non_null(m);
    assert_int_equal(m->number, w.number);
    return m;
}

/* Time passes. At its end the socket was read until empty. */
UNUSED static void world_advance(uint64_t ms) {
    w.now += ms;
    assert_int_equal(consumer_round(w.c, w.now, w.now), 0);
}

UNUSED static void world_hello(char peer, enum role role) {
    struct msg m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){.role = role,
                                 .host = slice_of("host"),
                                 .boot = slice_of(boot_id()),
                                 .pid = (uint64_t)peer,
                                 .starttime = 1,
                                 .slots = 8,
                                 .jobs = role == ROLE_PRODUCER ? slice_of("ipc:///jobs") : slice_of("")};
    world_deliver(peer, &m);
    world_answer(peer, MSG_WELCOME);
}

/* The producer 'P' and the uploaders 'U' and 'V'. */
UNUSED static void world_join(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('V', ROLE_UPLOADER);
}

UNUSED static void world_bye(char peer) {
    struct msg m = {.type = MSG_BYE};
    world_deliver(peer, &m);
}

/* ---- planning ---- */

UNUSED static struct plan_file world_file(const char *path, const char *dest, uint64_t size) {
    return (struct plan_file){
        .index = 7,
        .source = {.name = slice_of(""),
                   .path = slice_of(path),
                   .file = {.size = size, .mtime_ns = 1111, .ctime_ns = 2222, .ino = 3333},
                   .boot = slice_of(boot_id())},
        .target = {.dest = slice_of(dest), .endpoint = slice_of("")},
        .chunk_size = PART,
        .chunks = (uint32_t)((size + PART - 1) / PART),
    };
}

UNUSED static struct planned_file world_plan(char peer, const struct plan_file *file) {
    struct plan_file copy = *file;
    struct msg m = {.type = MSG_PLAN};
    m.plan = (struct msg_plan){.files = &copy, .file_count = 1};
    world_deliver(peer, &m);
    const struct msg_planned *answer = &world_answer(peer, MSG_PLANNED)->planned;
    assert_int_equal(answer->file_count, 1);
    assert_int_equal(answer->files[0].index, file->index);
    return answer->files[0];
}

/* ---- claiming and completing ---- */

UNUSED static struct ref world_ref(enum job_kind kind, struct id128 upload, uint32_t chunk) {
    return (struct ref){.kind = kind, .upload = upload, .chunk = chunk};
}

UNUSED static struct verdict world_claim_held(char peer, struct ref ref, const char *handle, bool held) {
    struct claim claim = {.ref = ref, .handle = slice_of(handle), .held = held};
    struct msg m = {.type = MSG_CLAIM};
    m.claim = (struct msg_claim){.claims = &claim, .claim_count = 1};
    world_deliver(peer, &m);
    const struct msg_verdict *answer = &world_answer(peer, MSG_VERDICT)->verdict;
    assert_int_equal(answer->verdict_count, 1);
    return answer->verdicts[0];
}
UNUSED static struct verdict world_claim(char peer, struct ref ref, const char *handle) {
    return world_claim_held(peer, ref, handle, false);
}

UNUSED static struct result world_result(struct ref ref, const char *handle) {
    struct result r = {.ref = ref, .outcome = OUTCOME_DONE, .handle = slice_of(handle), .crc = 0x1a2b3c4d, .ms = 5};
    if (ref.kind == JOB_CHUNK) {
        r.offset = ref.chunk * PART;
        r.length = PART;
        r.sent_bytes = PART;
        r.etag = slice_of("0123456789abcdef0123456789abcdef");
    }
    return r;
}

UNUSED static struct ack world_complete(char peer, const struct result *result) {
    struct result copy = *result;
    struct msg m = {.type = MSG_COMPLETE};
    m.complete = (struct msg_complete){.results = &copy, .result_count = 1};
    world_deliver(peer, &m);
    const struct msg_ack *answer = &world_answer(peer, MSG_ACK)->ack;
    assert_int_equal(answer->ack_count, 1);
    assert_int_equal(answer->acks[0].outcome, result->outcome);
    return answer->acks[0];
}
UNUSED static struct ack world_done(char peer, struct ref ref, const char *handle) {
    struct result r = world_result(ref, handle);
    return world_complete(peer, &r);
}

UNUSED static void world_beat(char peer, const struct ref *refs, size_t count, uint32_t free_places) {
    struct lease_mark marks[16] = {0};
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        marks[i] = (struct lease_mark){.ref = refs[i], .bytes = 1000};
    struct msg m = {.type = MSG_HEARTBEAT};
    m.heartbeat =
        (struct msg_heartbeat){.slots = 8, .free = free_places, .leases = marks, .lease_count = count, .retries = 3};
    world_deliver(peer, &m);
}
UNUSED static size_t world_invalid(char peer) {
    return world_answer(peer, MSG_BEAT)->beat.invalid_count;
}

UNUSED static void world_release(char peer, struct ref ref, enum why why) {
    struct released job = {.ref = ref, .why = why, .after_ms = 77, .detail = slice_of("because")};
    struct msg m = {.type = MSG_RELEASE};
    m.release = (struct msg_release){.jobs = &job, .job_count = 1};
    world_deliver(peer, &m);
}

/* Planned by 'P', begun by uploader `peer` with handle "H". */
UNUSED static struct id128 world_begun(char producer, char uploader, const char *path, const char *dest,
                                       uint32_t chunks) {
    struct plan_file file = world_file(path, dest, chunks * PART);
    struct id128 id = world_plan(producer, &file).upload;
    assert_int_equal(world_claim(uploader, world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(world_done(uploader, world_ref(JOB_BEGIN, id, 0), "H").kind, ACK_RECORDED);
    return id;
}
UNUSED static void world_chunk(char uploader, struct id128 id, uint32_t chunk) {
    assert_int_equal(world_claim(uploader, world_ref(JOB_CHUNK, id, chunk), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done(uploader, world_ref(JOB_CHUNK, id, chunk), "H").kind, ACK_RECORDED);
}
UNUSED static void world_finish(char uploader, struct id128 id) {
    assert_int_equal(world_claim(uploader, world_ref(JOB_FINISH, id, 0), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done(uploader, world_ref(JOB_FINISH, id, 0), "H").kind, ACK_RECORDED);
}

/* ---- following ---- */

UNUSED static const struct msg_records *world_tail(char peer, uint64_t seq, uint64_t event, enum tail_filter filter,
                                                   struct id128 upload) {
    struct msg m = {.type = MSG_TAIL};
    m.tail = (struct msg_tail){.seq = seq, .event = event, .filter = filter, .upload = upload};
    w.now += 100; /* longer than the pause between two replies */
    world_deliver(peer, &m);
    return &world_answer(peer, MSG_RECORDS)->records;
}

/* The number of journal lines with this ev. */
UNUSED static unsigned world_occurrences(const char *match) {
    struct buf all = BUF_INIT;
    uint64_t seq = 1, next;
    unsigned count = 0;
    while (seq <= journal_seq(w.c->journal)) {
        assert_int_equal(journal_read(w.c->journal, seq, 1 << 20, &all, &next), 0);
        seq = next;
    }
    for (const char *at = all.data; at && (at = strstr(at, match)); at++)
        count++;
    buf_release(&all);
    return count;
}

UNUSED static unsigned world_count(const char *ev) {
    char match[32];
    snprintf(match, sizeof match, "\"ev\":\"%s\"", ev);
    return world_occurrences(match);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

#endif
