#include "unit.h"

#include "system/clock.h"

static void assert_time(int64_t real_us, const char *expected) {
    char text[RFC3339_SIZE];
    rfc3339_format(real_us, text);
    assert_string_equal(text, expected);
}

static void test_rfc3339(void **state) {
    (void)state;
    assert_time(0, "1970-01-01T00:00:00.000000Z");
    assert_time(1795250400000001, "2026-11-21T08:40:00.000001Z");
    assert_time(951782399999999, "2000-02-28T23:59:59.999999Z");
    assert_time(951782400000000, "2000-02-29T00:00:00.000000Z");
    assert_time(-1, "1969-12-31T23:59:59.999999Z");
    assert_time(253402300799999999, "9999-12-31T23:59:59.999999Z");
    assert_time(INT64_MAX, "9999-12-31T23:59:59.775807Z");
    assert_time(INT64_MIN, "0000-01-01T00:00:00.224192Z");
}

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

UNIT_MAIN(cmocka_unit_test(test_rfc3339), cmocka_unit_test(test_clocks_do_not_go_backwards),
          cmocka_unit_test(test_real_time_is_this_century))
