/* The objects of --json: optional fields are absent, not empty. */
#include "capture.h"
#include "unit.h"

#include "producer/show/json_events.h"
#include "system/output.h"
#include <sys/stat.h>

static struct capture seen;

static const char *file_event(const struct producer_file_view *file, double seconds) {
    capture_begin(&seen, STDOUT_FILENO);
    json_file_event("file_done", file, seconds);
    return capture_end(&seen);
}

static void test_file_event(void **state) {
    struct producer_file_view file = {.path = "/a", .dest = "file:///b", .size = 10, .done_bytes = 5, .chunks = 2};
    (void)state;
    file_event(&file, 1.5);
    assert_int_equal(strncmp(seen.text, "{\"event\":\"file_done\",\"ts\":\"", 26), 0);
    assert_non_null(
        strstr(seen.text, "\"path\":\"/a\",\"dest\":\"file:///b\",\"size\":10,\"done_bytes\":5,\"chunks\":2,"));
    assert_non_null(strstr(seen.text, "\"chunks_done\":0,\"seconds\":1.500}\n"));
    file.verified = file.resumed = true;
    file.upload.b[0] = 0xab;
    file_event(&file, -1);
    assert_non_null(strstr(seen.text, "\"upload\":\"ab000000000000000000000000000000\""));
    assert_non_null(strstr(seen.text, "\"chunks_done\":0,\"verified\":true,\"resumed\":true}\n"));
}

static void test_stats_event(void **state) {
    struct producer_stats stats = {.files_seen = 3, .bytes_total = 7, .retries = 2};
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    json_stats_event("summary", &stats, 0.25, 1, "s3://b/", "j");
    capture_end(&seen);
    assert_non_null(strstr(seen.text, "\"seconds\":0.250"));
    assert_non_null(strstr(seen.text, "\"status\":1"));
    capture_begin(&seen, STDOUT_FILENO);
    json_stats_event("progress", &stats, 0.25, -1, "s3://b/", "j");
    capture_end(&seen);
    assert_null(strstr(seen.text, "\"status\""));
}

static void test_status_and_seconds_can_be_zero(void **state) {
    struct producer_file_view file = {.path = "/a", .dest = "file:///b"};
    struct producer_stats stats = {.files_failed = 2, .source_errors = 3};
    (void)state;
    file_event(&file, 0);
    assert_non_null(strstr(seen.text, ",\"seconds\":0.000}\n"));
    capture_begin(&seen, STDOUT_FILENO);
    json_stats_event("summary", &stats, 0, 0, NULL, NULL);
    capture_end(&seen);
    assert_non_null(strstr(seen.text, ",\"status\":0}\n"));
    assert_non_null(strstr(seen.text, "\"files_failed\":5,"));
}

static void test_removed_objects(void **state) {
    struct producer_stats stats = {
        .objects_deleted = 4, .objects_replaced = 2, .objects_returned = 1, .objects_failed = 5};
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    json_deleted_event("/a/b", "s3://b/p/b", 12);
    capture_end(&seen);
    assert_int_equal(strncmp(seen.text, "{\"event\":\"deleted\",\"ts\":\"", 24), 0);
    assert_non_null(strstr(seen.text, "\"src\":\"/a/b\",\"dest\":\"s3://b/p/b\",\"size\":12}\n"));
    capture_begin(&seen, STDOUT_FILENO);
    json_stats_event("summary", &stats, 0, 0, NULL, NULL);
    capture_end(&seen);
    assert_non_null(strstr(seen.text, ",\"deleted\":4,\"kept\":3,\"delete_failed\":5,"));
}

/* Programs read them during the run. */
static void test_event_is_written_at_once(void **state) {
    struct stat st;
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    json_notice_event("a notice");
    assert_int_equal(fstat(seen.file, &st), 0);
    capture_end(&seen);
    assert_int_equal(st.st_size, strlen(seen.text));
    assert_non_null(strstr(seen.text, "\"a notice\"}\n"));
}

UNIT_MAIN(cmocka_unit_test(test_file_event), cmocka_unit_test(test_stats_event), cmocka_unit_test(test_removed_objects),
          cmocka_unit_test(test_status_and_seconds_can_be_zero), cmocka_unit_test(test_event_is_written_at_once))
