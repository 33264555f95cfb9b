/* The last line of a consumer's log, as `cp` shows it. */
#include "files.h"
#include "producer/cli/consumer_log.h"
#include "unit.h"
#include <unistd.h>

static const char path[] = "consumer.log";

static void write_log(const char *text) {
    file_put_text(path, text);
}

static void expect_line(const char *text, off_t from, const char *line) {
    char shown[64];
    write_log(text);
    consumer_log_last_line(path, from, shown, sizeof shown);
    assert_string_equal(shown, line);
}

static void test_time_and_program_are_not_shown(void **state) {
    (void)state;
    expect_line("2026-11-21T09:35:49Z chunklift-consumer: /j: the journal is in use\n", 0, "/j: the journal is in use");
    expect_line("one: first\ntwo: last\n\n", 0, "last");
    expect_line("no separator", 0, "no separator");
}

static void test_lines_of_an_earlier_consumer_are_not_shown(void **state) {
    (void)state;
    expect_line("a: earlier\n", 11, "");
    expect_line("a: earlier\nb: now\n", 11, "now");
    expect_line("", 0, "");
}

/* As with --log-file, where uploaders write to the same file. */
static void test_lines_of_other_programs_are_not_shown(void **state) {
    (void)state;
    expect_line("T chunklift-consumer: first\nT chunklift-consumer: /j: is: bad\nT chunklift: later\n", 0,
                "/j: is: bad");
}

static void test_a_long_line_is_cut(void **state) {
    char text[6000], shown[16];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    write_log(text);
    consumer_log_last_line(path, 0, shown, sizeof shown);
    assert_string_equal(shown, "xxxxxxxxxxxxxxx");
    assert_int_equal(consumer_log_size(path), sizeof text - 1);
}

static void test_without_a_file_there_is_no_line(void **state) {
    char shown[16];
    (void)state;
    (void)unlink(path);
    consumer_log_last_line(path, 0, shown, sizeof shown);
    assert_string_equal(shown, "");
    assert_int_equal(consumer_log_size(path), 0);
}

static void test_line_that_fits_exactly(void **state) {
    char text[80], shown[64];
    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t len = 63; len <= 64; len++) {
        text[len] = '\0';
        write_log(text);
        consumer_log_last_line(path, 0, shown, sizeof shown);
        assert_int_equal(strlen(shown), 63);
        text[len] = 'x';
    }
}

/* Only the end of a large file is read. */
static void test_last_line_of_a_large_log(void **state) {
    static char text[10000];
    (void)state;
    memset(text, '\n', sizeof text);
    memcpy(text + sizeof text - 12, "now: the end", 12);
    text[sizeof text - 1] = '\0';
    write_log(text);
    char shown[64];
    consumer_log_last_line(path, 0, shown, sizeof shown);
    assert_string_equal(shown, "the en");
    consumer_log_last_line(path, sizeof text - 3, shown, sizeof shown);
    assert_string_equal(shown, "en");
}

UNIT_MAIN(cmocka_unit_test(test_time_and_program_are_not_shown),
          cmocka_unit_test(test_lines_of_an_earlier_consumer_are_not_shown), cmocka_unit_test(test_a_long_line_is_cut),
          cmocka_unit_test(test_lines_of_other_programs_are_not_shown),
          cmocka_unit_test(test_without_a_file_there_is_no_line), cmocka_unit_test(test_line_that_fits_exactly),
          cmocka_unit_test(test_last_line_of_a_large_log))
