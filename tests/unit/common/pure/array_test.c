#include "pure/array.h"
#include "unit.h"
#include <malloc.h>
#include <stdlib.h>

static void test_it_grows_when_the_count_reaches_the_capacity(void **state) {
    (void)state;
    uint32_t *items = NULL;
    size_t cap = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        size_t before = cap;
        assert_int_equal(array_grow(&items, &cap, i, sizeof *items), 0);
        assert_true(cap > i);
        assert_true(i == before ? cap > before : cap == before);
        items[i] = i;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    free(items);
}

static void test_a_size_that_overflows_is_refused_and_nothing_changes(void **state) {
    (void)state;
    char *items = NULL, *before;
    size_t cap = 0, half = SIZE_MAX / 2 + 1;
    assert_int_equal(array_grow(&items, &cap, 0, SIZE_MAX / 2), ERR_NOMEM);
    assert_null(items);
    assert_int_equal(cap, 0);
    assert_int_equal(array_grow(&items, &cap, 0, 1), 0);
    before = items;
    assert_int_equal(array_grow(&items, &half, half, 1), ERR_NOMEM);
    assert_ptr_equal(items, before);
    assert_true(half == SIZE_MAX / 2 + 1);
    free(items);
}

static void test_growing_by_one_keeps_what_was_there(void **state) {
    (void)state;
    uint64_t *items = NULL;
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(array_grow_by_one(&items, i, sizeof *items), 0);
        items[i] = i;
    }
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(items[i], i);
    uint64_t *before = items;
    assert_int_equal(array_grow_by_one(&items, SIZE_MAX / sizeof *items, sizeof *items), ERR_NOMEM);
    assert_ptr_equal(items, before);
    free(items);
}

/* An element may be larger than the smallest block of the allocator. */
static void test_growing_by_one_makes_room_for_the_new_one(void **state) {
    (void)state;
    struct {
        char bytes[4096];
    } *items = NULL;
    for (size_t count = 0; count < 3; count++) {
        assert_int_equal(array_grow_by_one(&items, count, sizeof *items), 0);
        assert_true(malloc_usable_size(items) >= (count + 1) * sizeof *items);
    }
    free(items);
}

static void test_an_array_of_nothing_is_not_null(void **state) {
    (void)state;
    void *none = array_zeroed(0, 8);
    assert_non_null(none);
    free(none);
    uint32_t *items = array_zeroed(50, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(items[i], 0);
    free(items);
    assert_null(array_zeroed(SIZE_MAX / 2, 4));
}

UNIT_MAIN(cmocka_unit_test(test_growing_by_one_keeps_what_was_there),
          cmocka_unit_test(test_growing_by_one_makes_room_for_the_new_one),
          cmocka_unit_test(test_an_array_of_nothing_is_not_null),
          cmocka_unit_test(test_it_grows_when_the_count_reaches_the_capacity),
          cmocka_unit_test(test_a_size_that_overflows_is_refused_and_nothing_changes))
