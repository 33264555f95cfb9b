/* Stamps of files: every one that a file system can hold is kept as it is. */
#include "edge.h"
#include "pure/nanotime.h"
#include "unit.h"

static void check_text(nanotime t, const char *text) {
    char out[NANOTIME_TEXT_SIZE];
    nanotime again = 1;
    assert_string_equal(nanotime_format(t, out), text);
    assert_int_equal(nanotime_parse(edge_text(text), &again), 0);
    assert_true(again == t);
}

static void test_stamps_of_any_year_are_written_and_read(void **state) {
    (void)state;
    check_text(0, "0");
    check_text(7, "7");
    check_text(-1, "-1");
    check_text(INT64_MAX, "9223372036854775807");
    check_text(INT64_MIN, "-9223372036854775808");
    check_text(nanotime_of((struct timespec){.tv_sec = 10413792000, .tv_nsec = 5}), "10413792000000000005"); /* 2300 */
    check_text(nanotime_of((struct timespec){.tv_sec = -11676096000, .tv_nsec = 1}),
               "-11676095999999999999"); /* 1600 */
    check_text(nanotime_of((struct timespec){.tv_sec = INT64_MAX, .tv_nsec = 999999999}),
               "9223372036854775807999999999");
    check_text(nanotime_of((struct timespec){.tv_sec = INT64_MIN}), "-9223372036854775808000000000");
}

static void check_seconds(nanotime t, const char *text) {
    char out[NANOTIME_TEXT_SIZE];
    assert_string_equal(nanotime_format_seconds(t, out), text);
}

static void test_seconds_as_rclone_writes_them(void **state) {
    (void)state;
    check_seconds(0, "0");
    check_seconds(1, "0.000000001");
    check_seconds(-1, "-0.000000001");
    check_seconds(INT64_C(1763716800123456789), "1763716800.123456789");
    check_seconds(INT64_C(1763716800100000000), "1763716800.1");
    check_seconds(INT64_C(-1500000000), "-1.5");
    check_seconds(nanotime_of((struct timespec){.tv_sec = INT64_MAX, .tv_nsec = 999999999}),
                  "9223372036854775807.999999999");
    check_seconds(nanotime_of((struct timespec){.tv_sec = INT64_MIN}), "-9223372036854775808");
}

static void test_a_stamp_is_a_timespec_again(void **state) {
    (void)state;
    static const struct timespec times[] = {{0, 0},        {5, 1}, {-1, 999999999}, {-2, 1}, {INT64_MAX, 999999999},
                                            {INT64_MIN, 0}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct timespec back = nanotime_to_timespec(nanotime_of(times[i]));
        assert_int_equal(back.tv_sec, times[i].tv_sec);
        assert_int_equal(back.tv_nsec, times[i].tv_nsec);
    }
}

static void test_other_texts_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "-0",
                                      "00",
                                      "01",
                                      "+1",
                                      "1 ",
                                      "1e3",
                                      "9223372036854775808000000000",
                                      "-9223372036854775808000000001",
                                      "340282366920938463463374607431768211456",
                                      "99999999999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nanotime t;
        assert_int_equal(nanotime_parse(edge_text(bad[i]), &t), ERR_INVALID);
    }
}

UNIT_MAIN(cmocka_unit_test(test_stamps_of_any_year_are_written_and_read),
          cmocka_unit_test(test_seconds_as_rclone_writes_them), cmocka_unit_test(test_a_stamp_is_a_timespec_again),
          cmocka_unit_test(test_other_texts_are_refused))
