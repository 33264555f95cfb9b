/* The summary of a run: each count has its line or part only when it is not zero. */
#include "unit.h"

#include "producer/show/summary.h"
#include <stdlib.h>

static char *text;

/* Returns the number of lines in text. */
static unsigned print(const struct producer_stats *stats, double seconds, const char *dest, const char *journal_dir) {
    size_t size;
    unsigned lines = 0;
    free(text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    summary_print(out, stats, seconds, dest, journal_dir);
    fclose(out);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

static int teardown(void **state) {
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static void test_without_skipped_entries(void **state) {
    struct producer_stats stats = {.files_done = 1, .bytes_sent_now = 2048};
    (void)state;
    assert_int_equal(print(&stats, 2, "s3://b/", "/j"), 3);
    assert_int_equal(strncmp(text, "1 file uploaded, 2 KiB in 2.0 s (1 KiB/s), 0 B ", 47), 0);
    assert_null(strstr(text, "failed"));
    assert_null(strstr(text, "retr"));
    assert_non_null(strstr(text, "\ndestination: s3://b/\n"));
    assert_non_null(strstr(text, "\njournal: /j\n"));
    assert_int_equal(print(&stats, 0, NULL, NULL), 1);
    assert_non_null(strstr(text, " in 0.0 s (0 B/s)"));
    print(&stats, 0, "", NULL);
    assert_non_null(strstr(text, "\ndestination: \n"));
}

static void test_failures_and_retries(void **state) {
    struct producer_stats stats = {.files_done = 2, .files_failed = 3, .source_errors = 4, .retries = 1};
    (void)state;
    assert_int_equal(print(&stats, 1, NULL, NULL), 1);
    assert_int_equal(strncmp(text, "2 files uploaded, ", 18), 0);
    assert_non_null(strstr(text, ", 7 failed, 1 retry\n"));
    stats.retries = 2;
    print(&stats, 1, NULL, NULL);
    assert_non_null(strstr(text, ", 2 retries\n"));
}

static void test_skipped_entries(void **state) {
    static const struct producer_stats one[] = {
        {.files_skipped = 1}, {.files_verified = 1}, {.links_skipped = 1}, {.empty_dirs = 1}, {.other_skipped = 1}};
    struct producer_stats all = {
        .files_skipped = 71, .files_verified = 72, .links_skipped = 73, .empty_dirs = 74, .other_skipped = 75};
    (void)state;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        assert_int_equal(print(&one[i], 1, NULL, NULL), 2);
        assert_int_equal(strncmp(strchr(text, '\n'), "\n1 ", 3), 0);
    }
    assert_int_equal(print(&all, 1, NULL, NULL), 6);
    for (unsigned count = 71; count <= 75; count++) {
        char start[8];
        snprintf(start, sizeof start, "\n%u ", count);
        assert_non_null(strstr(text, start));
    }
    assert_non_null(strstr(text, "73 links "));
    assert_non_null(strstr(text, "74 empty directories "));
    assert_non_null(strstr(text, "75 special files "));
    print(&one[2], 1, NULL, NULL);
    assert_non_null(strstr(text, "1 link "));
    print(&one[3], 1, NULL, NULL);
    assert_non_null(strstr(text, "1 empty directory "));
}

static void test_transfers_that_finish_after_a_stop(void **state) {
    char line[SUMMARY_FINISHING_SIZE];
    struct producer_stats stats = {.slots = 8};
    (void)state;
    assert_string_equal(summary_describe_finishing(&stats, line), "stopping; nothing is in flight");
    stats.leases = 1;
    stats.lease_bytes = 4096;
    stats.bytes_moving = 1024;
    assert_string_equal(summary_describe_finishing(&stats, line),
                        "finishing 1 transfer (3 KiB left); again to stop now");
    stats.leases = 16; /* half of them are only queued */
    stats.lease_bytes = 16 * 4096;
    assert_string_equal(summary_describe_finishing(&stats, line),
                        "finishing 8 transfers (31 KiB left); again to stop now");
    stats.bytes_moving = 100000;
    assert_string_equal(summary_describe_finishing(&stats, line),
                        "finishing 8 transfers (0 B left); again to stop now");
}

static void test_skipped_files_are_one_or_several(void **state) {
    struct producer_stats stats = {.files_skipped = 1};
    (void)state;
    print(&stats, 1, NULL, NULL);
    assert_non_null(strstr(text, "the journal shows it uploaded;"));
    stats.files_skipped = 2;
    print(&stats, 1, NULL, NULL);
    assert_non_null(strstr(text, "the journal shows them uploaded;"));
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
UNIT_MAIN(TEST(test_without_skipped_entries), TEST(test_failures_and_retries), TEST(test_skipped_entries),
          TEST(test_transfers_that_finish_after_a_stop), TEST(test_skipped_files_are_one_or_several))
