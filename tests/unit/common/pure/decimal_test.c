#include "edge.h"
#include "unit.h"

#include "pure/decimal.h"

static void test_digits_are_a_number(void **state) {
    (void)state;
    uint64_t value;
    assert_int_equal(decimal_parse(slice_of("0"), 0, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(decimal_parse(edge_text("0042"), 42, &value), 0);
    assert_int_equal(value, 42);
    assert_int_equal(decimal_parse(slice_of("18446744073709551615"), UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
}

static void test_numbers_above_the_maximum_are_refused(void **state) {
    (void)state;
    uint64_t value = 7;
    assert_int_equal(decimal_parse(slice_of("43"), 42, &value), ERR_LIMIT);
    assert_int_equal(decimal_parse(slice_of("5"), 4, &value), ERR_LIMIT);
    assert_int_equal(decimal_parse(slice_of("18446744073709551616"), UINT64_MAX, &value), ERR_LIMIT);
    assert_int_equal(decimal_parse(slice_of("99999999999999999999999"), UINT64_MAX, &value), ERR_LIMIT);
    assert_int_equal(value, 7);
}

static void test_other_text_is_no_number(void **state) {
    (void)state;
    uint64_t value = 7;
    const char *const wrong[] = {"", " 1", "1 ", "-1", "+1", "1.5", "0x10", "1e3", "a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(decimal_parse(edge_text(wrong[i]), UINT64_MAX, &value), ERR_INVALID);
    assert_int_equal(decimal_parse(slice_make("1\0", 2), UINT64_MAX, &value), ERR_INVALID);
    assert_int_equal(value, 7);
}

UNIT_MAIN(cmocka_unit_test(test_digits_are_a_number), cmocka_unit_test(test_numbers_above_the_maximum_are_refused),
          cmocka_unit_test(test_other_text_is_no_number))
