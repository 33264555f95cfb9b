/* The summary of a run: each count has its line or part only when it is not zero. */
#include "unit.h"

#include "producer/show/summary.h"
#include "pure/units.h"
#include <stdlib.h>

static char *text;

static struct buf last = BUF_INIT;

/* Returns the number of lines in text. */
static unsigned print(const struct producer_stats *stats, const char *journal_dir) {
    size_t size;
    unsigned lines = 0;
    free(text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    summary_print_notes(out, stats, journal_dir);
    fclose(out);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

static const char *result(const struct producer_stats *stats, double seconds, const char *dest) {
    buf_clear(&last);
    assert_int_equal(summary_add_line(&last, stats, seconds, dest), 0);
    return last.data;
}

static int teardown(void **state) {
    (void)state;
    free(text);
    buf_release(&last);
    text = NULL;
    return 0;
}

static void test_the_result_is_one_line(void **state) {
    struct producer_stats stats = {.files_seen = 4013,
                                   .files_done = 12,
                                   .files_skipped = 4001,
                                   .bytes_sent_now = 13000 * MIB / 4,
                                   .bytes_done = 1};
    (void)state;
    assert_string_equal(result(&stats, 130, "s3://b/p"), "s3://b/p: 12 files uploaded (3.17 GiB), 4,001 unchanged, 0 "
                                                         "failed in 2 min 10 s (25 MiB/s); 0 B resent");
    stats = (struct producer_stats){.files_seen = 1, .files_done = 1, .bytes_sent_now = 2048};
    assert_string_equal(result(&stats, 2, "/a\n"),
                        "/a\\n: 1 file uploaded (2 KiB), 0 unchanged, 0 failed in 2.0 s (1 KiB/s); 0 B resent");
    assert_non_null(strstr(result(&stats, 0, ""), " in 0.0 s (0 B/s)"));
    assert_non_null(strstr(result(&stats, 59.94, ""), " in 59.9 s "));
    assert_non_null(strstr(result(&stats, 3599.4, ""), " in 59 min 59 s "));
    assert_non_null(strstr(result(&stats, 3 * 3600 + 125, ""), " in 3 h 2 min "));
}

static void test_failures_and_retries(void **state) {
    struct producer_stats stats = {.files_seen = 5,
                                   .files_done = 2,
                                   .files_failed = 3,
                                   .source_errors = 4,
                                   .retries = 1,
                                   .bytes_resent = 10 * MIB};
    (void)state;
    assert_non_null(strstr(result(&stats, 1, ""), ", 7 failed in "));
    assert_non_null(strstr(last.data, "; 10 MiB resent, 1 retry"));
    stats.retries = 2;
    assert_non_null(strstr(result(&stats, 1, ""), ", 2 retries"));
    stats.bytes_hedged = 4 * MIB;
    assert_non_null(
        strstr(result(&stats, 1, ""), "; 10 MiB resent (4 MiB of it for slow chunks, without a fault), 2 retries"));
}

static void test_removed_objects_are_one_line(void **state) {
    struct producer_stats stats = {.objects_deleted = 1};
    (void)state;
    buf_clear(&last);
    assert_int_equal(summary_add_removals(&last, &stats, "s3://b/p\n"), 0);
    assert_string_equal(last.data, "s3://b/p\\n: 1 object removed");
    stats = (struct producer_stats){
        .objects_deleted = 1200, .objects_replaced = 2, .objects_returned = 3, .objects_failed = 4};
    buf_clear(&last);
    assert_int_equal(summary_add_removals(&last, &stats, ""), 0);
    assert_string_equal(last.data,
                        ": 1,200 objects removed, 2 kept (replaced by another program), 3 kept (the source is "
                        "there again), 4 failed");
    assert_null(strstr(result(&stats, 1, ""), "removed"));
}

static void test_files_without_a_result_are_counted(void **state) {
    struct producer_stats stats = {.files_seen = 10, .files_done = 2, .files_failed = 3, .files_skipped = 1};
    (void)state;
    assert_non_null(strstr(result(&stats, 1, ""), ", 3 failed, 4 left in "));
    stats.walking = true;
    assert_non_null(strstr(result(&stats, 1, ""), ", 3 failed, 4 or more left in "));
    stats.files_seen = 6;
    assert_non_null(strstr(result(&stats, 1, ""), ", 3 failed, not all files were looked at in "));
}

static void test_skipped_entries(void **state) {
    static const struct producer_stats one[] = {
        {.files_skipped = 1}, {.files_verified = 1}, {.links_skipped = 1}, {.empty_dirs = 1}, {.other_skipped = 1}};
    struct producer_stats all = {
        .files_skipped = 71, .files_verified = 72, .links_skipped = 73, .empty_dirs = 74, .other_skipped = 75};
    (void)state;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        assert_int_equal(print(&one[i], NULL), 1);
        assert_int_equal(strncmp(text, "1 ", 2), 0);
    }
    assert_int_equal(print(&all, "/j"), 6);
    assert_non_null(strstr(text, "\njournal: /j\n"));
    assert_int_equal(strncmp(text, "71 ", 3), 0);
    for (unsigned count = 72; count <= 75; count++) {
        char start[8];
        snprintf(start, sizeof start, "\n%u ", count);
        assert_non_null(strstr(text, start));
    }
    assert_non_null(strstr(text, "73 links "));
    assert_non_null(strstr(text, "74 empty directories "));
    assert_non_null(strstr(text, "75 special files "));
    print(&one[2], NULL);
    assert_non_null(strstr(text, "1 link "));
    print(&one[3], NULL);
    assert_non_null(strstr(text, "1 empty directory "));
}

static void test_reasons_for_skipping_a_file(void **state) {
    struct producer_stats stats = {.files_skipped = 3, .files_existing = 1};
    (void)state;
    assert_int_equal(print(&stats, NULL), 2);
    assert_int_equal(strncmp(text, "2 skipped: the journal shows them uploaded; not looked at ", 58), 0);
    assert_non_null(strstr(text, "\n1 skipped: there is an object at the destination (--ignore-existing)\n"));
    assert_non_null(strstr(result(&stats, 1, ""), ", 2 unchanged, 1 existing, 0 failed"));
    stats = (struct producer_stats){.files_skipped = 1, .files_checked = 1};
    assert_int_equal(print(&stats, NULL), 1);
    assert_string_equal(text, "1 skipped: the journal shows it uploaded, and the destination has it\n");
}

static void test_excluded_entries(void **state) {
    struct producer_stats stats = {.files_excluded = 1};
    (void)state;
    print(&stats, NULL);
    assert_non_null(strstr(text, "1 file and 0 directories excluded\n"));
    stats = (struct producer_stats){.files_excluded = 2, .dirs_excluded = 1};
    print(&stats, NULL);
    assert_non_null(strstr(text, "2 files and 1 directory excluded\n"));
    stats = (struct producer_stats){.dirs_excluded = 2};
    print(&stats, NULL);
    assert_non_null(strstr(text, "0 files and 2 directories excluded\n"));
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
    print(&stats, NULL);
    assert_non_null(strstr(text, "the journal shows it uploaded;"));
    stats.files_skipped = 2;
    print(&stats, NULL);
    assert_non_null(strstr(text, "the journal shows them uploaded;"));
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
UNIT_MAIN(TEST(test_reasons_for_skipping_a_file), TEST(test_the_result_is_one_line),
          TEST(test_removed_objects_are_one_line), TEST(test_files_without_a_result_are_counted),
          TEST(test_failures_and_retries), TEST(test_skipped_entries), TEST(test_excluded_entries),
          TEST(test_transfers_that_finish_after_a_stop), TEST(test_skipped_files_are_one_or_several))
