#include "unit.h"

#include "pure/rfc3339.h"
#include "system/clock.h"

static void test_clocks_do_not_go_backwards(void **state) {
    (void)state;
    uint64_t ms = clock_ms(), ns = clock_ns();
    assert_true(ms > 0);
    assert_true(ns / 1000000 >= ms);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_ns();
        assert_true(now >= ns);
        ns = now;
    }
}

static void test_real_time_is_this_century(void **state) {
    (void)state;
    char text[RFC3339_SIZE];
    rfc3339_format(clock_real_us(), text);
    assert_int_equal(strncmp(text, "20", 2), 0);
    assert_int_equal(strlen(text), RFC3339_SIZE - 1);
}

UNIT_MAIN(cmocka_unit_test(test_clocks_do_not_go_backwards), cmocka_unit_test(test_real_time_is_this_century))
