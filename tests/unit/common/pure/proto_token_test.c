/* The tokens of a frame. msgpack-c's unpacker is the reference for what a value means and where it ends. */
#include "pure/proto_token.h"
#include "unit.h"
#include <msgpack.h>
#include <stdlib.h>

#define FRAME_BYTES 300 /* more than the longest value with one byte of length */

/* A copy of exactly this size, so that a sanitizer sees a read past the end. */
static int skip_exact(const uint8_t *bytes, size_t len, size_t *used) {
    uint8_t *exact = malloc(len + !len);
    memcpy(exact, bytes, len);
    struct tokens r = tokens_of(slice_make(exact, len));
    int err = tokens_skip(&r);
    *used = len - r.left;
    free(exact);
    return err;
}

static void check_ends(const uint8_t *bytes) {
    size_t used, reference = 0;
    msgpack_unpacked value;
    msgpack_unpacked_init(&value);
    bool good = msgpack_unpack_next(&value, (const char *)bytes, FRAME_BYTES, &reference) == MSGPACK_UNPACK_SUCCESS;
    assert_int_equal(skip_exact(bytes, FRAME_BYTES, &used), good ? 0 : ERR_INVALID);
    if (good)
        assert_int_equal(used, reference);
    for (size_t len = 0; good && len < reference; len++)
        assert_int_equal(skip_exact(bytes, len, &used), ERR_INVALID);
    msgpack_unpacked_destroy(&value);
}

static void test_every_type_byte_ends_where_msgpack_ends_it(void **state) {
    (void)state;
    uint8_t bytes[FRAME_BYTES];
    for (int filler = 0; filler <= 1; filler++)
        for (int type = 0; type <= UINT8_MAX; type++) {
            memset(bytes, filler, sizeof bytes);
            bytes[0] = (uint8_t)type;
            check_ends(bytes);
        }
}

static void check_integer(const uint8_t *bytes, size_t len) {
    struct token t;
    size_t used = 0;
    msgpack_unpacked value;
    msgpack_unpacked_init(&value);
    struct tokens r = tokens_of(slice_make(bytes, len));
    assert_int_equal(tokens_next(&r, &t), 0);
    assert_int_equal(msgpack_unpack_next(&value, (const char *)bytes, len, &used), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(r.left, len - used);
    bool negative = value.data.type == MSGPACK_OBJECT_NEGATIVE_INTEGER;
    assert_true(negative || value.data.type == MSGPACK_OBJECT_POSITIVE_INTEGER);
    assert_int_equal(t.kind, negative ? TOKEN_NEGATIVE : TOKEN_UNSIGNED);
    assert_true(t.number == value.data.via.u64);
    msgpack_unpacked_destroy(&value);
}

static void test_integers_in_every_form(void **state) {
    (void)state;
    static const uint8_t payloads[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint8_t bytes[9];
    for (int type = 0; type <= UINT8_MAX; type++)
        for (size_t i = 0; i < sizeof payloads; i++) {
            bytes[0] = (uint8_t)type;
            memset(bytes + 1, payloads[sizeof payloads - 1 - i], 8);
            bytes[1] = payloads[i];
            if (type <= 0x7f || type >= 0xe0 || (type >= 0xcc && type <= 0xd3))
                check_integer(bytes, sizeof bytes);
        }
}

static void test_what_a_token_has(void **state) {
    (void)state;
    static const char bytes[] = "\xc4\x02hi\xc2\xc3\x93\x81\xa1s\xc0\xdc\0\0";
    static const struct {
        enum token_kind kind;
        uint64_t number;
    } expected[] = {{TOKEN_BIN, 2}, {TOKEN_BOOL, 0},  {TOKEN_BOOL, 1},  {TOKEN_ARRAY, 3},
                    {TOKEN_MAP, 1}, {TOKEN_OTHER, 1}, {TOKEN_OTHER, 0}, {TOKEN_ARRAY, 0}};
    struct tokens r = tokens_of(slice_make(bytes, sizeof bytes - 1));
    struct token t;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(tokens_next(&r, &t), 0);
        assert_int_equal(t.kind, expected[i].kind);
        assert_int_equal(t.number, expected[i].number);
        if (t.kind == TOKEN_BIN)
            assert_true(t.bytes.ptr == bytes + 2 && t.bytes.len == 2);
    }
    assert_int_equal(r.left, 0);
    assert_int_equal(tokens_next(&r, &t), ERR_INVALID);
    r = tokens_of(slice_make(bytes, sizeof bytes - 1));
    assert_int_equal(tokens_expect(&r, TOKEN_BIN, &t), 0);
    assert_int_equal(tokens_expect(&r, TOKEN_BIN, &t), ERR_INVALID);
}

static void test_containers_are_within_the_frame_and_the_nesting(void **state) {
    (void)state;
    size_t used;
    assert_int_equal(skip_exact((const uint8_t *)"\x92\x01\x01", 3, &used), 0);
    assert_int_equal(skip_exact((const uint8_t *)"\x93\x01\x01", 3, &used), ERR_INVALID);
    assert_int_equal(skip_exact((const uint8_t *)"\x81\x01\x01", 3, &used), 0);
    assert_int_equal(skip_exact((const uint8_t *)"\x82\x01\x01\x01", 4, &used), ERR_INVALID);
    for (unsigned depth = 0; depth <= NESTING_MAX; depth++) {
        struct tokens r = tokens_of(slice_make("\x91\x80", 2));
        struct token t;
        r.depth = depth;
        assert_int_equal(tokens_skip(&r), depth + 2 <= NESTING_MAX ? 0 : ERR_INVALID);
        r = tokens_of(slice_make("\x01", 1));
        r.depth = depth;
        assert_int_equal(tokens_next(&r, &t), 0);
    }
}

UNIT_MAIN(cmocka_unit_test(test_every_type_byte_ends_where_msgpack_ends_it),
          cmocka_unit_test(test_integers_in_every_form), cmocka_unit_test(test_what_a_token_has),
          cmocka_unit_test(test_containers_are_within_the_frame_and_the_nesting))
