/* The codec: a message arrives as it was sent, a damaged frame is refused, and no frame makes it allocate much memory. */
#include "edge.h"
#include "proto_samples.h"
#include "pure/geometry.h"
#include "pure/proto.h"
#include "unit.h"
#include <sys/resource.h>

#define TYPE_COUNT (MSG_COUNT - 1)

static struct sample_pool pool;

static void encode_sample(enum msg_type type, bool only_required, struct msg *m, struct buf *out) {
    sample_message(&pool, type, only_required, m);
    buf_clear(out);
    assert_int_equal(msg_encode(m, out), 0);
}

/* ---- round trips ---- */

static void round_trip(bool only_required) {
    struct buf out = BUF_INIT, again = BUF_INIT;
    for (int type = 1; type <= TYPE_COUNT; type++) {
        struct msg m, got;
        encode_sample((enum msg_type)type, only_required, &m, &out);
        assert_int_equal(msg_decode(buf_slice(&out), &got), 0);
        if (!message_same(&m, &got))
            fail_msg("%s differs after its journey", msg_type_name(m.type));
        buf_clear(&again);
        assert_int_equal(msg_encode(&got, &again), 0);
        assert_true(slice_equal(buf_slice(&out), buf_slice(&again)));
        msg_release(&got);
        msg_release(&got); /* twice is safe */
    }
    buf_release(&out);
    buf_release(&again);
}

static void test_every_message_with_every_field(void **state) {
    (void)state;
    round_trip(false);
}

static void test_every_message_with_required_fields_only(void **state) {
    (void)state;
    round_trip(true);
}

/* Makes the file of a new message type. */
static void write_sample(enum msg_type type, const char *path) {
    struct msg m;
    struct buf out = BUF_INIT;
    FILE *f = fopen(path, "wb");
    encode_sample(type, false, &m, &out);
    bool written = f && fwrite(out.data, 1, out.len, f) == out.len;
    if (!f || fclose(f) || !written)
        fail_msg("%s is missing and cannot be written", path);
    buf_release(&out);
}

/* Version 1 stays readable: these files were written by its first encoder. A changed field number shows here, for the
 * field would be skipped as unknown and be missing after encoding again. */
static void test_wire_format_is_as_it_was(void **state) {
    (void)state;
    char path[4096], bytes[65536];
    for (int type = 1; type <= TYPE_COUNT; type++) {
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/proto/%s", SOURCE_DIR, msg_type_name((enum msg_type)type));
        FILE *f = fopen(path, "rb");
        if (!f) {
            write_sample((enum msg_type)type, path);
            fail_msg("%s was missing and was written now: commit it with the new message", path);
        }
        struct slice stored = slice_make(bytes, fread(bytes, 1, sizeof bytes, f));
        fclose(f);
        struct msg m;
        assert_int_equal(msg_decode(stored, &m), 0);
        struct buf out = BUF_INIT;
        assert_int_equal(msg_encode(&m, &out), 0);
        if (!slice_equal(stored, buf_slice(&out)))
            fail_msg("%s: a field of version 1 was lost or moved", path);
        buf_release(&out);
        msg_release(&m);
    }
}

static void test_bytes_of_a_claim(void **state) {
    (void)state;
    static const uint8_t expected[] = {
        0x96, 1,    MSG_CLAIM, 0xc4, 0,                                               /* no journal */
        0xc4, 16,   5,         5,    5,    5,  5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7, /* sender, number */
        0x81, 1,    0x91,      0x82, 1,                                               /* claims, ref */
        0x83, 1,    JOB_CHUNK, 2,    0xc4, 16, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
        9,    9,    9,         3,    0xcd, 1,  0, /* chunk 256 */
        2,    0xc4, 2,         'i',  'd'};
    struct claim claim = {.ref = {.kind = JOB_CHUNK, .chunk = 256}, .handle = slice_of("id")};
    memset(claim.ref.upload.b, 9, sizeof claim.ref.upload.b);
    struct msg m = {.type = MSG_CLAIM, .number = 7, .claim = {.claims = &claim, .claim_count = 1}};
    memset(m.sender.b, 5, sizeof m.sender.b);
    struct buf out = BUF_INIT;
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_int_equal(out.len, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    buf_release(&out);
}

/* Ownership: slices point into the frame. */
static void test_slices_point_into_the_frame(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    struct msg m, got;
    encode_sample(MSG_RECORDS, false, &m, &out);
    assert_int_equal(msg_decode(buf_slice(&out), &got), 0);
    const char *texts[] = {got.records.lines.ptr, got.records.head.ptr, got.records.events[0].worker.ptr};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_true(texts[i] >= out.data && texts[i] < out.data + out.len);
    msg_release(&got);
    buf_release(&out);
}

static void test_encode_appends(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_BYE}, got;
    assert_int_equal(buf_add_text(&out, "before"), 0);
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_memory_equal(out.data, "before", 6);
    assert_int_equal(msg_decode(slice_make(out.data + 6, out.len - 6), &got), 0);
    assert_int_equal(got.type, MSG_BYE);
    buf_release(&out);
}

/* ---- damage ---- */

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    struct msg m, got;
    for (int type = 1; type <= TYPE_COUNT; type++) {
        encode_sample((enum msg_type)type, false, &m, &out);
        for (size_t len = 0; len < out.len; len++)
            assert_int_equal(msg_decode(edge_slice(slice_make(out.data, len)), &got), ERR_INVALID);
        assert_int_equal(buf_add_byte(&out, 0x01), 0); /* and so is a byte too many */
        assert_int_equal(msg_decode(buf_slice(&out), &got), ERR_INVALID);
    }
    buf_release(&out);
}

static void test_every_flipped_byte_is_survived(void **state) {
    (void)state;
    static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x10, 0x42};
    struct buf out = BUF_INIT;
    struct msg m, got;
    for (int type = 1; type <= TYPE_COUNT; type++) {
        encode_sample((enum msg_type)type, false, &m, &out);
        for (size_t i = 0; i < out.len * sizeof masks; i++) {
            char *byte = &out.data[i / sizeof masks], kept = *byte;
            *byte = (char)(kept ^ masks[i % sizeof masks]);
            int err = msg_decode(buf_slice(&out), &got);
            assert_true(err == 0 || err == ERR_INVALID || err == ERR_VERSION);
            if (err == 0)
                msg_release(&got);
            *byte = kept;
        }
    }
    buf_release(&out);
}

/* ---- frames written by hand ---- */

static struct buf raw;

static void put(const void *bytes, size_t len) {
    assert_int_equal(buf_add(&raw, bytes, len), 0);
}
static void put_head(uint8_t type, uint64_t value, size_t width) {
    uint8_t b[9] = {type};
    for (size_t i = 0; i < width; i++)
        b[1 + i] = (uint8_t)(value >> 8 * (width - 1 - i));
    put(b, 1 + width);
}
static void put_uint(uint64_t v) {
    put_head(0xcf, v, 8);
}
static void put_map(uint32_t n) {
    put_head(0xdf, n, 4);
}
static void put_array(uint32_t n) {
    put_head(0xdd, n, 4);
}
static void put_bin(const void *bytes, uint32_t len) {
    put_head(0xc6, len, 4);
    put(bytes, len);
}
static const char zeros[PROTO_NAME_MAX + 1];

/* The longest forms of everything are as good as the shortest. The body follows. */
static void put_envelope(uint64_t version, uint64_t type, uint32_t elements) {
    buf_clear(&raw);
    put_array(elements);
    put_uint(version);
    put_uint(type);
    put_bin("", 0);
    put_bin("0123456789abcdef", 16);
    put_uint(77);
}
static int decode_raw(struct msg *m) {
    int err = msg_decode(raw.len <= EDGE_MAX ? edge_slice(buf_slice(&raw)) : buf_slice(&raw), m);
    if (err == 0)
        msg_release(m);
    return err;
}
static void put_ref(uint64_t kind, uint32_t id_len, uint64_t chunk) {
    put_map(3);
    put_uint(1), put_uint(kind);
    put_uint(2), put_bin("0123456789abcdef!", id_len);
    put_uint(3), put_uint(chunk);
}
static int decode_ref(uint64_t kind, uint32_t id_len, uint64_t chunk) {
    struct msg m;
    put_envelope(1, MSG_BEAT, 6);
    put_map(1);
    put_uint(1), put_array(1);
    put_ref(kind, id_len, chunk);
    return decode_raw(&m);
}

static void test_refs_are_checked(void **state) {
    (void)state;
    assert_int_equal(decode_ref(JOB_CHUNK, 16, CHUNKS_MAX - 1), 0);
    assert_int_equal(decode_ref(JOB_STAT, 16, 0), 0);
    assert_int_equal(decode_ref(0, 16, 0), ERR_INVALID);
    assert_int_equal(decode_ref(JOB_STAT + 1, 16, 0), ERR_INVALID);
    assert_int_equal(decode_ref(UINT64_C(1) << 32 | JOB_CHUNK, 16, 0), ERR_INVALID);
    assert_int_equal(decode_ref(JOB_CHUNK, 15, 0), ERR_INVALID);
    assert_int_equal(decode_ref(JOB_CHUNK, 17, 0), ERR_INVALID);
    assert_int_equal(decode_ref(JOB_CHUNK, 16, CHUNKS_MAX), ERR_INVALID);
}

/* A HELLO with role and one more field, the caller writes its value next. */
static void put_hello_and(uint64_t number) {
    put_envelope(1, MSG_HELLO, 6);
    put_map(2);
    put_uint(1), put_uint(ROLE_PRODUCER);
    put_uint(number);
}

static void test_values_are_checked(void **state) {
    (void)state;
    struct msg m;
    char host[PROTO_TEXT_MAX + 1];
    memset(host, 'h', sizeof host);
    put_hello_and(2), put_bin(host, PROTO_TEXT_MAX);
    assert_int_equal(decode_raw(&m), 0);
    put_hello_and(2), put_bin(host, PROTO_TEXT_MAX + 1);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* too long */
    put_hello_and(2), put_bin("a\0b", 3);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* NUL */
    put_hello_and(2), put("\xa1h", 2);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* str */
    put_hello_and(2), put("\xc0", 1);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* nil */
    put_hello_and(6), put_uint(UINT32_MAX);
    assert_int_equal(decode_raw(&m), 0);
    put_hello_and(6), put_uint((uint64_t)UINT32_MAX + 1);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* past 32 bits */
    put_hello_and(6), put("\xff", 1);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* -1 */
    put_hello_and(6), put("\xca\x3f\x80\0\0", 5);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* 1.0 */
    put_hello_and(1), put_uint(ROLE_PRODUCER);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* twice */
    put_hello_and(8), put_array(2), put_bin("x", 1), put_bin("", 0);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* an empty entry */
    put_hello_and(8), put_map(0);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* a map for a list */
}

static int decode_plan(const char *path, uint32_t path_len, uint64_t mtime) {
    struct msg m;
    put_envelope(1, MSG_PLAN, 6);
    put_map(1);
    put_uint(1), put_array(1);
    put_map(2);
    put_uint(3), put_map(2);
    put_uint(2), put_bin(path, path_len);
    put_uint(4), put_uint(mtime);
    put_uint(4), put_map(1);
    put_uint(1), put_bin("file:///d", 9);
    return decode_raw(&m);
}

static void test_paths_and_times_are_checked(void **state) {
    (void)state;
    char path[PROTO_NAME_MAX + 1];
    memset(path, 0xff, sizeof path);
    assert_int_equal(decode_plan(path, PROTO_NAME_MAX, INT64_MAX), 0); /* any bytes */
    assert_int_equal(decode_plan(path, PROTO_NAME_MAX + 1, 1), ERR_INVALID);
    assert_int_equal(decode_plan("/a\0b", 4, 1), ERR_INVALID);
    assert_int_equal(decode_plan("", 0, 1), ERR_INVALID); /* required */
    assert_int_equal(decode_plan(path, 1, (uint64_t)INT64_MAX + 1), ERR_INVALID);
}

static void test_flags_are_booleans(void **state) {
    (void)state;
    struct msg m;
    for (int good = 0; good < 2; good++) {
        put_envelope(1, MSG_RECORDS, 6);
        put_map(1);
        put_uint(10);
        put(good ? "\xc3" : "\x01", 1);
        assert_int_equal(decode_raw(&m), good ? 0 : ERR_INVALID);
    }
}

static void test_missing_fields_are_refused(void **state) {
    (void)state;
    struct msg m;
    put_envelope(1, MSG_HELLO, 6);
    put_map(0);
    assert_int_equal(decode_raw(&m), ERR_INVALID);
    assert_int_equal(m.number, 77); /* an answer can carry it */
    assert_int_equal(m.type, MSG_HELLO);
    assert_memory_equal(m.sender.b, "0123456789abcdef", 16);
}

/* "Unknown fields and unknown array elements after body are ignored" */
static void test_unknown_fields_are_ignored(void **state) {
    (void)state;
    struct msg m;
    put_envelope(1, MSG_HELLO, 8);
    put_map(3);
    put_uint(99), put_array(2), put_map(1), put_uint(1), put("\xa3str", 4), put("\xc7\x02\x05zz", 5);
    put_uint(1), put_uint(ROLE_READER);
    put_uint(UINT64_MAX), put("\xc0", 1);
    put("\xc0\xcb\0\0\0\0\0\0\0\0", 10);
    assert_int_equal(decode_raw(&m), 0);
    assert_int_equal(m.hello.role, ROLE_READER);
}

static void test_envelope_is_checked(void **state) {
    (void)state;
    struct msg m;
    put_envelope(1, MSG_BYE, 6), put_map(0);
    assert_int_equal(decode_raw(&m), 0);
    put_envelope(1, MSG_BYE, 5);
    assert_int_equal(decode_raw(&m), ERR_INVALID);
    put_envelope(1, MSG_BYE, 6), put_array(0);
    assert_int_equal(decode_raw(&m), ERR_INVALID);
    put_envelope(1, MSG_BYE, 6), put_map(1), put("\xa1x", 2), put_uint(1);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* a field number is a number */
    put_envelope(1, 0, 6), put_map(0);
    assert_int_equal(decode_raw(&m), ERR_INVALID);
    put_envelope(1, MSG_BYE, 6), put_map(0);
    raw.data[0] = (char)0xc6; /* a bin, not an array */
    assert_int_equal(decode_raw(&m), ERR_INVALID);
    assert_int_equal(msg_decode(slice_make(NULL, 0), &m), ERR_INVALID);
}

/* "version first, so that a later version is recognised even if the rest differs" */
static void test_later_version_is_recognised(void **state) {
    (void)state;
    struct msg m;
    assert_int_equal(msg_decode(slice_make("\x92\x02\xc1rest", 7), &m), ERR_VERSION);
    assert_int_equal(msg_decode(slice_make("\x91\xcd\x01\x01", 4), &m), ERR_VERSION);
    assert_int_equal(msg_decode(slice_make("\x91\x00", 2), &m), ERR_VERSION);
    assert_int_equal(msg_decode(slice_make("\x91\xcd\x01", 3), &m), ERR_INVALID);
    assert_int_equal(msg_decode(slice_make("\x91\xa1\x31", 3), &m), ERR_INVALID);
    assert_int_equal(msg_decode(slice_make("\x91\x01", 2), &m), ERR_INVALID);
}

/* A type that was added later is no damage, and its number can be answered. */
static void test_unknown_type_is_a_version_error(void **state) {
    (void)state;
    struct msg m;
    const uint64_t types[] = {MSG_COUNT, 1000, UINT64_MAX};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        put_envelope(1, types[i], 6), put_map(0);
        assert_int_equal(decode_raw(&m), ERR_VERSION);
        assert_int_equal(m.number, 77);
    }
}

/* ---- bombs ---- */

static void test_count_bombs_are_refused(void **state) {
    (void)state;
    static const uint8_t heads[] = {0xdd, 0xdf, 0xc6, 0xdb, 0xc9}; /* array, map, bin, str, ext of 2^32-1 */
    struct msg m;
    for (size_t i = 0; i < sizeof heads; i++) {
        buf_clear(&raw);
        put_head(heads[i], UINT32_MAX, 4);
        put("\x01\x01\x01\x01\x01", 5);
        assert_int_equal(decode_raw(&m), ERR_INVALID);
        put_envelope(1, MSG_BYE, 6);
        put_map(1);
        put_uint(50);
        put_head(heads[i], UINT32_MAX, 4);
        put(zeros, 100);
        assert_int_equal(decode_raw(&m), ERR_INVALID);
        put_hello_and(8);
        put_head(heads[i], UINT32_MAX, 4);
        assert_int_equal(decode_raw(&m), ERR_INVALID);
    }
}

/* Arrays in arrays, each announcing all that is left: their sum is not there. */
static void test_nested_counts_are_refused(void **state) {
    (void)state;
    struct msg m;
    for (uint32_t levels = 1; levels < 40; levels++) {
        put_envelope(1, MSG_BYE, 6);
        put_map(1);
        put_uint(50);
        for (uint32_t i = 0; i < levels; i++)
            put_array(i == levels - 1 ? 0 : 1);
        assert_int_equal(decode_raw(&m), levels <= 6 ? 0 : ERR_INVALID); /* 8 with envelope and body */
        for (uint32_t i = 0; i < levels; i++)
            put_array(5 * (levels - i - 1));
        assert_int_equal(decode_raw(&m), ERR_INVALID);
    }
}

/* The most objects a frame can hold: one nil a byte. Their memory is bounded by the frame's size. */
static void test_fullest_frame_is_bounded(void **state) {
    (void)state;
    struct msg m;
    put_envelope(1, MSG_BYE, 6);
    put_map(1);
    put_uint(50);
    size_t left = PROTO_FRAME_MAX - raw.len - 5;
    put_array((uint32_t)left);
    assert_int_equal(buf_reserve(&raw, left), 0);
    memset(raw.data + raw.len, 0xc0, left);
    raw.len += left;
    assert_int_equal(decode_raw(&m), 0);
    put("\xc0", 1);
    assert_int_equal(decode_raw(&m), ERR_INVALID); /* longer than a frame may be */
}

static int decode_list(uint64_t type, uint64_t number, uint32_t count) {
    struct msg m;
    put_envelope(1, type, 6);
    put_map(1);
    put_uint(number), put_array(count);
    for (uint32_t i = 0; i < count; i++)
        put_ref(JOB_CHUNK, 16, i);
    return decode_raw(&m);
}

static void test_long_lists_are_refused(void **state) {
    (void)state;
    assert_int_equal(decode_list(MSG_BEAT, 1, PROTO_LIST_MAX), 0);
    assert_int_equal(decode_list(MSG_BEAT, 1, PROTO_LIST_MAX + 1), ERR_INVALID);
    struct msg m;
    put_envelope(1, MSG_PLAN, 6);
    put_map(1);
    put_uint(1), put_array(PROTO_PLAN_MAX + 1);
    for (int i = 0; i <= PROTO_PLAN_MAX; i++)
        put_map(0);
    assert_int_equal(decode_raw(&m), ERR_INVALID);
}

static void test_offers_are_small(void **state) {
    (void)state;
    struct msg m;
    put_envelope(1, MSG_OFFER, 6);
    put_map(1);
    put_uint(50);
    put_head(0xc6, PROTO_OFFER_MAX - raw.len - 5, 4);
    while (raw.len < PROTO_OFFER_MAX)
        put("x", 1);
    assert_int_equal(decode_raw(&m), 0);
    put_envelope(1, MSG_OFFER, 6);
    put_map(1);
    put_uint(50);
    put_head(0xc6, PROTO_OFFER_MAX - raw.len - 4, 4);
    while (raw.len < PROTO_OFFER_MAX + 1)
        put("x", 1);
    assert_int_equal(decode_raw(&m), ERR_INVALID);
}

/* ---- refusals of the encoder ---- */

static int encode_after(const struct msg *m, size_t *len) {
    struct buf out = BUF_INIT;
    assert_int_equal(buf_add_text(&out, "abc"), 0);
    int err = msg_encode(m, &out);
    *len = out.len - 3;
    assert_memory_equal(out.data, "abc", 3);
    assert_int_equal(out.data[out.len], 0);
    buf_release(&out);
    return err;
}

/* "ERR_LIMIT when it would pass the type's maximum (out as before)" */
static void test_encode_limits(void **state) {
    (void)state;
    size_t len;
    struct job *jobs = calloc(100, sizeof *jobs);
    char handle[PROTO_TEXT_MAX + 2];
    memset(handle, 'x', sizeof handle);
    for (int i = 0; i < 100; i++) {
        jobs[i].ref.kind = JOB_FINISH;
        memset(jobs[i].ref.upload.b, i + 1, 16);
        jobs[i].target.dest = slice_of("s3://b/k");
        jobs[i].handle = slice_make(handle, 200);
    }
    struct msg m = {.type = MSG_OFFER, .offer = {.jobs = jobs, .job_count = 60}};
    assert_int_equal(encode_after(&m, &len), 0);
    assert_true(len <= PROTO_OFFER_MAX);
    m.offer.job_count = 100;
    assert_int_equal(encode_after(&m, &len), ERR_LIMIT);
    assert_int_equal(len, 0);
    m.offer.job_count = 1;
    jobs[0].handle.len = PROTO_TEXT_MAX;
    assert_int_equal(encode_after(&m, &len), 0);
    jobs[0].handle.len = PROTO_TEXT_MAX + 1;
    assert_int_equal(encode_after(&m, &len), ERR_LIMIT);
    free(jobs);

    struct msg records = {.type = MSG_RECORDS};
    char *lines = calloc(1, PROTO_FRAME_MAX);
    records.records.lines = slice_make(lines, PROTO_FRAME_MAX);
    assert_int_equal(encode_after(&records, &len), ERR_LIMIT);
    records.records.lines.len -= 100;
    assert_int_equal(encode_after(&records, &len), 0);
    free(lines);
}

static void test_encode_refuses_long_lists(void **state) {
    (void)state;
    size_t len;
    struct plan_file *files = calloc(PROTO_PLAN_MAX + 1, sizeof *files);
    for (int i = 0; i <= PROTO_PLAN_MAX; i++)
        files[i] = (struct plan_file){.source.path = slice_of("/p"), .target.dest = slice_of("file:///d")};
    struct msg plan = {.type = MSG_PLAN, .plan = {.files = files, .file_count = PROTO_PLAN_MAX}};
    assert_int_equal(encode_after(&plan, &len), 0);
    plan.plan.file_count++;
    assert_int_equal(encode_after(&plan, &len), ERR_LIMIT);
    free(files);
    struct ref *refs = calloc(PROTO_LIST_MAX + 1, sizeof *refs);
    for (int i = 0; i <= PROTO_LIST_MAX; i++)
        refs[i] = (struct ref){.kind = JOB_PUT, .upload.b = {1}};
    struct msg beat = {.type = MSG_BEAT, .beat = {.invalid = refs, .invalid_count = PROTO_LIST_MAX}};
    assert_int_equal(encode_after(&beat, &len), 0);
    beat.beat.invalid_count++;
    assert_int_equal(encode_after(&beat, &len), ERR_LIMIT);
    free(refs);
}

static void test_encode_refuses_invalid_values(void **state) {
    (void)state;
    size_t len;
    struct msg m = {.type = MSG_HELLO};
    assert_int_equal(encode_after(&m, &len), ERR_INVALID); /* no role */
    m.hello.role = (enum role)(ROLE_READER + 1);
    assert_int_equal(encode_after(&m, &len), ERR_INVALID);
    m.hello.role = ROLE_READER;
    assert_int_equal(encode_after(&m, &len), 0);
    m.hello.host = slice_make("a\0b", 3);
    assert_int_equal(encode_after(&m, &len), ERR_INVALID);
    assert_int_equal(len, 0);
    m.type = (enum msg_type)(TYPE_COUNT + 1);
    assert_int_equal(encode_after(&m, &len), ERR_INVALID);
    m.type = (enum msg_type)0;
    assert_int_equal(encode_after(&m, &len), ERR_INVALID);
}

/* DATA with bytes in another buffer: head and bytes together are the message. */
static void test_head_of_data(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 255, 256, 65535, 65536, PROTO_PIECE_MAX};
    static char bytes[PROTO_PIECE_MAX];
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct buf whole = BUF_INIT, head = BUF_INIT;
        struct msg m = {
            .type = MSG_DATA,
            .number = UINT64_MAX,
            .data = {
                .state = DATA_BYTES, .position = INT64_MAX, .crc = UINT32_MAX, .bytes = slice_make(bytes, lengths[i])}};
        memset(m.sender.b, 5, sizeof m.sender.b);
        m.journal = m.sender;
        assert_int_equal(msg_encode(&m, &whole), 0);
        m.data.bytes.ptr = NULL;
        assert_int_equal(msg_encode_data_head(&m, &head), 0);
        assert_true(head.len < 128); /* PIECE_HEAD_MAX */
        assert_int_equal(buf_add(&head, bytes, lengths[i]), 0);
        assert_true(slice_equal(buf_slice(&whole), buf_slice(&head)));
        buf_release(&whole);
        buf_release(&head);
    }
    struct msg m = {.type = MSG_DATA, .data = {.state = DATA_BYTES, .bytes = slice_make(NULL, PROTO_PIECE_MAX + 1)}};
    struct buf out = BUF_INIT;
    memset(m.sender.b, 5, sizeof m.sender.b);
    assert_int_equal(msg_encode_data_head(&m, &out), ERR_LIMIT);
    buf_release(&out);
}

/* ---- the tables ---- */

static void check_schema(const struct schema *s, int depth) {
    assert_true(s->field_count <= 64);
    assert_true(depth <= 7); /* with the envelope: 8, the maximum of the decoder */
    for (size_t i = 0; i < s->field_count; i++) {
        const struct field *f = &s->fields[i];
        assert_true(f->number > 0 && f->offset < s->size);
        for (size_t j = 0; j < i; j++)
            assert_true(s->fields[j].number != f->number);
        if (f->kind == FIELD_STRUCT)
            check_schema(f->schema, depth + 1);
        if (f->kind == FIELD_LIST)
            check_schema(f->schema, depth + 2);
    }
}

static void test_tables_are_sound(void **state) {
    (void)state;
    for (int type = 1; type <= TYPE_COUNT; type++)
        check_schema(message_schema((enum msg_type)type), 1);
    assert_null(message_schema((enum msg_type)0));
    assert_null(message_schema((enum msg_type)(TYPE_COUNT + 1)));
}

static void test_everything_has_a_name(void **state) {
    (void)state;
    for (int i = 1; i <= TYPE_COUNT; i++)
        assert_string_not_equal(msg_type_name((enum msg_type)i), "unknown");
    for (int i = JOB_BEGIN; i <= JOB_STAT; i++)
        assert_string_not_equal(job_kind_name((enum job_kind)i), "unknown");
    for (int i = WHY_NONE; i <= WHY_JOURNAL; i++)
        assert_string_not_equal(why_text((enum why)i), "unknown");
    for (int i = FAIL_NONE; i <= FAIL_NO_UPLOADER; i++)
        assert_string_not_equal(fail_class_name((enum fail_class)i), "unknown");
    assert_string_equal(job_kind_name((enum job_kind)0), "unknown");
    assert_string_equal(why_text((enum why)1000), "unknown");
    assert_string_equal(fail_class_name(FAIL_NO_BUCKET), "no-bucket");
}

/* No frame makes the decoder ask for more memory than this process may have: it never returned ERR_NOMEM above. */
static int limit_memory(void **state) {
    (void)state;
#ifndef __SANITIZE_ADDRESS__
    struct rlimit limit = {.rlim_cur = 256u << 20, .rlim_max = 256u << 20};
    return setrlimit(RLIMIT_AS, &limit);
#else
    return 0;
#endif
}

static int release_raw(void **state) {
    (void)state;
    buf_release(&raw);
    return 0;
}

#define BOUNDED(test) cmocka_unit_test_setup_teardown(test, limit_memory, release_raw)

UNIT_MAIN(BOUNDED(test_every_message_with_every_field), BOUNDED(test_every_message_with_required_fields_only),
          BOUNDED(test_wire_format_is_as_it_was), BOUNDED(test_bytes_of_a_claim),
          BOUNDED(test_slices_point_into_the_frame), BOUNDED(test_encode_appends),
          BOUNDED(test_every_truncation_is_refused), BOUNDED(test_every_flipped_byte_is_survived),
          BOUNDED(test_refs_are_checked), BOUNDED(test_values_are_checked), BOUNDED(test_paths_and_times_are_checked),
          BOUNDED(test_flags_are_booleans), BOUNDED(test_missing_fields_are_refused),
          BOUNDED(test_unknown_fields_are_ignored), BOUNDED(test_envelope_is_checked),
          BOUNDED(test_later_version_is_recognised), BOUNDED(test_unknown_type_is_a_version_error),
          BOUNDED(test_count_bombs_are_refused), BOUNDED(test_nested_counts_are_refused),
          BOUNDED(test_fullest_frame_is_bounded), BOUNDED(test_long_lists_are_refused), BOUNDED(test_offers_are_small),
          BOUNDED(test_encode_limits), BOUNDED(test_encode_refuses_long_lists),
          BOUNDED(test_encode_refuses_invalid_values), BOUNDED(test_head_of_data), BOUNDED(test_tables_are_sound),
          BOUNDED(test_everything_has_a_name))
