/* The lines and objects of a dry run, and its totals. */
#include "capture.h"
#include "unit.h"

#include "producer/show/dry_run_output.h"
#include "pure/units.h"

static struct capture seen;
static const struct producer_file_view file = {
    .path = "/a\n", .dest = "s3://b/a", .size = 30, .done_bytes = 10, .chunks = 3, .chunks_done = 1};
static const struct producer_forecast forecasts[] = {
    {FORECAST_UPLOAD, 30, 5}, {FORECAST_RESUME, 20, 3}, {FORECAST_SKIP, 0, 0}, {FORECAST_DELETE, 0, 1}};

static const char *print_all(struct dry_run_totals *t, bool json) {
    *t = (struct dry_run_totals){0};
    capture_begin(&seen, STDOUT_FILENO);
    for (size_t i = 0; i < sizeof forecasts / sizeof *forecasts; i++)
        dry_run_print(t, &file, &forecasts[i], json);
    fflush(stdout);
    return capture_end(&seen);
}

static void test_a_line_for_each_file(void **state) {
    struct dry_run_totals t;
    (void)state;
    assert_string_equal(print_all(&t, false), "upload: /a\\n to s3://b/a\n"
                                              "resume (1 of 3 chunks): /a\\n to s3://b/a\n"
                                              "skip (journal): /a\\n to s3://b/a\n"
                                              "delete: s3://b/a\n");
}

static void test_an_object_for_each_file(void **state) {
    struct dry_run_totals t;
    (void)state;
    assert_string_equal(print_all(&t, true), "{\"event\":\"would-upload\",\"src\":\"/a\\u000a\",\"dest\":\"s3://b/"
                                             "a\",\"size\":30,\"bytes\":30,\"requests\":5}\n"
                                             "{\"event\":\"would-resume\",\"src\":\"/a\\u000a\",\"dest\":\"s3://b/"
                                             "a\",\"size\":30,\"bytes\":20,\"requests\":3,"
                                             "\"chunks\":3,\"chunks_done\":1}\n"
                                             "{\"event\":\"would-skip\",\"src\":\"/a\\u000a\",\"dest\":\"s3://b/"
                                             "a\",\"size\":30,\"bytes\":0,\"requests\":0}\n"
                                             "{\"event\":\"would-delete\",\"src\":\"/a\\u000a\",\"dest\":\"s3://b/"
                                             "a\",\"size\":30,\"bytes\":0,\"requests\":1}\n");
}

static void test_the_totals_are_one_line(void **state) {
    struct dry_run_totals t;
    struct buf line = BUF_INIT;
    const struct producer_stats stats = {.files_failed = 1, .source_errors = 1};
    (void)state;
    (void)print_all(&t, false);
    assert_int_equal(dry_run_add_line(&line, &t, &stats, "s3://b/"), 0);
    assert_string_equal(line.data,
                        "s3://b/: 1 file to upload (30 B), 1 to resume (20 B left), 1 unchanged, 1 to delete, 2 "
                        "failed; 9 requests; nothing was sent or recorded");
    buf_clear(&line);
    t = (struct dry_run_totals){.of[FORECAST_UPLOAD] = {1200, 3 * MIB}};
    assert_int_equal(dry_run_add_line(&line, &t, &(struct producer_stats){0}, NULL), 0);
    assert_string_equal(line.data,
                        ": 1,200 files to upload (3 MiB), 0 unchanged, 0 failed; 0 requests; nothing was sent or "
                        "recorded");
    buf_release(&line);
}

static void test_the_totals_are_the_last_object(void **state) {
    struct dry_run_totals t;
    const struct producer_stats stats = {.files_failed = 1, .files_excluded = 4, .dirs_excluded = 2};
    (void)state;
    (void)print_all(&t, false);
    capture_begin(&seen, STDOUT_FILENO);
    dry_run_json_totals(&t, &stats, 1, "s3://b/", "/j");
    fflush(stdout);
    assert_string_equal(
        capture_end(&seen),
        "{\"event\":\"totals\",\"upload_files\":1,\"upload_bytes\":30,\"resume_files\":1,\"resume_bytes\":20,"
        "\"skip_files\":1,\"skip_bytes\":30,\"delete_files\":1,\"delete_bytes\":30,\"requests\":9,"
        "\"files_failed\":1,\"files_excluded\":4,\"dirs_excluded\":2,\"status\":1,\"dest\":\"s3://b/\","
        "\"journal\":\"/j\"}\n");
}

UNIT_MAIN(cmocka_unit_test(test_a_line_for_each_file), cmocka_unit_test(test_an_object_for_each_file),
          cmocka_unit_test(test_the_totals_are_one_line), cmocka_unit_test(test_the_totals_are_the_last_object))
