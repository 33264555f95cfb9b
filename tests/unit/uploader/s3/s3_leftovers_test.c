/* Uploads that earlier holders of a begin may have left (rule 10): which ones are taken, and over how many pages. */
#include "s3_fixture.h"

#define UPLOAD(key, id, time)                                                                                          \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>" time "</Initiated></Upload>"
#define LIST(uploads) "<ListMultipartUploadsResult>" uploads "</ListMultipartUploadsResult>"
#define PAGE(key, uploads)                                                                                             \
    "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>" key                                   \
    "</NextKeyMarker><NextUploadIdMarker>m</NextUploadIdMarker>" uploads "</ListMultipartUploadsResult>"
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define NO_PARTS "<ListPartsResult/>"

static struct s3_fixture *f;

static void begin(const char *const *replies) {
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->task.since_us = clock_real_us();
}

/* The store's clock shows 1994; the begin was granted just now. A leftover is at most 60 s older. */
static const char *adopted_with_time(const char *time) {
    char list[400];
    snprintf(list, sizeof list, LIST(UPLOAD("a key", "old", "%s")), time);
    const char *const replies[] = {reply_with_body(f, "200 OK", DATE, list), reply_with_body(f, "200 OK", "", NO_PARTS),
                                   NULL};
    begin(replies);
    const struct task_result *r = s3_fixture_run(f);
    return r->outcome == OUTCOME_DONE ? r->handle : r->error;
}

static void test_times_are_compared_by_the_clock_of_the_store(void **state) {
    f = *state;
    assert_string_equal(adopted_with_time("1994-11-06T08:48:39Z"), "old");
}

static void test_an_upload_of_before_is_not_taken(void **state) {
    f = *state;
    const char *list = LIST(UPLOAD("a key", "old", "1994-11-06T08:48:30Z"));
    const char *const replies[] = {reply_with_body(f, "200 OK", DATE, list), reply_with_body(f, "200 OK", "", CREATED),
                                   NULL};
    begin(replies);
    assert_string_equal(s3_fixture_run(f)->handle, "U+/1");
    assert_request_count(f, 2);
}

/* A reply without a date is of this host's time. */
static void test_a_minute_before_the_begin_is_not_too_early(void **state) {
    f = *state;
    const char *list =
        LIST(UPLOAD("a key", "early", "2001-09-09T01:46:39.999Z") UPLOAD("a key", "old", "2001-09-09T01:46:40Z"));
    const char *const replies[] = {reply_with_body(f, "200 OK", "", list), reply_with_body(f, "200 OK", "", NO_PARTS),
                                   NULL};
    begin(replies);
    f->task.since_us = (int64_t)1000000060 * 1000000;
    assert_string_equal(s3_fixture_run(f)->handle, "old");
    assert_request_count(f, 2);
}

static void test_other_keys_and_uploads_without_an_id_are_skipped(void **state) {
    f = *state;
    const char *list = LIST(UPLOAD("a key2", "x", "2099-01-01T00:00:00Z") UPLOAD("a key", "", "2099-01-01T00:00:00Z")
                                UPLOAD("a key", "ours", "2099-01-01T00:00:00Z"));
    const char *const replies[] = {reply_with_body(f, "200 OK", "", list), reply_with_body(f, "200 OK", "", NO_PARTS),
                                   NULL};
    begin(replies);
    assert_string_equal(s3_fixture_run(f)->handle, "ours");
    assert_request_count(f, 2);
}

static void test_the_next_page_is_asked_for_by_its_markers(void **state) {
    f = *state;
    const char *const replies[] = {
        reply_with_body(f, "200 OK", "", PAGE("a key/b", "")),
        reply_with_body(f, "200 OK", "", LIST(UPLOAD("a key", "ours", "2099-01-01T00:00:00Z"))),
        reply_with_body(f, "200 OK", "", NO_PARTS), NULL};
    begin(replies);
    assert_string_equal(s3_fixture_run(f)->handle, "ours");
    assert_false(request_contains(f, 0, "marker"));
    assert_true(request_contains(f, 1, "key-marker=a%20key%2Fb&"));
    assert_true(request_contains(f, 1, "&upload-id-marker=m&"));
}

static void test_a_page_without_a_marker_is_the_last(void **state) {
    f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", PAGE("", "")),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    begin(replies);
    assert_string_equal(s3_fixture_run(f)->handle, "U+/1");
    assert_request_count(f, 2);
}

static void test_ten_pages_are_read(void **state) {
    f = *state;
    const char *replies[13], *page = reply_with_body(f, "200 OK", "", PAGE("k", ""));
    for (int i = 0; i < 10; i++)
        replies[i] = page;
    replies[10] = reply_with_body(f, "200 OK", "", CREATED);
    replies[11] = NULL;
    begin(replies);
    assert_string_equal(s3_fixture_run(f)->handle, "U+/1");
    assert_request_count(f, 11);
}

static void test_a_list_that_cannot_be_read_creates_an_upload(void **state) {
    f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", "<html/>"),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    begin(replies);
    assert_string_equal(s3_fixture_run(f)->handle, "U+/1");
}

static void test_a_busy_store_is_asked_again_later(void **state) {
    f = *state;
    const char *list = LIST(UPLOAD("a key", "ours", "2099-01-01T00:00:00Z"));
    const char *const replies[] = {EMPTY("503 Slow Down", ""), reply_with_body(f, "200 OK", "", list),
                                   EMPTY("503 Slow Down", ""), NULL};
    begin(replies);
    assert_true(s3_fixture_run(f)->transient);
    assert_request_count(f, 1);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->task.since_us = clock_real_us();
    assert_true(s3_fixture_run(f)->transient);
    assert_request_count(f, 3);
}

/* --- the kind of checksum of a leftover --- */

static void adopt(const char *fields, const char *parts, const char *handle, enum checksum_kind checksum) {
    char list[500];
    snprintf(
        list, sizeof list,
        LIST("<Upload><Key>a key</Key><UploadId>ours</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated>%s</Upload>"),
        fields);
    const char *const replies[] = {reply_with_body(f, "200 OK", "", list), reply_with_body(f, "200 OK", "", parts),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    begin(replies);
    const struct task_result *r = s3_fixture_run(f);
    assert_string_equal(r->handle, handle);
    assert_int_equal(r->checksum, checksum);
}

#define FULL "<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
#define COMPOSITE "<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>"

static void test_a_leftover_with_a_checksum_keeps_it(void **state) {
    f = *state;
    adopt(FULL, NO_PARTS, "ours", CHECKSUM_CRC32C_FULL);
}

static void test_the_parts_may_tell_the_checksum(void **state) {
    f = *state;
    adopt("", "<ListPartsResult>" FULL "</ListPartsResult>", "ours", CHECKSUM_CRC32C_FULL);
}

static void test_a_leftover_of_another_checksum_is_not_adopted(void **state) {
    f = *state;
    adopt(COMPOSITE, NO_PARTS, "U+/1", CHECKSUM_NONE);
}

static void test_a_leftover_of_another_algorithm_is_not_adopted(void **state) {
    f = *state;
    adopt("<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>", NO_PARTS, "U+/1",
          CHECKSUM_NONE);
}

/* --- aborts of leftovers --- */

static void test_an_abort_goes_on_after_uploads_that_are_gone(void **state) {
    f = *state;
    const char *list = LIST(UPLOAD("a key", "one", "2099-01-01T00:00:00Z") UPLOAD(
        "a key", "two", "2099-01-01T00:00:00Z") UPLOAD("a key", "U+/1", "2099-01-01T00:00:00Z"));
    const char *const replies[] = {EMPTY("204 No Content", ""),
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"),
                                   reply_with_body(f, "200 OK", "", list),
                                   reply_with_body(f, "200 OK", "", NO_PARTS),
                                   EMPTY("404 Not Found", ""),
                                   reply_with_body(f, "200 OK", "", NO_PARTS),
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_ABORT);
    f->task.since_us = clock_real_us();
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 4, "DELETE /bucket/a%20key?uploadId=one "));
    assert_true(request_contains(f, 6, "DELETE /bucket/a%20key?uploadId=two "));
    assert_request_count(f, 7); /* the one of the handle is aborted already */
}

static void abort_lists(const char *parts_reply, unsigned requests, enum outcome outcome, bool transient) {
    const char *replies[12];
    for (size_t i = 0; i < 10; i++)
        replies[i] = i % 2 == 0 ? EMPTY("204 No Content", "") : parts_reply;
    replies[10] = NULL;
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_ABORT);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, outcome);
    assert_int_equal(r->transient, transient);
    assert_request_count(f, requests);
}

static void test_an_abort_is_repeated_four_times(void **state) {
    f = *state;
    abort_lists(reply_with_body(f, "200 OK", "", NO_PARTS), 8, OUTCOME_FAILED, true);
    assert_string_equal(f->task.result.error, "the store still lists the aborted upload");
}

static void test_an_abort_waits_for_a_busy_store(void **state) {
    f = *state;
    abort_lists(EMPTY("503 Slow Down", ""), 2, OUTCOME_FAILED, true);
}

static void test_a_store_that_forbids_lists_has_aborted(void **state) {
    f = *state;
    abort_lists(EMPTY("403 Forbidden", ""), 2, OUTCOME_DONE, false);
}

static void abort_replied(const char *reply, enum outcome outcome) {
    const char *const replies[] = {reply, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_ABORT);
    assert_int_equal(s3_fixture_run(f)->outcome, outcome);
    assert_request_count(f, 1);
}

static void test_an_abort_in_a_bucket_that_is_gone_is_done(void **state) {
    f = *state;
    abort_replied(reply_with_error(f, "404 Not Found", "NoSuchBucket"), OUTCOME_DONE);
}

static void test_an_abort_of_an_unexplained_404_is_done(void **state) {
    f = *state;
    abort_replied(EMPTY("404 Not Found", ""), OUTCOME_DONE);
}

static void test_an_abort_that_is_denied_fails(void **state) {
    f = *state;
    abort_replied(EMPTY("403 Forbidden", ""), OUTCOME_FAILED);
}

static void test_a_stat_has_no_size_without_a_length(void **state) {
    f = *state;
    static const char *const replies[] = {"HTTP/1.1 200 OK\r\nETag: x\r\nConnection: close\r\n\r\n", NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_STAT);
    f->task.result.size = 7;
    assert_true(s3_fixture_run(f)->exists);
    assert_int_equal(f->task.result.size, 0);
    assert_string_equal(f->task.result.etag, "x");
}

UNIT_MAIN(TEST(test_times_are_compared_by_the_clock_of_the_store), TEST(test_an_upload_of_before_is_not_taken),
          TEST(test_a_minute_before_the_begin_is_not_too_early),
          TEST(test_other_keys_and_uploads_without_an_id_are_skipped),
          TEST(test_the_next_page_is_asked_for_by_its_markers), TEST(test_a_page_without_a_marker_is_the_last),
          TEST(test_ten_pages_are_read), TEST(test_a_list_that_cannot_be_read_creates_an_upload),
          TEST(test_a_busy_store_is_asked_again_later), TEST(test_a_leftover_with_a_checksum_keeps_it),
          TEST(test_the_parts_may_tell_the_checksum), TEST(test_a_leftover_of_another_checksum_is_not_adopted),
          TEST(test_a_leftover_of_another_algorithm_is_not_adopted),
          TEST(test_an_abort_goes_on_after_uploads_that_are_gone), TEST(test_an_abort_is_repeated_four_times),
          TEST(test_an_abort_waits_for_a_busy_store), TEST(test_a_store_that_forbids_lists_has_aborted),
          TEST(test_an_abort_in_a_bucket_that_is_gone_is_done), TEST(test_an_abort_of_an_unexplained_404_is_done),
          TEST(test_an_abort_that_is_denied_fails), TEST(test_a_stat_has_no_size_without_a_length))
