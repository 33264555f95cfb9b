/* The total line: a part is shown only when there is something to show. */
#include "capture.h"
#include "unit.h"

#include "producer/show/progress.h"

static const char *draw(const struct producer_stats *stats) {
    static struct capture seen;
    struct progress p;
    progress_init(&p, 1000);
    p.terminal = false;
    capture_begin(&seen, STDERR_FILENO);
    progress_draw(&p, stats, NULL, 0, 7000);
    return capture_end(&seen);
}

static void assert_ends(const struct producer_stats *stats, const char *end) {
    const char *line = draw(stats);
    size_t len = strlen(line);
    if (len < strlen(end) + 1 || strncmp(line + len - 1 - strlen(end), end, strlen(end)) != 0)
        fail_msg("%s does not end with %s", line, end);
    assert_int_equal(line[len - 1], '\n');
}

static void test_optional_parts_of_the_total(void **state) {
    struct producer_stats stats = {.files_seen = 9, .files_done = 3, .uploaders = 1, .connected = true};
    (void)state;
    assert_ends(&stats, "ETA --:--, 3 of 9 files, 1 uploader");
    stats.uploaders = 2;
    assert_ends(&stats, ", 3 of 9 files, 2 uploaders");
    stats.files_skipped = 1;
    assert_ends(&stats, ", 3 of 8 files, 2 uploaders, 1 skipped");
    stats.files_failed = 1;
    stats.source_errors = 2;
    assert_ends(&stats, " uploaders, 1 skipped, 3 failed");
    stats.retries = 1;
    assert_ends(&stats, ", 3 failed, 1 retry");
    stats.retries = 2;
    assert_ends(&stats, ", 3 failed, 2 retries");
    stats.connected = false;
    assert_ends(&stats, ", 2 retries, waiting for the journal consumer");
}

static void test_total_while_files_are_searched(void **state) {
    struct producer_stats stats = {
        .files_seen = 9, .files_done = 3, .bytes_total = 2048, .bytes_done = 1024, .walking = true, .connected = true};
    (void)state;
    assert_non_null(strstr(draw(&stats), "1 KiB of 2 KiB+ 50%, "));
    assert_non_null(strstr(draw(&stats), ", 3 of 9+ files, 0 uploaders"));
    stats.walking = false;
    assert_non_null(strstr(draw(&stats), "1 KiB of 2 KiB 50%, "));
    assert_non_null(strstr(draw(&stats), ", 3 of 9 files, "));
}

UNIT_MAIN(cmocka_unit_test(test_optional_parts_of_the_total), cmocka_unit_test(test_total_while_files_are_searched))
