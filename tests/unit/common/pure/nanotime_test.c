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
          cmocka_unit_test(test_other_texts_are_refused))
