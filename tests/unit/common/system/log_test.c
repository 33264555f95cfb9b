#include "unit.h"

#include "capture.h"
#include "system/log.h"
#include <errno.h>
#include <stdlib.h>

static struct capture out;

#define assert_logs(expected, ...)                                                                                     \
    do {                                                                                                               \
        capture_begin(&out, 2);                                                                                        \
        log_error(__VA_ARGS__);                                                                                        \
        assert_string_equal(capture_end(&out), expected);                                                              \
    } while (0)

static int setup(void **state) {
    (void)state;
    log_setup("chunklift", LOG_INFO, false);
    log_set_before_line(NULL, NULL);
    log_set_json(false);
    return 0;
}

static void test_one_line_with_the_program(void **state) {
    (void)state;
    assert_logs("chunklift: /a b: is full; free some space\n", "%s: is full; free some space", "/a b");
    log_setup("chunklift-uploader", LOG_INFO, false);
    assert_logs("chunklift-uploader: x\n", "x");
}

static void test_control_characters_are_escaped(void **state) {
    (void)state;
    assert_logs("chunklift: a\\nb\\tc\\x1b[31m\\x7f\\x0d\n", "a\nb\tc\033[31m\x7f\r");
    assert_logs("chunklift: \\xc2\\x9b31m\n", "\xc2\x9b"
                                              "31m"); /* CSI as a C1 control */
}

static void test_utf8_stays_and_other_bytes_are_escaped(void **state) {
    (void)state;
    assert_logs("chunklift: naïve 日本 🚀\n", "naïve 日本 🚀");
    assert_logs("chunklift: \\xff\\xe9t\\xe9 ok\n", "\xff\xe9t\xe9 ok");
    assert_logs("chunklift: cut \\xe6\\x97\n", "cut \xe6\x97");
    assert_logs("chunklift: \\xed\\xa0\\x80 \\xc0\\xaf\n", "\xed\xa0\x80 \xc0\xaf"); /* surrogate, overlong */
}

static void test_backslash_stays(void **state) {
    (void)state;
    assert_logs("chunklift: a\\nb C:\\dir\n", "%s C:\\dir", "a\\nb");
}

static void test_longest_name_fits_whole(void **state) {
    (void)state;
    char name[4097];
    memset(name, 0xff, 4096);
    name[4096] = '\0';
    capture_begin(&out, 2);
    log_error("%s: end", name);
    const char *text = capture_end(&out);
    assert_int_equal(strlen(text), strlen("chunklift: ") + 4096 * 4 + strlen(": end\n"));
    assert_string_equal(text + strlen(text) - 6, ": end\n");
}

static void test_too_long_is_cut_at_a_character_and_marked(void **state) {
    (void)state;
    enum { N = 100000 };
    char *text = malloc(N + 1);
    assert_non_null(text);
    memset(text, 0x01, N);
    text[N] = '\0';
    capture_begin(&out, 2);
    log_error("%s", text);
    const char *line = capture_end(&out);
    size_t len = strlen(line);
    assert_true(len < 50000);
    assert_string_equal(line + len - strlen("\\x01…\n"), "\\x01…\n");
    free(text);
}

static void test_level_hides_the_less_important(void **state) {
    (void)state;
    log_setup("chunklift", LOG_WARN, false);
    capture_begin(&out, 2);
    log_error("1");
    log_warn("2");
    log_info("3");
    log_debug("4");
    assert_string_equal(capture_end(&out), "chunklift: 1\nchunklift: 2\n");
    assert_int_equal(log_level(), LOG_WARN);
}

static void test_timestamp(void **state) {
    (void)state;
    log_setup("chunklift", LOG_INFO, true);
    capture_begin(&out, 2);
    log_error("x");
    const char *text = capture_end(&out);
    assert_int_equal(strlen(text), strlen("2026-11-21T08:40:00.000000Z chunklift: x\n"));
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[26], 'Z');
}

static void before(void *arg) {
    (*(int *)arg)++;
    assert_int_equal(write(2, "[", 1), 1);
}

static void test_before_line_is_called_only_for_lines_shown(void **state) {
    (void)state;
    int calls = 0;
    log_set_before_line(before, &calls);
    capture_begin(&out, 2);
    log_debug("hidden");
    log_error("x");
    assert_string_equal(capture_end(&out), "[chunklift: x\n");
    assert_int_equal(calls, 1);
}

static void test_errno_is_kept(void **state) {
    (void)state;
    capture_begin(&out, 2);
    errno = ENOSPC;
    log_error("%s", strerror(errno));
    int after = errno;
    capture_end(&out);
    assert_int_equal(after, ENOSPC);
}

static size_t lines_of(const char *text) {
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void test_the_same_line_is_written_ten_times(void **state) {
    (void)state;
    capture_begin(&out, 2);
    for (int i = 0; i < 50; i++) {
        log_warn("s3://b: the store does not answer");
        log_info("another line");
    }
    assert_int_equal(lines_of(capture_end(&out)), 20);
    capture_begin(&out, 2);
    for (int i = 0; i < 50; i++)
        log_error("file %d: cannot be read", i); /* no two of these are the same */
    assert_int_equal(lines_of(capture_end(&out)), 50);
}

/* {"event":"log","ts":…,"level":…,"text":…} on stdout, besides the line on stderr. */
static void test_json(void **state) {
    (void)state;
    const char *rest;
    log_set_json(true);
    capture_begin(&out, 1);
    log_warn("%s: \"x\\y\"\n\xff é", "/a");
    log_debug("hidden");
    capture_end(&out);
    static const char start[] = "{\"event\":\"log\",\"ts\":\"";
    assert_memory_equal(out.text, start, sizeof start - 1);
    rest = strchr(out.text + sizeof start - 1, '"');
    assert_string_equal(rest, "\",\"level\":\"warning\",\"text\":\"/a: \\\"x\\\\y\\\"\\\\n\\\\xff é\"}\n");
}

static void test_the_first_captured_line_is_kept_and_not_written(void **state) {
    (void)state;
    char text[8];
    log_capture(text, sizeof text);
    assert_logs("", "%s", "first");
    assert_logs("", "second");
    assert_string_equal(text, "first");
    log_capture(text, sizeof text);
    assert_string_equal(text, "");
    log_setup("chunklift", LOG_ERROR, false);
    log_warn("too long for it");
    assert_string_equal(text, "too lon");
    log_capture(NULL, 0);
    assert_logs("chunklift: written\n", "written");
}

UNIT_MAIN(cmocka_unit_test_setup(test_the_first_captured_line_is_kept_and_not_written, setup),
          cmocka_unit_test_setup(test_one_line_with_the_program, setup),
          cmocka_unit_test_setup(test_control_characters_are_escaped, setup),
          cmocka_unit_test_setup(test_utf8_stays_and_other_bytes_are_escaped, setup),
          cmocka_unit_test_setup(test_backslash_stays, setup),
          cmocka_unit_test_setup(test_longest_name_fits_whole, setup),
          cmocka_unit_test_setup(test_too_long_is_cut_at_a_character_and_marked, setup),
          cmocka_unit_test_setup(test_level_hides_the_less_important, setup),
          cmocka_unit_test_setup(test_timestamp, setup),
          cmocka_unit_test_setup(test_before_line_is_called_only_for_lines_shown, setup),
          cmocka_unit_test_setup(test_errno_is_kept, setup),
          cmocka_unit_test_setup(test_the_same_line_is_written_ten_times, setup),
          cmocka_unit_test_setup(test_json, setup))
