/* Frames written by hand: what the decoder accepts and refuses, and that no frame makes it allocate much memory. */
#include "edge.h"
#include "proto_samples.h"
#include "pure/geometry.h"
#include "pure/proto.h"
#include "unit.h"

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
    assert_int_equal(decode_ref(JOB_DELETE, 16, 0), 0);
    assert_int_equal(decode_ref(0, 16, 0), ERR_INVALID);
    assert_int_equal(decode_ref(JOB_DELETE + 1, 16, 0), ERR_INVALID);
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

/* Each format of msgpack, at the ends of its range, as the value of an unknown field. */
static void test_every_format_is_passed_over(void **state) {
    (void)state;
    static const struct {
        const char *head;
        size_t head_len, rest; /* rest: bytes that follow the head; nils where values are expected */
    } values[] = {
        {"\x00", 1, 0},           {"\x7f", 1, 0},       {"\xe0", 1, 0},           {"\xff", 1, 0},
        {"\x80", 1, 0},           {"\x8f", 1, 30},      {"\x90", 1, 0},           {"\x9f", 1, 15},
        {"\xa0", 1, 0},           {"\xbf", 1, 31},      {"\xc0", 1, 0},           {"\xc2", 1, 0},
        {"\xc3", 1, 0},           {"\xc4\x05", 2, 5},   {"\xc5\0\x05", 3, 5},     {"\xc6\0\0\0\x05", 5, 5},
        {"\xc7\x05", 2, 6},       {"\xc8\0\x05", 3, 6}, {"\xc9\0\0\0\x05", 5, 6}, {"\xca", 1, 4},
        {"\xcb", 1, 8},           {"\xcc", 1, 1},       {"\xcd", 1, 2},           {"\xce", 1, 4},
        {"\xcf", 1, 8},           {"\xd0", 1, 1},       {"\xd1", 1, 2},           {"\xd2", 1, 4},
        {"\xd3", 1, 8},           {"\xd4", 1, 2},       {"\xd5", 1, 3},           {"\xd6", 1, 5},
        {"\xd7", 1, 9},           {"\xd8", 1, 17},      {"\xd9\x05", 2, 5},       {"\xda\0\x05", 3, 5},
        {"\xdb\0\0\0\x05", 5, 5}, {"\xdc\0\x03", 3, 3}, {"\xdd\0\0\0\x03", 5, 3}, {"\xde\0\x02", 3, 4},
        {"\xdf\0\0\0\x02", 5, 4},
    };
    static const char nils[31] = "\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"
                                 "\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0";
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (size_t missing = 0; missing < 2; missing++) {
            struct msg m;
            put_envelope(1, MSG_BYE, 6), put_map(1), put_uint(50);
            put(values[i].head, values[i].head_len);
            put(nils, values[i].rest);
            raw.len -= missing;
            if (decode_raw(&m) != (missing ? ERR_INVALID : 0))
                fail_msg("format %02x with %zu bytes missing", (unsigned char)values[i].head[0], missing);
        }
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
    assert_int_equal(msg_decode(slice_make("\x96\x01\xc4\0\xc4\0\xc4\0\x07\x80", 11), &m), ERR_INVALID); /* type */
    assert_int_equal(msg_decode(slice_make("\x96\x01\x13\xc4\0\xc4\x10"
                                           "0123456789abcdef\xc4\0\x80",
                                           26),
                                &m),
                     ERR_INVALID); /* number */
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
    assert_int_equal(msg_decode(slice_make("\x91\x7f", 2), &m), ERR_VERSION);
    assert_int_equal(msg_decode(slice_make("\x91\xcc\x80", 3), &m), ERR_VERSION);
    assert_int_equal(msg_decode(slice_make("\x91\xcf\0\0\0\0\0\0\0\x02", 10), &m), ERR_VERSION);
    assert_int_equal(msg_decode(slice_make("\x91\xcd\x01", 3), &m), ERR_INVALID);
    assert_int_equal(msg_decode(slice_make("\x91\xa1\x31", 3), &m), ERR_INVALID);
    assert_int_equal(msg_decode(slice_make("\x90", 1), &m), ERR_INVALID);
    assert_int_equal(msg_decode(slice_make("\xde\0\1\x02\xc0", 5), &m), ERR_INVALID); /* a map */
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

static int release_raw(void **state) {
    (void)state;
    buf_release(&raw);
    return 0;
}

#define BOUNDED(test) cmocka_unit_test_setup_teardown(test, limit_memory, release_raw)

UNIT_MAIN(BOUNDED(test_refs_are_checked), BOUNDED(test_values_are_checked), BOUNDED(test_paths_and_times_are_checked),
          BOUNDED(test_flags_are_booleans), BOUNDED(test_missing_fields_are_refused),
          BOUNDED(test_unknown_fields_are_ignored), BOUNDED(test_every_format_is_passed_over),
          BOUNDED(test_envelope_is_checked), BOUNDED(test_later_version_is_recognised),
          BOUNDED(test_unknown_type_is_a_version_error), BOUNDED(test_count_bombs_are_refused),
          BOUNDED(test_nested_counts_are_refused), BOUNDED(test_fullest_frame_is_bounded),
          BOUNDED(test_long_lists_are_refused), BOUNDED(test_offers_are_small))
