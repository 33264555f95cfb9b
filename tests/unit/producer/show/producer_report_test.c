/* --report FILE: where it is written, and its members. */
#include "unit.h"

#include "capture.h"
#include "files.h"
#include "producer/show/report.h"
#include "system/log.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE], text[8192];
static struct failures failures;
static const struct id128 journal_id = {{0xab}};

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    log_setup("test", LOG_ERROR, false);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    failures_release(&failures);
    return temp_dir_leave(root);
}

static const char *written(const char *path, const struct producer_stats *stats) {
    const struct report r = {.dest = "s3://b/",
                             .journal = "/j",
                             .journal_id = &journal_id,
                             .journal_seq = 77,
                             .started_us = 1000000,
                             .ended_us = 3500000,
                             .seconds = 2.5,
                             .status = 1,
                             .result = "failed"};
    assert_int_equal(report_write(path, &r, stats, &failures), 0);
    return file_read_text(path, text, sizeof text);
}

static void assert_has(const char *part) {
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

static void test_it_is_one_object_about_the_run(void **state) {
    (void)state;
    const struct producer_stats stats = {.files_done = 3, .files_failed = 1, .source_errors = 1};
    failures_add(&failures, "/a \"b\"", FAIL_SOURCE, "gone");
    failures_add(&failures, "/c", FAIL_DENIED, "not\nallowed");
    written("r.json", &stats);
    assert_has("{\"event\":\"report\",");
    assert_has("\"version\":\"" CHUNKLIFT_VERSION
               "\",\"result\":\"failed\",\"started\":\"1970-01-01T00:00:01.000000Z\","
               "\"ended\":\"1970-01-01T00:00:03.500000Z\",\"journal_id\":\"ab000000000000000000000000000000\","
               "\"journal_seq\":77,");
    assert_has("\"files_failed\":2");
    assert_has("\"status\":1");
    assert_has("\"failed\":[\n{\"path\":\"/a \\\"b\\\"\",\"class\":\"source\",\"error\":\"gone\"},\n"
               "{\"path\":\"/c\",\"class\":\"denied\",\"error\":\"not\\u000aallowed\"}]}\n");
}

static void test_without_failures_the_list_is_empty(void **state) {
    (void)state;
    const struct producer_stats stats = {.files_done = 3};
    written("r.json", &stats);
    assert_has("\"failed\":[]}\n");
}

static void test_a_new_one_takes_the_place_of_the_old_one(void **state) {
    (void)state;
    const struct producer_stats stats = {.files_done = 3};
    file_put_text("r.json", "old");
    assert_int_equal(report_prepare("r.json"), 0);
    assert_false(file_exists("r.json")); /* until the run is over */
    written("r.json", &stats);
    assert_null(strstr(text, "old"));
    report_remove("r.json");
    assert_false(file_exists("r.json"));
    report_remove("r.json"); /* nothing to do */
}

static void test_a_directory_may_be_named(void **state) {
    (void)state;
    const struct producer_stats stats = {.files_done = 3};
    char path[TEMP_DIR_SIZE + 16];
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(report_prepare("d/r.json"), 0);
    written("d/r.json", &stats);
    snprintf(path, sizeof path, "%s/r.json", root);
    assert_int_equal(report_prepare(path), 0);
    written(path, &stats);
}

static void assert_refused(const char *path, const char *reason) {
    struct capture said;
    capture_begin(&said, STDERR_FILENO);
    int err = report_prepare(path);
    const char *line = capture_end(&said);
    assert_int_equal(err, ERR_USAGE);
    if (!strstr(line, reason) || !strstr(line, "--report "))
        fail_msg("%s", line);
}

/* As root, /dev/null would be replaced. */
static void test_only_a_regular_file_is_replaced(void **state) {
    (void)state;
    assert_refused("/dev/null", "it is no regular file");
    assert_int_equal(mkdir("d", 0700), 0);
    assert_refused("d", "it is no regular file");
    assert_refused("d/", "it is no regular file");
    assert_int_equal(symlink("target", "link"), 0);
    assert_refused("link", "it is no regular file");
    assert_refused("absent/r.json", "No such file or directory");
}

static void test_a_report_that_cannot_be_written_is_an_error(void **state) {
    (void)state;
    const struct producer_stats stats = {.files_done = 3};
    const struct report r = {.journal_id = &journal_id, .result = "done"};
    struct capture said;
    capture_begin(&said, STDERR_FILENO);
    int err = report_write("absent/r.json", &r, &stats, &failures);
    capture_end(&said);
    assert_int_not_equal(err, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_it_is_one_object_about_the_run), TEST(test_without_failures_the_list_is_empty),
          TEST(test_a_new_one_takes_the_place_of_the_old_one), TEST(test_a_directory_may_be_named),
          TEST(test_only_a_regular_file_is_replaced), TEST(test_a_report_that_cannot_be_written_is_an_error))
