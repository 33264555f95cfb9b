#include "pure/buf.h"
#include "unit.h"
#include <malloc.h>
#include <stdlib.h>

static void test_buf_empty_release_and_clear(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    buf_clear(&b);
    assert_null(b.data);
    assert_int_equal(buf_slice(&b).len, 0);
    buf_release(&b);
    buf_release(&b);
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_non_null(b.data);
    assert_int_equal(b.data[0], 0);
    buf_release(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
}

static void test_buf_keeps_a_nul_after_its_bytes(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(buf_add_byte(&b, 'x'), 0);
        assert_int_equal(b.len, i + 1);
        assert_true(b.len < b.cap);
        assert_int_equal(strlen(b.data), i + 1);
    }
    size_t cap = b.cap;
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, cap);
    assert_string_equal(b.data, "");
    buf_release(&b);
}

static void test_buf_adds_every_kind(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "a="), 0);
    assert_int_equal(buf_add_u64(&b, 0), 0);
    assert_int_equal(buf_add_slice(&b, slice_of(",b=")), 0);
    assert_int_equal(buf_add_u64(&b, UINT64_MAX), 0);
    assert_int_equal(buf_addf(&b, ",c=%s%d", "", -1), 0);
    assert_int_equal(buf_add_slice(&b, slice_of(NULL)), 0);
    assert_string_equal(b.data, "a=0,b=18446744073709551615,c=-1");
    assert_int_equal(buf_addf(&b, "%s", ""), 0);
    assert_int_equal(b.len, strlen("a=0,b=18446744073709551615,c=-1"));
    buf_release(&b);
}

static void test_buf_addf_longer_than_any_first_guess(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_addf(&b, "%05000d|%s", 7, "end"), 0);
    assert_int_equal(b.len, 5004);
    assert_string_equal(b.data + 4999, "7|end");
    buf_release(&b);
}

static void test_buf_refuses_absurd_sizes_and_stays_as_it_was(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "abc"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_NOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 3), ERR_NOMEM);
    assert_int_equal(buf_reserve(&b, PTRDIFF_MAX), ERR_NOMEM);
    assert_int_equal(b.len, 3);
    assert_string_equal(b.data, "abc");
    buf_release(&b);
}

static void test_buf_reserve_holds_the_bytes_still(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_reserve(&b, 1000), 0);
    const char *data = b.data;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_add_byte(&b, 'y'), 0);
    assert_ptr_equal(b.data, data);
    buf_release(&b);
}

static void test_buf_reserve_has_room_for_the_nul_too(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 300; extra++) {
        struct buf b = BUF_INIT;
        assert_int_equal(buf_add_text(&b, "abc"), 0);
        assert_int_equal(buf_reserve(&b, extra), 0);
        assert_true(b.cap - b.len > extra);
        buf_release(&b);
    }
}

static void test_slice_equal_and_dup(void **state) {
    (void)state;
    assert_true(slice_equal(slice_of(NULL), slice_of("")));
    assert_false(slice_equal(slice_of("a"), slice_of("ab")));
    assert_false(slice_equal(slice_of("aa"), slice_of("ab")));
    assert_true(slice_equal(slice_make("a\0b", 3), slice_make("a\0bc", 3)));
    char *copy = slice_dup(slice_make("a\0b", 3));
    assert_non_null(copy);
    assert_memory_equal(copy, "a\0b\0", 4);
    free(copy);
    copy = slice_dup(slice_of(NULL));
    assert_string_equal(copy, "");
    free(copy);
}

/* The allocator gives some sizes without a spare byte. */
static void test_a_copy_of_a_slice_has_room_for_its_nul(void **state) {
    (void)state;
    char text[256];
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) {
        char *copy = slice_dup(slice_make(text, len));
        assert_true(malloc_usable_size(copy) > len);
        assert_int_equal(strlen(copy), len);
        free(copy);
    }
}

static void test_err_text_names_every_error(void **state) {
    (void)state;
    for (int err = ERR_DAMAGED; err <= ERR_OK; err++) {
        assert_non_null(err_text(err));
        assert_string_not_equal(err_text(err), err_text(1));
    }
    assert_non_null(err_text(-1000));
}

static void test_err_retryable(void **state) {
    (void)state;
    assert_true(err_is_retryable(ERR_AGAIN));
    assert_true(err_is_retryable(ERR_BUSY));
    assert_true(err_is_retryable(ERR_UNREACHABLE));
    assert_false(err_is_retryable(ERR_OK));
    assert_false(err_is_retryable(ERR_IO));
    assert_false(err_is_retryable(ERR_DENIED));
    assert_false(err_is_retryable(ERR_DAMAGED));
    assert_false(err_is_retryable(ERR_FULL));
}

UNIT_MAIN(cmocka_unit_test(test_buf_empty_release_and_clear), cmocka_unit_test(test_buf_keeps_a_nul_after_its_bytes),
          cmocka_unit_test(test_buf_adds_every_kind), cmocka_unit_test(test_buf_addf_longer_than_any_first_guess),
          cmocka_unit_test(test_buf_refuses_absurd_sizes_and_stays_as_it_was),
          cmocka_unit_test(test_buf_reserve_holds_the_bytes_still),
          cmocka_unit_test(test_buf_reserve_has_room_for_the_nul_too), cmocka_unit_test(test_slice_equal_and_dup),
          cmocka_unit_test(test_a_copy_of_a_slice_has_room_for_its_nul),
          cmocka_unit_test(test_err_text_names_every_error), cmocka_unit_test(test_err_retryable))
