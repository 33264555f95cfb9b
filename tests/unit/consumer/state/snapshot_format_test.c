/* The body of a snapshot: every value comes back, in pieces of limited size, and a value that no encoder writes is damage. */
#include "numbered_uploads.h"

#include "consumer/state/snapshot.h"
#include "pure/digest.h"

static struct state s, back;

static int setup(void **state) {
    (void)state;
    int err = state_init(&s);
    return err ? err : state_init(&back);
}

static int teardown(void **state) {
    (void)state;
    state_release(&s);
    state_release(&back);
    return 0;
}

static void apply(struct record r) {
    static uint64_t seq;
    r.seq = ++seq;
    r.ts_us = (int64_t)seq * 1000000;
    assert_int_equal(state_apply(&s, &r), 0);
}

static struct upload *back_find(unsigned n) {
    struct id128 id = numbered_id(n);
    return state_find(&back, &id);
}

static struct buf encoded(const struct state *of) {
    struct buf b = BUF_INIT;
    assert_int_equal(snapshot_encode(of, &b), 0);
    return b;
}

/* Decodes the encoded state into `back`, which must give the same bytes. */
static void go_round(void) {
    struct buf first = encoded(&s);
    assert_int_equal(snapshot_decode(buf_slice(&first), &back), 0);
    struct buf second = encoded(&back);
    assert_true(slice_equal(buf_slice(&first), buf_slice(&second)));
    buf_release(&first);
    buf_release(&second);
}

static void test_the_flags_of_an_upload_come_back_one_by_one(void **state) {
    (void)state;
    struct record fail = numbered_record(EV_FAIL, 3);
    apply(numbered_record(EV_OPEN, 1));
    apply(numbered_record(EV_OPEN, 1));
    apply(numbered_record(EV_BEGIN, 2));
    apply(numbered_record(EV_OPEN, 3));
    fail.class = slice_of("outage");
    apply(fail);
    apply(numbered_record(EV_OPEN, 4));
    apply(numbered_record(EV_FAIL, 4));
    apply(numbered_record(EV_OPEN, 5));
    go_round();
    assert_true(back_find(1)->reopened && !back_find(1)->begun && !back_find(1)->has_failed);
    assert_true(back_find(2)->begun && !back_find(2)->reopened && !back_find(2)->spoiled);
    assert_true(back_find(3)->has_failed && !back_find(3)->spoiled);
    assert_true(back_find(4)->has_failed && back_find(4)->spoiled);
    assert_true(back_find(5)->opened && !back_find(5)->begun && !back_find(5)->reopened && !back_find(5)->has_failed);
    struct id128 first = numbered_id(1);
    assert_int_equal(back_find(1)->open_us, state_find(&s, &first)->open_us);
}

static void test_the_numbers_of_an_upload_come_back(void **state) {
    (void)state;
    struct record begin = numbered_record(EV_BEGIN, 1), chunk = numbered_chunk(1, 1);
    begin.has |= HAS_CHECKSUM;
    begin.checksum = slice_of(CHECKSUM_TEXT);
    begin.file.mtime_ns = -((nanotime)1 << 70) - 5;
    begin.file.ctime_ns = ((nanotime)1 << 70) + 5;
    begin.file.ino = UINT64_MAX - 1;
    begin.source = slice_of("nas");
    begin.endpoint = slice_of("http://store");
    apply(begin);
    chunk.has |= HAS_INTEGRITY;
    chunk.integrity = slice_of(integrity_name(INTEGRITY_SHA256));
    chunk.crc = 0xfedcba98;
    apply(chunk);
    go_round();
    const struct upload *u = back_find(1);
    assert_true(u->identity.file.mtime_ns == begin.file.mtime_ns && u->identity.file.ctime_ns == begin.file.ctime_ns);
    assert_true(u->identity.file.ino == begin.file.ino && u->identity.file.size == begin.file.size);
    assert_true(slice_equal(u->identity.source, begin.source) && slice_equal(u->identity.endpoint, begin.endpoint));
    assert_int_equal(u->checksum, CHECKSUM_CRC32C_FULL);
    assert_int_equal(u->integrity, INTEGRITY_SHA256);
    assert_string_equal(u->handle, "H");
    assert_int_equal(u->done_count, 1);
    assert_int_equal(upload_chunk(u, 1)->crc, 0xfedcba98);
    struct id128 id = numbered_id(1);
    assert_int_equal(u->begin_seq, state_find(&s, &id)->begin_seq);
    assert_int_equal(upload_chunk(u, 1)->seq, upload_chunk(state_find(&s, &id), 1)->seq);
}

static void test_ended_and_finished_uploads_come_back(void **state) {
    (void)state;
    struct record superseded = numbered_record(EV_ABORT, 2);
    superseded.reason = slice_of(RECORD_SUPERSEDED);
    apply(numbered_record(EV_PUT, 1));
    apply(superseded);
    apply(numbered_record(EV_ABORT, 3));
    apply(numbered_record(EV_PUT, 1));
    go_round();
    assert_int_equal(back.finished.count, 1);
    assert_int_equal(back.finished.total, 2);
    assert_int_equal(back.finished.entries[0].seq, s.finished.entries[0].seq);
    assert_int_equal(back.recently_ended.count, 3);
    assert_int_equal(recently_ended_at(&back.recently_ended, 0)->how, ENDED_FINISHED);
    assert_int_equal(recently_ended_at(&back.recently_ended, 1)->how, ENDED_SUPERSEDED);
    assert_int_equal(recently_ended_at(&back.recently_ended, 2)->how, ENDED_ABORTED);
}

static void test_the_mark_of_a_removal_comes_back(void **state) {
    (void)state;
    apply(numbered_record(EV_PUT, 1));
    apply(numbered_record(EV_PUT, 2));
    apply(numbered_record(EV_DELETING, 2));
    go_round();
    assert_int_equal(back.finished.count, 2);
    assert_false(back.finished.entries[0].deleting);
    assert_true(back.finished.entries[1].deleting);
    assert_int_equal(back.finished.entries[1].seq, s.finished.entries[1].seq);
}

static void test_planned_uploads_are_left_out(void **state) {
    (void)state;
    struct record r = numbered_record(EV_OPEN, 1);
    struct upload_identity is;
    struct upload *u;
    upload_identity_from_record(&r, &is);
    assert_int_equal(state_add(&s, &r.upload, &is, &u), 0);
    apply(numbered_record(EV_OPEN, 2));
    go_round();
    assert_int_equal(back.count, 1);
    assert_null(back_find(1));
}

/* The order of arrival makes no difference. */
static void test_the_same_state_gives_the_same_bytes(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 20; n++) {
        struct record up = numbered_record(EV_OPEN, n), down = numbered_record(EV_OPEN, 21 - n);
        up.seq = down.seq = 1;
        assert_int_equal(state_apply(&s, &up), 0);
        assert_int_equal(state_apply(&back, &down), 0);
    }
    struct buf a = encoded(&s), b = encoded(&back);
    assert_true(slice_equal(buf_slice(&a), buf_slice(&b)));
    buf_release(&a);
    buf_release(&b);
}

/* ---- pieces ---- */

#define PIECE_MAX ((size_t)512 << 10)

/* More than a piece of each kind of entry, with the longest texts that a line can have. */
static void make_large(void) {
    static char text[60001];
    memset(text, 'x', sizeof text - 1);
    for (unsigned n = 0; n < 9000; n++)
        apply(numbered_record(EV_PUT, n));
    for (unsigned n = 9000; n < 19000; n++)
        apply(numbered_record(EV_ABORT, n));
    for (unsigned n = 20000; n < 20020; n++) {
        struct record begin = numbered_record(EV_BEGIN, n), chunk = numbered_chunk(n, 0);
        text[0] = '/';
        begin.src = slice_of(text);
        begin.handle = slice_of(text + 1);
        apply(begin);
        chunk.etag = slice_of(text + 2);
        apply(chunk);
    }
    for (unsigned n = 20020; n < 20035; n++) {
        struct record open = numbered_record(EV_OPEN, n);
        open.src = slice_of(text);
        apply(open);
    }
    struct record many = numbered_record(EV_BEGIN, 30000);
    many.chunks = 30000;
    many.file.size = 30000ull * NUMBERED_CHUNK;
    apply(many);
    for (uint32_t i = 0; i < 30000; i++)
        apply(numbered_chunk(30000, i));
}

struct pieces {
    unsigned count, fail_at;
    size_t largest;
    uint64_t bytes;
};

static int pieces_put(void *arg, struct slice piece) {
    struct pieces *p = arg;
    if (++p->count == p->fail_at)
        return ERR_FULL;
    p->bytes += piece.len;
    if (piece.len > p->largest)
        p->largest = piece.len;
    return 0;
}

static void test_a_large_state_is_encoded_in_pieces(void **state) {
    (void)state;
    make_large();
    struct pieces p = {0};
    struct buf whole = encoded(&s);
    assert_int_equal(snapshot_produce(&s, pieces_put, &p), 0);
    assert_int_equal(p.bytes, whole.len);
    assert_true(p.largest <= PIECE_MAX);
    assert_true(p.count < whole.len / (256 << 10) + 3);
    buf_release(&whole);
}

static void test_an_error_of_any_piece_ends_the_encoding(void **state) {
    (void)state;
    make_large();
    struct pieces all = {0};
    assert_int_equal(snapshot_produce(&s, pieces_put, &all), 0);
    for (unsigned at = 1; at <= all.count; at++) {
        struct pieces p = {.fail_at = at};
        assert_int_equal(snapshot_produce(&s, pieces_put, &p), ERR_FULL);
        assert_int_equal(p.count, at);
    }
}

struct source {
    struct slice rest;
    unsigned calls, fail_at;
    size_t largest;
};

static int source_fill(void *arg, char *to, size_t len) {
    struct source *f = arg;
    if (++f->calls == f->fail_at)
        return ERR_IO;
    assert_true(len <= f->rest.len);
    memcpy(to, f->rest.ptr, len);
    f->rest = slice_make(f->rest.ptr + len, f->rest.len - len);
    if (len > f->largest)
        f->largest = len;
    return 0;
}

static void test_a_large_state_is_decoded_in_pieces(void **state) {
    (void)state;
    make_large();
    struct buf whole = encoded(&s);
    struct source f = {.rest = buf_slice(&whole)};
    assert_int_equal(snapshot_decode_from(source_fill, &f, whole.len, &back), 0);
    assert_true(f.largest <= PIECE_MAX);
    assert_true(f.calls < whole.len / (64 << 10));
    struct buf again = encoded(&back);
    assert_true(slice_equal(buf_slice(&whole), buf_slice(&again)));
    buf_release(&whole);
    buf_release(&again);
}

static void test_an_error_of_any_read_is_returned_and_leaves_no_state(void **state) {
    (void)state;
    make_large();
    struct buf whole = encoded(&s);
    struct source all = {.rest = buf_slice(&whole)};
    assert_int_equal(snapshot_decode_from(source_fill, &all, whole.len, &back), 0);
    assert_int_equal(state_clear(&back), 0);
    for (unsigned at = 1; at <= all.calls; at++) {
        struct source f = {.rest = buf_slice(&whole), .fail_at = at};
        assert_int_equal(snapshot_decode_from(source_fill, &f, whole.len, &back), ERR_IO);
        assert_int_equal(back.count + back.finished.count + back.recently_ended.count, 0);
    }
    buf_release(&whole);
}

static void test_a_body_that_cannot_hold_its_frame_is_not_read(void **state) {
    (void)state;
    for (uint64_t length = 0; length < 8; length++) {
        struct source f = {.rest = slice_of("")};
        assert_int_equal(snapshot_decode_from(source_fill, &f, length, &back), ERR_DAMAGED);
        assert_int_equal(f.calls, 0);
    }
    struct source f = {.rest = slice_of(""), .fail_at = 1};
    assert_int_equal(snapshot_decode_from(source_fill, &f, 8, &back), ERR_IO);
}

/* ---- values that no encoder writes ---- */

/* Decodes the encoded state with len bytes at `at` replaced, and with a right checksum. */
static int decode_changed(size_t at, const void *bytes, size_t len) {
    struct buf b = encoded(&s);
    assert_true(at + len <= b.len - 4);
    memcpy(b.data + at, bytes, len);
    uint32_t crc = crc32c_add(0, b.data, b.len - 4);
    for (size_t i = 0; i < 4; i++)
        b.data[b.len - 4 + i] = (char)(crc >> (8 * i));
    int err = snapshot_decode(buf_slice(&b), &back);
    if (err)
        assert_int_equal(back.count + back.finished.count + back.recently_ended.count, 0);
    assert_int_equal(state_clear(&back), 0);
    buf_release(&b);
    return err;
}

static int decode_number(size_t at, uint64_t value, unsigned bytes) {
    uint8_t raw[8];
    for (unsigned i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(value >> (8 * i));
    return decode_changed(at, raw, bytes);
}

#define TOTAL_AT 4
#define ENTRIES_AT 20
#define ENTRY_LEN 50 /* two short fingerprints, id, seq, inode, ctime, crc */
#define ENTRY_SEQ 32
#define MARK (UINT64_C(1) << 63) /* with the seq: the object is being removed */
#define ENDED_LEN 25             /* id, seq, how */

static void test_the_body_of_another_version_is_refused(void **state) {
    (void)state;
    assert_int_equal(decode_changed(0, "CLs5", 4), 0);
    assert_int_equal(decode_changed(0, "CLs4", 4), ERR_DAMAGED);
}

static void test_the_number_of_finished_uploads_is_checked(void **state) {
    (void)state;
    apply(numbered_record(EV_PUT, 1));
    apply(numbered_record(EV_PUT, 2));
    assert_int_equal(decode_number(TOTAL_AT, 2, 8), 0);
    assert_int_equal(decode_number(TOTAL_AT, 3, 8), 0);
    assert_int_equal(decode_number(TOTAL_AT, 1, 8), ERR_DAMAGED);
    assert_int_equal(decode_number(ENTRIES_AT + ENTRY_SEQ, FINISHED_SEQ_MAX, 8), 0);
    assert_int_equal(decode_number(ENTRIES_AT + ENTRY_SEQ, FINISHED_SEQ_MAX + 1, 8), ERR_DAMAGED);
    assert_int_equal(decode_number(ENTRIES_AT + ENTRY_SEQ, FINISHED_SEQ_MAX | MARK, 8), 0);
    assert_int_equal(decode_number(ENTRIES_AT + ENTRY_SEQ, (FINISHED_SEQ_MAX + 1) | MARK, 8), ERR_DAMAGED);
    assert_int_equal(decode_number(ENTRIES_AT + ENTRY_SEQ, UINT64_C(1) << 62, 8), ERR_DAMAGED);
    struct buf b = encoded(&s);
    char first[8];
    memcpy(first, b.data + ENTRIES_AT, sizeof first);
    buf_release(&b);
    assert_int_equal(decode_changed(ENTRIES_AT + ENTRY_LEN, first, sizeof first),
                     ERR_DAMAGED); /* one destination twice */
}

static void test_the_way_an_upload_ended_is_checked(void **state) {
    (void)state;
    apply(numbered_record(EV_ABORT, 1));
    size_t count_at = ENTRIES_AT, how_at = count_at + 8 + ENDED_LEN - 1;
    assert_int_equal(decode_number(how_at, ENDED_FINISHED, 1), 0);
    assert_int_equal(decode_number(how_at, ENDED_ABORTED, 1), 0);
    assert_int_equal(decode_number(how_at, ENDED_FINISHED - 1, 1), ERR_DAMAGED);
    assert_int_equal(decode_number(how_at, ENDED_ABORTED + 1, 1), ERR_DAMAGED);
    assert_int_equal(decode_number(count_at, RECENTLY_ENDED_MAX + 1, 8), ERR_DAMAGED);
}

static void test_as_many_ended_uploads_as_are_kept_are_read(void **state) {
    (void)state;
    for (unsigned n = 0; n < RECENTLY_ENDED_MAX; n++) {
        struct record r = numbered_record(EV_ABORT, n);
        r.upload.b[8] = (uint8_t)(n >> 16);
        apply(r);
    }
    assert_int_equal(s.recently_ended.count, RECENTLY_ENDED_MAX);
    go_round();
    assert_int_equal(back.recently_ended.count, RECENTLY_ENDED_MAX);
    struct pieces p = {0};
    assert_int_equal(snapshot_produce(&s, pieces_put, &p), 0);
    assert_true(p.largest <= PIECE_MAX);
}

/* Upload 1 with two chunks is the only one. The offsets of its values: */
struct upload_offsets {
    size_t count, id, mtime, flags, handle, checksum, chunk_size, chunks, grow, end, done, first_chunk, second_chunk;
};

static struct upload_offsets make_upload(void) {
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_chunk(1, 0));
    apply(numbered_chunk(1, 1));
    struct upload_offsets o = {.count = ENTRIES_AT + 8};
    o.id = o.count + 8;
    size_t texts = 4 * 4 + strlen("/src/1") + strlen("s3://bucket/1");
    o.mtime = o.id + 16 + 16 + texts + 8;
    o.flags = o.mtime + 16 + 16 + 8 + 8;
    o.handle = o.flags + 1 + 8 + 4;
    o.checksum = o.handle + 1;
    o.chunk_size = o.checksum + 1;
    o.chunks = o.chunk_size + 8;
    o.grow = o.chunks + 4;
    o.end = o.grow + 4;
    o.done = o.end + 8;
    o.first_chunk = o.done + 4;
    o.second_chunk = o.first_chunk + 4 + 4 + 8 + 4 + strlen("etag");
    return o;
}

static void test_the_values_of_a_begun_upload_are_checked(void **state) {
    (void)state;
    struct upload_offsets o = make_upload();
    assert_int_equal(decode_changed(o.handle, "J", 1), 0);
    assert_int_equal(decode_changed(o.handle, "\0", 1), ERR_DAMAGED);
    assert_int_equal(decode_number(o.checksum, CHECKSUM_CRC32C_FULL, 1), 0);
    assert_int_equal(decode_number(o.checksum, CHECKSUM_CRC32C_FULL + 1, 1), ERR_DAMAGED);
    assert_int_equal(decode_number(o.chunk_size, NUMBERED_CHUNK - 1, 8), ERR_DAMAGED);
    assert_int_equal(decode_number(o.chunks, 3, 4), ERR_DAMAGED);
    assert_int_equal(decode_number(o.grow, CHUNKS_MAX + 1, 4), ERR_DAMAGED);
    assert_int_equal(decode_number(o.end, 1, 8), ERR_DAMAGED);                       /* a file has its size */
    assert_int_equal(decode_number(o.mtime + 8, UINT64_C(1) << 40, 8), ERR_DAMAGED); /* no 64-bit time_t */
}

static void test_the_chunks_of_an_upload_are_checked(void **state) {
    (void)state;
    struct upload_offsets o = make_upload();
    assert_int_equal(decode_number(o.second_chunk, 1, 4), 0);
    assert_int_equal(decode_number(o.second_chunk, 2, 4), ERR_DAMAGED); /* no such chunk */
    assert_int_equal(decode_number(o.second_chunk, 0, 4), ERR_DAMAGED); /* one twice */
    assert_int_equal(decode_number(o.done, 1, 4), ERR_DAMAGED);
    assert_int_equal(decode_number(o.done, 3, 4), ERR_DAMAGED);
}

static void test_the_integrity_of_an_upload_is_checked(void **state) {
    (void)state;
    struct upload_offsets o = make_upload();
    assert_int_equal(decode_number(o.flags, 1 | INTEGRITY_SHA256 << 4, 1), 0);
    assert_int_equal(decode_number(o.flags, 1 | (INTEGRITY_SHA256 + 1) << 4, 1), ERR_DAMAGED);
}

static void test_an_upload_is_there_once(void **state) {
    (void)state;
    apply(numbered_record(EV_OPEN, 1));
    apply(numbered_record(EV_OPEN, 2));
    size_t first = ENTRIES_AT + 16,
           length = 16 + 16 + 16 + strlen("/src/1") + strlen("s3://bucket/1") + 8 + 32 + 8 + 8 + 1;
    struct id128 one = numbered_id(1), three = numbered_id(3);
    assert_int_equal(decode_changed(first + length, three.b, sizeof three.b), 0);
    assert_int_equal(decode_changed(first + length, one.b, sizeof one.b), ERR_DAMAGED);
    assert_int_equal(decode_number(first - 8, 1, 8), ERR_DAMAGED); /* fewer than there are */
    assert_int_equal(decode_number(first - 8, 3, 8), ERR_DAMAGED);
}

static void test_the_properties_of_an_upload_come_back(void **state) {
    (void)state;
    struct record r = numbered_record(EV_OPEN, 1);
    r.has |= HAS_PROPERTIES;
    r.properties = numbered_id(7);
    apply(r);
    go_round();
    assert_true(id_equal(&back_find(1)->properties, &r.properties));
}

#define FORMAT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(FORMAT_TEST(test_the_properties_of_an_upload_come_back),
          FORMAT_TEST(test_the_flags_of_an_upload_come_back_one_by_one),
          FORMAT_TEST(test_the_numbers_of_an_upload_come_back), FORMAT_TEST(test_ended_and_finished_uploads_come_back),
          FORMAT_TEST(test_the_mark_of_a_removal_comes_back), FORMAT_TEST(test_planned_uploads_are_left_out),
          FORMAT_TEST(test_the_same_state_gives_the_same_bytes), FORMAT_TEST(test_a_large_state_is_encoded_in_pieces),
          FORMAT_TEST(test_an_error_of_any_piece_ends_the_encoding),
          FORMAT_TEST(test_a_large_state_is_decoded_in_pieces),
          FORMAT_TEST(test_an_error_of_any_read_is_returned_and_leaves_no_state),
          FORMAT_TEST(test_a_body_that_cannot_hold_its_frame_is_not_read),
          FORMAT_TEST(test_the_body_of_another_version_is_refused),
          FORMAT_TEST(test_the_number_of_finished_uploads_is_checked),
          FORMAT_TEST(test_the_way_an_upload_ended_is_checked),
          FORMAT_TEST(test_as_many_ended_uploads_as_are_kept_are_read),
          FORMAT_TEST(test_the_values_of_a_begun_upload_are_checked),
          FORMAT_TEST(test_the_chunks_of_an_upload_are_checked),
          FORMAT_TEST(test_the_integrity_of_an_upload_is_checked), FORMAT_TEST(test_an_upload_is_there_once))
