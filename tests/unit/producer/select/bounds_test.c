#include "capture.h"
#include "producer/select/bounds.h"
#include "unit.h"
#include <stdlib.h>
#include <time.h>

static const struct timespec now = {1800000000, 500000000};

static void test_sizes_are_those_of_rclone(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"1", 1024},
                 {"100", 102400},
                 {"10b", 10},
                 {"10B", 10},
                 {"1k", 1024},
                 {"1K", 1024},
                 {"1Ki", 1024},
                 {"1kib", 1024},
                 {"1.5M", 1572864},
                 {".5k", 512},
                 {"5.", 5120},
                 {"1G", UINT64_C(1) << 30},
                 {"2T", UINT64_C(2) << 40},
                 {"1P", UINT64_C(1) << 50},
                 {"1E", UINT64_C(1) << 60}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes;
        bool off;
        assert_int_equal(bounds_parse_size(cases[i].text, &bytes, &off), 0);
        assert_int_equal(bytes, cases[i].bytes);
        assert_false(off);
    }
}

static void test_texts_that_are_no_sizes(void **state) {
    static const char *const cases[] = {"",   "k",   ".",   "1kb", "1.2.3", "-1",  " 5",
                                        "5i", "5Bi", "inf", "1q",  "0x10",  "5 k", "1KiBs"};
    uint64_t bytes;
    bool off;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(bounds_parse_size(cases[i], &bytes, &off), ERR_INVALID);
    assert_int_equal(bounds_parse_size("8E", &bytes, &off), ERR_LIMIT);
    assert_int_equal(bounds_parse_size("OFF", &bytes, &off), 0);
    assert_true(off);
}

static int64_t age_ns(const char *text) {
    struct timespec time;
    bool off;
    assert_int_equal(bounds_parse_age(text, &now, &time, &off), 0);
    assert_false(off);
    assert_in_range(time.tv_nsec, 0, 999999999);
    return (now.tv_sec - time.tv_sec) * INT64_C(1000000000) + now.tv_nsec - time.tv_nsec;
}

static void test_ages_are_those_of_rclone(void **state) {
    (void)state;
    assert_int_equal(age_ns("90"), INT64_C(90000000000));
    assert_int_equal(age_ns("700ms"), 700000000);
    assert_int_equal(age_ns("1us"), 1000);
    assert_int_equal(age_ns("1h30m"), INT64_C(5400000000000));
    assert_int_equal(age_ns(".5h"), INT64_C(1800000000000));
    assert_int_equal(age_ns("2d"), INT64_C(172800000000000));
    assert_int_equal(age_ns("1.5w"), INT64_C(907200000000000));
    assert_int_equal(age_ns("1M"), INT64_C(2592000000000000));
    assert_int_equal(age_ns("1y"), INT64_C(31536000000000000));
}

static void test_dates_are_in_local_time_without_a_zone(void **state) {
    struct timespec time;
    bool off;
    (void)state;
    setenv("TZ", "JST-9", 1);
    tzset();
    assert_int_equal(bounds_parse_age("2026-11-30", &now, &time, &off), 0);
    assert_int_equal(time.tv_sec, 1795964400);
    assert_int_equal(bounds_parse_age("2026-11-30T08:40:00", &now, &time, &off), 0);
    assert_int_equal(time.tv_sec, 1795995600);
    assert_int_equal(bounds_parse_age("2026-11-30 08:40:00", &now, &time, &off), 0);
    assert_int_equal(time.tv_sec, 1795995600);
    assert_int_equal(bounds_parse_age("2026-11-30T08:40:00.5Z", &now, &time, &off), 0);
    assert_int_equal(time.tv_sec, 1796028000);
    assert_int_equal(time.tv_nsec, 500000000);
    unsetenv("TZ");
    tzset();
}

static void test_texts_that_are_no_ages(void **state) {
    static const char *const cases[] = {"",     "Off", "1Y", "5min",       "1h ",        "2026-1-3",
                                        "1d12", "-1h", "h",  "2026-13-01", "2026-02-31", "1..5h"};
    struct timespec time;
    bool off;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(bounds_parse_age(cases[i], &now, &time, &off), ERR_INVALID);
    assert_int_equal(bounds_parse_age("300y", &now, &time, &off), ERR_LIMIT);
    assert_int_equal(bounds_parse_age("off", &now, &time, &off), 0);
    assert_true(off);
}

static bool includes(const struct bounds *b, off_t size, time_t age) {
    const struct stat st = {.st_size = size, .st_mtim = {now.tv_sec - age, now.tv_nsec}};
    return bounds_include(b, &st);
}

static void test_a_bound_itself_is_included(void **state) {
    struct bounds b;
    (void)state;
    assert_int_equal(bounds_parse(&b, "10B", "20B", "1m", "1h", &now), 0);
    assert_true(includes(&b, 10, 60) && includes(&b, 20, 3600));
    assert_false(includes(&b, 9, 60) || includes(&b, 21, 60));
    assert_false(includes(&b, 10, 59) || includes(&b, 10, 3601));
    assert_int_equal(bounds_parse(&b, "off", "0b", "off", NULL, &now), 0);
    assert_true(includes(&b, 0, -9000));
    assert_false(includes(&b, 1, 0));
}

static void test_bounds_without_a_file_between_them_are_refused(void **state) {
    struct bounds b;
    struct capture out;
    (void)state;
    capture_begin(&out, 2);
    assert_int_equal(bounds_parse(&b, "2k", "1k", NULL, NULL, &now), ERR_USAGE);
    assert_int_equal(bounds_parse(&b, NULL, NULL, "1h", "59m", &now), ERR_USAGE);
    assert_int_equal(bounds_parse(&b, "1k", "1k", "1h", "1h", &now), 0);
    assert_string_equal(capture_end(&out), "chunklift: --min-size 2k: larger than --max-size 1k, so that no file fits\n"
                                           "chunklift: --min-age 1h: older than --max-age 59m, so that no file fits\n");
}

UNIT_MAIN(cmocka_unit_test(test_sizes_are_those_of_rclone), cmocka_unit_test(test_texts_that_are_no_sizes),
          cmocka_unit_test(test_ages_are_those_of_rclone),
          cmocka_unit_test(test_dates_are_in_local_time_without_a_zone), cmocka_unit_test(test_texts_that_are_no_ages),
          cmocka_unit_test(test_a_bound_itself_is_included),
          cmocka_unit_test(test_bounds_without_a_file_between_them_are_refused))
