#include "journal_lines.h"

#include "capture.h"
#include "producer/cli/journal/journal_summary.h"

struct seen {
    int count;
    struct {
        uint8_t id;
        enum upload_state state;
        uint64_t size, done_bytes;
        uint32_t chunks, chunks_done, redone;
        char src[64], dest[64], error[64], etag[32];
        bool begun, put, has_crc;
        int64_t first_us, last_us;
    } u[16];
};
static struct seen seen;
static struct journal_totals totals;

static int each(void *arg, const struct upload_summary *u) {
    struct seen *s = arg;
    assert_true(s->count < 16);
    int i = s->count++;
    s->u[i].id = u->id.b[0];
    s->u[i].state = u->state;
    s->u[i].size = u->size;
    s->u[i].done_bytes = u->done_bytes;
    s->u[i].chunks = u->geometry.chunks;
    s->u[i].chunks_done = u->chunks_done;
    s->u[i].redone = u->redone;
    s->u[i].begun = u->begun;
    s->u[i].put = u->put;
    s->u[i].has_crc = u->has_crc;
    s->u[i].first_us = u->first_us;
    s->u[i].last_us = u->last_us;
    snprintf(s->u[i].src, 64, "%.*s", (int)u->src.len, u->src.len ? u->src.ptr : "");
    snprintf(s->u[i].dest, 64, "%.*s", (int)u->dest.len, u->dest.len ? u->dest.ptr : "");
    snprintf(s->u[i].error, 64, "%.*s", (int)u->error.len, u->error.len ? u->error.ptr : "");
    snprintf(s->u[i].etag, 32, "%.*s", (int)u->etag.len, u->etag.len ? u->etag.ptr : "");
    return 0;
}

static int read_it(void) {
    seen = (struct seen){0};
    return journal_summary_read(test_journal.dir, each, &seen, &totals);
}

#define CHUNK 65536

static struct record about(enum record_ev ev, uint8_t id) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD, .worker = slice_of("h/1")};
    r.upload.b[0] = id;
    return r;
}

static void identity(struct record *r, const char *src, const char *dest, uint64_t size) {
    r->has |= HAS_SRC | HAS_DEST;
    r->src = slice_of(src);
    r->dest = slice_of(dest);
    r->file.size = size;
}

static void begin(uint8_t id, const char *src, uint32_t chunks) {
    struct record r = about(EV_BEGIN, id);
    identity(&r, src, "s3://b/k", (uint64_t)chunks * CHUNK - 1);
    r.has |= HAS_GEOMETRY | HAS_HANDLE;
    r.chunk_size = CHUNK;
    r.chunks = chunks;
    r.handle = slice_of("h");
    lines_add(&test_journal, &r);
}

static void chunk(uint8_t id, uint32_t number) {
    struct record r = about(EV_CHUNK, id);
    r.has |= HAS_CHUNK | HAS_CRC | HAS_WORKER | HAS_MS;
    r.chunk = number;
    r.offset = (uint64_t)number * CHUNK;
    r.length = CHUNK;
    lines_add(&test_journal, &r);
}

static void redo(uint8_t id, uint32_t number) {
    struct record r = about(EV_REDO, id);
    r.has |= HAS_CHUNK;
    r.chunk = number;
    lines_add(&test_journal, &r);
}

static void finish(uint8_t id, uint64_t size) {
    struct record r = about(EV_FINISH, id);
    r.has |= HAS_DEST | HAS_CRC | HAS_MS | HAS_ETAG;
    r.dest = slice_of("s3://b/k");
    r.file.size = size;
    r.etag = slice_of("e-2");
    lines_add(&test_journal, &r);
}

static void test_life_of_an_upload(void **state) {
    (void)state;
    struct record open = about(EV_OPEN, 1);
    identity(&open, "/a", "s3://b/k", 3 * CHUNK - 1);
    lines_add(&test_journal, &open);
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.u[0].state, UPLOAD_UNFINISHED);
    assert_false(seen.u[0].begun);
    begin(1, "/a", 3);
    chunk(1, 2);
    chunk(1, 0);
    chunk(1, 0); /* twice counts once */
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].chunks_done, 2);
    assert_int_equal(seen.u[0].done_bytes, 2 * CHUNK - 1); /* the last one is shorter */
    redo(1, 2);
    redo(1, 2);
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].chunks_done, 1);
    assert_int_equal(seen.u[0].redone, 1);
    assert_int_equal(seen.u[0].done_bytes, CHUNK);
    lines_rotate(&test_journal);
    chunk(1, 1);
    chunk(1, 2);
    finish(1, 3 * CHUNK - 1);
    chunk(1, 1); /* late: no effect */
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.u[0].state, UPLOAD_FINISHED);
    assert_int_equal(seen.u[0].chunks_done, 3);
    assert_string_equal(seen.u[0].src, "/a");
    assert_string_equal(seen.u[0].dest, "s3://b/k");
    assert_string_equal(seen.u[0].etag, "e-2");
    assert_int_equal(totals.finished, 1);
    assert_int_equal(totals.finished_bytes, 3 * CHUNK - 1);
    assert_int_equal(totals.unfinished, 0);
    assert_int_equal(totals.seq, test_journal.seq);
    assert_string_equal(totals.head, test_journal.chain.h);
}

static void test_ended_ones_first_then_the_rest(void **state) {
    (void)state;
    begin(1, "/one", 2);
    begin(2, "/two", 2);
    begin(3, "/three", 2);
    begin(4, "/four", 2);
    struct record fail = about(EV_FAIL, 2), abort = about(EV_ABORT, 3), put = about(EV_PUT, 5);
    fail.class = slice_of("denied");
    fail.error = slice_of("AccessDenied");
    abort.reason = slice_of("superseded");
    identity(&put, "/five\n\xff", "file:///x", 7);
    put.has |= HAS_CRC | HAS_WORKER | HAS_MS;
    lines_add(&test_journal, &put);
    lines_add(&test_journal, &fail);
    lines_add(&test_journal, &abort);
    finish(4, 5);
    lines_stops(&test_journal, 1);
    assert_int_equal(read_it(), 0);
    static const uint8_t order[] = {5, 3, 4, 1, 2};
    assert_int_equal(seen.count, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(seen.u[i].id, order[i]);
    assert_true(seen.u[0].put);
    assert_string_equal(seen.u[0].src, "/five\n\xff");
    assert_int_equal(seen.u[1].state, UPLOAD_ABORTED);
    assert_string_equal(seen.u[1].error, "superseded");
    assert_int_equal(seen.u[4].state, UPLOAD_FAILED);
    assert_string_equal(seen.u[4].error, "AccessDenied");
    assert_int_equal(totals.finished, 2);
    assert_int_equal(totals.aborted, 1);
    assert_int_equal(totals.failed, 1);
    assert_int_equal(totals.unfinished, 1);
    assert_true(totals.stopped);
}

/* A put or begin that failed at once has no other record. */
static void test_a_failure_names_its_file(void **state) {
    (void)state;
    struct record fail = about(EV_FAIL, 1);
    fail.class = slice_of("denied");
    fail.has |= HAS_SRC | HAS_DEST;
    fail.src = slice_of("/one");
    fail.dest = slice_of("s3://bucket/one");
    lines_add(&test_journal, &fail);
    assert_int_equal(read_it(), 0);
    assert_string_equal(seen.u[0].src, "/one");
    assert_string_equal(seen.u[0].dest, "s3://bucket/one");
    assert_int_equal(totals.failed, 1);
}

static void test_a_failed_upload_that_goes_on(void **state) {
    (void)state;
    begin(1, "/one", 2);
    struct record fail = about(EV_FAIL, 1);
    fail.class = slice_of("outage");
    lines_add(&test_journal, &fail);
    chunk(1, 0);
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].state, UPLOAD_UNFINISHED);
    assert_int_equal(totals.failed, 0);
}

static int only_count(void *arg, const struct upload_summary *u) {
    (void)u;
    ++*(int *)arg;
    return 0;
}

static void test_many_open_uploads(void **state) {
    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct record r = about(EV_BEGIN, 0);
        memcpy(r.upload.b, &i, sizeof i);
        r.upload.b[15] = 1;
        identity(&r, "/x", "s3://b/k", CHUNK);
        r.has |= HAS_GEOMETRY | HAS_HANDLE;
        r.chunk_size = CHUNK;
        r.chunks = 1;
        lines_add(&test_journal, &r);
    }
    for (int i = 0; i < 5000; i += 2) {
        struct record r = about(EV_ABORT, 0);
        memcpy(r.upload.b, &i, sizeof i);
        r.upload.b[15] = 1;
        lines_add(&test_journal, &r);
    }
    struct journal_totals t;
    int count = 0;
    assert_int_equal(journal_summary_read(test_journal.dir, only_count, &count, &t), 0);
    assert_int_equal(count, 5000);
    assert_int_equal(t.unfinished, 2500);
    assert_int_equal(t.aborted, 2500);
}

static void test_carried_state_counts_once_segments_are_gone(void **state) {
    (void)state;
    begin(1, "/one", 2);
    chunk(1, 0);
    begin(2, "/two", 1);
    finish(2, CHUNK);
    lines_rotate(&test_journal);
    struct record up = about(EV_CARRY, 1), part = about(EV_CARRY, 1), done = about(EV_CARRY, 2);
    up.kind = slice_of("upload");
    identity(&up, "/one", "s3://b/k", 2 * CHUNK - 1);
    up.has |= HAS_GEOMETRY | HAS_HANDLE;
    up.chunk_size = CHUNK;
    up.chunks = 2;
    lines_add(&test_journal, &up);
    part.kind = slice_of("chunk");
    part.has |= HAS_CHUNK | HAS_CRC;
    part.length = CHUNK;
    lines_add(&test_journal, &part);
    done.kind = slice_of("finished");
    identity(&done, "/two", "s3://b/k", CHUNK);
    done.has |= HAS_CRC;
    lines_add(&test_journal, &done);
    for (int dropped = 0; dropped < 2; dropped++) {
        assert_int_equal(read_it(), 0);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.u[0].id, 2);
        assert_int_equal(seen.u[0].state, UPLOAD_FINISHED);
        assert_int_equal(seen.u[1].chunks_done, 1);
        assert_int_equal(seen.u[1].chunks, 2);
        unlink(lines_path(&test_journal, lines_sealed_name(1)));
    }
}

static void test_times_are_those_of_the_first_and_last_record(void **state) {
    (void)state;
    begin(1, "/one", 2);
    chunk(1, 0);
    chunk(1, 1);
    lines_stops(&test_journal, 1);
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].last_us - seen.u[0].first_us, 2); /* a microsecond for each line */
    assert_int_equal(totals.last_us - seen.u[0].last_us, 1);
    assert_false(seen.u[0].has_crc);
    assert_true(totals.stopped);
    finish(1, 2 * CHUNK - 1);
    assert_int_equal(read_it(), 0);
    assert_true(seen.u[0].has_crc);
    assert_false(totals.stopped);
}

/* A carried record has the time of the record that it replaces. */
static void test_carried_upload_keeps_its_time(void **state) {
    const int64_t since_us = 1700000000000000;
    (void)state;
    lines_rotate(&test_journal);
    struct record done = about(EV_CARRY, 2);
    done.kind = slice_of("finished");
    identity(&done, "/two", "s3://b/k", CHUNK);
    done.has |= HAS_CRC | HAS_SINCE;
    done.since_ns = since_us * 1000;
    lines_add(&test_journal, &done);
    unlink(lines_path(&test_journal, lines_sealed_name(1)));
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].first_us, since_us);
    assert_int_equal(seen.u[0].last_us, since_us);
}

static void test_last_epoch_counts(void **state) {
    (void)state;
    lines_epoch(&test_journal, 2);
    lines_epoch(&test_journal, 3);
    assert_int_equal(read_it(), 0);
    assert_int_equal(totals.epoch, 3);
    assert_int_equal(seen.count, 0);
}

static void test_damage_is_passed_over_and_told(void **state) {
    (void)state;
    begin(1, "/one", 2);
    fputs("what\n", test_journal.file);
    begin(2, "/two", CHUNKS_MAX + 1); /* an impossible geometry */
    chunk(1, 7);                      /* a chunk that does not exist */
    chunk(1, 1);
    struct capture said;
    capture_begin(&said, 2);
    int err = read_it();
    capture_end(&said);
    assert_int_equal(err, ERR_DAMAGED);
    assert_non_null(strstr(said.text, "journal.jsonl:3: not a valid line"));
    assert_int_equal(seen.count, 2);
    assert_null(strchr(strchr(said.text, '\n') + 1, '\n')); /* one line, of the first fault */
    assert_int_equal(seen.u[0].chunks_done, 1);
    assert_false(seen.u[1].begun);
}

static void test_chunk_beyond_the_last_one_is_damage(void **state) {
    (void)state;
    begin(1, "/one", 9);
    chunk(1, 8);
    assert_int_equal(read_it(), 0);
    chunk(1, 9);
    assert_int_equal(read_it(), ERR_DAMAGED);
    assert_int_equal(seen.u[0].chunks_done, 1);
}

static void test_chunk_before_the_begin_is_damage(void **state) {
    (void)state;
    struct record open = about(EV_OPEN, 1);
    identity(&open, "/a", "s3://b/k", CHUNK);
    lines_add(&test_journal, &open);
    chunk(1, 0);
    assert_int_equal(read_it(), ERR_DAMAGED);
    assert_int_equal(seen.u[0].chunks_done, 0);
}

/* It is a decision of the user, no part of the upload. */
static void test_forget_does_not_change_an_upload(void **state) {
    (void)state;
    begin(1, "/one", 2);
    assert_int_equal(read_it(), 0);
    int64_t last_us = seen.u[0].last_us;
    struct record forget = about(EV_FORGET, 1);
    lines_add(&test_journal, &forget);
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.u[0].last_us, last_us);
}

static void carry_upload(uint8_t id, uint32_t chunks) {
    struct record r = about(EV_CARRY, id);
    r.kind = slice_of("upload");
    identity(&r, "/one", "s3://b/k", (uint64_t)chunks * CHUNK);
    if (chunks)
        r.has |= HAS_GEOMETRY | HAS_HANDLE;
    r.chunk_size = CHUNK;
    r.chunks = chunks;
    lines_add(&test_journal, &r);
}

static void test_carried_upload_that_is_not_begun(void **state) {
    (void)state;
    lines_rotate(&test_journal);
    carry_upload(1, 0);
    unlink(lines_path(&test_journal, lines_sealed_name(1)));
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].state, UPLOAD_UNFINISHED);
    assert_false(seen.u[0].begun);
}

/* Its own records may still be there. */
static void test_carried_upload_keeps_the_chunks_that_are_known(void **state) {
    (void)state;
    lines_rotate(&test_journal);
    begin(1, "/one", 2);
    chunk(1, 0);
    lines_rotate(&test_journal);
    carry_upload(1, 2);
    unlink(lines_path(&test_journal, lines_sealed_name(1)));
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.u[0].chunks_done, 1);
}

static void removal(enum record_ev ev, uint8_t id) {
    struct record r = about(ev, id);
    r.has |= HAS_DEST;
    r.dest = slice_of("s3://b/k");
    lines_add(&test_journal, &r);
}

static void test_a_removed_object_is_reported_after_its_upload(void **state) {
    (void)state;
    begin(1, "/one", 1);
    finish(1, CHUNK);
    begin(2, "/two", 1);
    removal(EV_DELETING, 1);
    removal(EV_DELETE, 1);
    finish(2, CHUNK);
    removal(EV_DELETING, 2);
    assert_int_equal(read_it(), 0);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.u[0].state, UPLOAD_FINISHED);
    assert_int_equal(seen.u[1].id, 1);
    assert_int_equal(seen.u[1].state, UPLOAD_DELETED);
    assert_string_equal(seen.u[1].dest, "s3://b/k");
    assert_true(seen.u[1].last_us > seen.u[0].last_us);
    assert_int_equal(seen.u[2].id, 2);
    assert_int_equal(seen.u[2].state, UPLOAD_FINISHED); /* its removal was only begun */
    assert_int_equal(totals.finished, 2);
    assert_int_equal(totals.deleted, 1);
    assert_int_equal(totals.unfinished + totals.aborted + totals.failed, 0);
    assert_string_equal(upload_state_name(UPLOAD_DELETED), "deleted");
}

static int stop_at_once(void *arg, const struct upload_summary *u) {
    (void)u;
    ++*(int *)arg;
    return ERR_AGAIN;
}

static void test_each_may_end_it(void **state) {
    (void)state;
    begin(1, "/one", 2);
    begin(2, "/two", 1);
    finish(2, CHUNK);
    int calls = 0;
    assert_int_equal(journal_summary_read(test_journal.dir, stop_at_once, &calls, &totals), ERR_AGAIN);
    assert_int_equal(calls, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_life_of_an_upload), TEST(test_ended_ones_first_then_the_rest), TEST(test_a_failure_names_its_file),
          TEST(test_a_failed_upload_that_goes_on), TEST(test_many_open_uploads),
          TEST(test_carried_state_counts_once_segments_are_gone),
          TEST(test_times_are_those_of_the_first_and_last_record), TEST(test_carried_upload_keeps_its_time),
          TEST(test_last_epoch_counts), TEST(test_damage_is_passed_over_and_told), TEST(test_each_may_end_it),
          TEST(test_chunk_beyond_the_last_one_is_damage), TEST(test_chunk_before_the_begin_is_damage),
          TEST(test_forget_does_not_change_an_upload), TEST(test_carried_upload_that_is_not_begun),
          TEST(test_carried_upload_keeps_the_chunks_that_are_known),
          TEST(test_a_removed_object_is_reported_after_its_upload))
