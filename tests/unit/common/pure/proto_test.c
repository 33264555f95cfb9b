/* The codec: a message arrives as it was sent, a damaged frame is refused, and invalid values are not encoded. */
#include "edge.h"
#include "proto_samples.h"
#include "pure/geometry.h"
#include "pure/proto.h"
#include "unit.h"

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

/* Stamps of 64 bits have a short form, which the first version read. */
static void test_only_longer_stamps_are_written_as_bytes(void **state) {
    (void)state;
    static const nanotime times[] = {INT64_MAX, INT64_MIN, (nanotime)INT64_MAX + 1, (nanotime)INT64_MIN - 1};
    size_t len[4];
    for (size_t i = 0; i < 4; i++) {
        struct plan_file file = {.source = {.path = slice_of("/p"), .file.mtime_ns = times[i]},
                                 .target.dest = slice_of("file:///d")};
        struct msg m = {.type = MSG_PLAN, .plan = {.files = &file, .file_count = 1}}, got;
        struct buf out = BUF_INIT;
        assert_int_equal(msg_encode(&m, &out), 0);
        assert_int_equal(msg_decode(buf_slice(&out), &got), 0);
        assert_true(got.plan.files[0].source.file.mtime_ns == times[i]);
        len[i] = out.len;
        msg_release(&got);
        buf_release(&out);
    }
    assert_int_equal(len[0], len[1]);
    assert_int_equal(len[2], len[0] + 9); /* 16 bytes and a longer head */
    assert_int_equal(len[3], len[2]);
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
    for (int i = JOB_BEGIN; i <= JOB_DELETE; i++)
        assert_string_not_equal(job_kind_name((enum job_kind)i), "unknown");
    for (int i = WHY_NONE; i <= WHY_JOURNAL; i++)
        assert_string_not_equal(why_text((enum why)i), "unknown");
    for (int i = FAIL_NONE; i <= FAIL_CLASS_LAST; i++)
        assert_string_not_equal(fail_class_name((enum fail_class)i), "unknown");
    assert_string_equal(job_kind_name((enum job_kind)0), "unknown");
    assert_string_equal(why_text((enum why)1000), "unknown");
    assert_string_equal(fail_class_name(FAIL_NO_BUCKET), "no-bucket");
}

#define BOUNDED(test) cmocka_unit_test_setup(test, limit_memory)

UNIT_MAIN(BOUNDED(test_every_message_with_every_field), BOUNDED(test_every_message_with_required_fields_only),
          BOUNDED(test_wire_format_is_as_it_was), BOUNDED(test_bytes_of_a_claim),
          BOUNDED(test_slices_point_into_the_frame), BOUNDED(test_only_longer_stamps_are_written_as_bytes),
          BOUNDED(test_encode_appends), BOUNDED(test_every_truncation_is_refused),
          BOUNDED(test_every_flipped_byte_is_survived), BOUNDED(test_encode_limits),
          BOUNDED(test_encode_refuses_long_lists), BOUNDED(test_encode_refuses_invalid_values),
          BOUNDED(test_head_of_data), BOUNDED(test_tables_are_sound), BOUNDED(test_everything_has_a_name))
