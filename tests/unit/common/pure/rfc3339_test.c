#include "edge.h"
#include "unit.h"

#include "pure/rfc3339.h"
#include <stdlib.h>
#include <time.h>

static void assert_time(int64_t real_us, const char *expected) {
    char text[RFC3339_SIZE];
    rfc3339_format(real_us, text);
    assert_string_equal(text, expected);
}

static void test_format(void **state) {
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

static void test_parse_any_form(void **state) {
    (void)state;
    int64_t us;
    assert_int_equal(rfc3339_parse(edge_text("2026-11-21T08:40:00Z"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400000000));
    assert_int_equal(rfc3339_parse(edge_text("2026-11-21T08:40:00.250Z"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400250000));
    assert_int_equal(rfc3339_parse(edge_text("2026-11-21T09:40:00.123456789+01:00"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400123456));
    assert_int_equal(rfc3339_parse(edge_text("2026-11-21T08:10:00-0030"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400000000));
    assert_int_equal(rfc3339_parse(edge_text("1970-01-01T00:00:00Z"), &us), 0);
    assert_int_equal(us, 0);
    assert_int_equal(rfc3339_parse(edge_text("2026-12-31T23:59:60Z"), &us), 0); /* a leap second */
    assert_int_equal(us, INT64_C(1798761600000000));
    assert_int_equal(rfc3339_parse(edge_text("2026-11-22T08:39:00+23:59"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400000000));
    const char *const wrong[] = {"",
                                 "2026-11-21",
                                 "2026-11-21T08:40:00",
                                 "2026-11-21T08:40:61Z",
                                 "2026-11-21T08:60:00Z",
                                 "2026-11-21T08:40:00+24:00",
                                 "2026-11-21T08:40:00+01:60",
                                 "2026-11-21T08:40:00.",
                                 "2026-12-32T08:40:00Z",
                                 "2026-11-21T08:40:00.Z",
                                 "2026-13-21T08:40:00Z",
                                 "2026-11-21T24:40:00Z",
                                 "2026-11-31T08:40:00Z",
                                 "2026-02-29T08:40:00Z",
                                 "2026-11-00T08:40:00Z",
                                 "2026-11-21T08:40:00Zx",
                                 "2026-11-21T08:40:00+1",
                                 "1969-11-21T08:40:00Z"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(rfc3339_parse(edge_text(wrong[i]), &us), ERR_INVALID);
}

static void test_parse_exact_reads_only_the_written_form(void **state) {
    (void)state;
    int64_t us;
    assert_int_equal(rfc3339_parse_exact(slice_of("2026-11-21T08:40:00.000001Z"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400000001));
    assert_int_equal(rfc3339_parse_exact(slice_of("9999-12-31T23:59:59.999999Z"), &us), 0);
    assert_int_equal(us, INT64_C(253402300799999999));
    const char *const wrong[] = {"",
                                 "2026-11-21T08:40:00Z",
                                 "2026-11-21T08:40:00.00001Z",
                                 "2026-11-21T08:40:00.0000001Z",
                                 "2026-11-21T08:40:60.000001Z",
                                 "2026-11-21T08:40:00.1+0100Z",
                                 "2026-11-21T08:40:00.1+01:0Z",
                                 "2026-11-31T08:40:00.000001Z",
                                 "1969-12-31T23:59:59.999999Z",
                                 "2026-11-21t08:40:00.000001Z",
                                 "2026-11-21T08:40:00.000001z"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(rfc3339_parse_exact(edge_text(wrong[i]), &us), ERR_INVALID);
}

static void test_each_day_is_read_as_it_was_written(void **state) {
    (void)state;
    const int64_t day_us = INT64_C(86400) * 1000000;
    for (int64_t us = 86399999999; us < INT64_C(253402300800) * 1000000; us += day_us) {
        char text[RFC3339_SIZE];
        int64_t read_us = -1;
        rfc3339_format(us, text);
        assert_int_equal(rfc3339_parse_exact(slice_of(text), &read_us), 0);
        assert_int_equal(read_us, us);
    }
}

static void test_calendar_is_that_of_gmtime(void **state) {
    (void)state;
    for (int64_t s = -62167219200; s <= INT64_C(253402300799); s += 86400 * 13 + 7) {
        char text[RFC3339_SIZE], expected[RFC3339_SIZE + 8];
        time_t t = (time_t)s;
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        assert_true(strftime(expected, sizeof expected, "-%m-%dT%H:%M:%S.000000Z", &tm) > 0);
        rfc3339_format(s * 1000000, text);
        assert_string_equal(text + 4, expected);
        assert_int_equal(atoi(text), tm.tm_year + 1900);
    }
}

UNIT_MAIN(cmocka_unit_test(test_format), cmocka_unit_test(test_parse_any_form),
          cmocka_unit_test(test_parse_exact_reads_only_the_written_form),
          cmocka_unit_test(test_each_day_is_read_as_it_was_written), cmocka_unit_test(test_calendar_is_that_of_gmtime))
