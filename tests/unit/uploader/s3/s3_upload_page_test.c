/* list: the multipart uploads of a bucket, a page at a time; discard: the abort of one of them. */
#include "pure/listing.h"
#include "s3_fixture.h"

#define UPLOAD(key, id, time)                                                                                          \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>" time "</Initiated></Upload>"
#define LIST(end, uploads) "<ListMultipartUploadsResult>" end uploads "</ListMultipartUploadsResult>"
#define MORE "<IsTruncated>true</IsTruncated>"
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static struct s3_fixture *f;

static const struct task_result *list(const char *headers, const char *body) {
    const char *const replies[] = {reply_with_body(f, "200 OK", headers, body), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_LIST);
    return s3_fixture_run(f);
}

static struct listed_upload entry(const struct task_result *r, size_t n) {
    struct slice page = buf_slice(&r->listing);
    struct listed_upload u;
    for (size_t i = 0; i <= n; i++)
        assert_int_equal(listing_next(&page, &u), 0);
    return u;
}

static void test_a_page_names_key_id_and_time(void **state) {
    f = *state;
    const struct task_result *r =
        list("", LIST("", UPLOAD("a key/%20", "id", "2001-09-09T01:46:40Z") UPLOAD("b", "id2", "never")));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    struct listed_upload u = entry(r, 0);
    assert_true(slice_equal(u.key, slice_of("a key/%20")) && slice_equal(u.handle, slice_of("id")));
    assert_int_equal(u.initiated_us, INT64_C(1000000000000000));
    assert_int_equal(entry(r, 1).initiated_us, 0);
    assert_int_equal(entry(r, 2).key.len, 0); /* the last page */
    assert_true(request_contains(f, 0, "GET /bucket?max-uploads="));
    assert_true(request_contains(f, 0, "&prefix=a%20key&uploads="));
    assert_false(request_contains(f, 0, "marker"));
}

/* The store's clock shows 1994. */
static void test_times_are_those_of_the_local_clock(void **state) {
    f = *state;
    int64_t before_us = clock_real_us();
    const struct task_result *r = list(DATE, LIST("", UPLOAD("a", "id", "1994-11-06T08:49:27Z")));
    int64_t age_us = clock_real_us() - entry(r, 0).initiated_us;
    assert_true(age_us >= 9000000 && age_us <= 12000000 + clock_real_us() - before_us);
}

static void test_a_page_ends_at_the_markers_of_the_store(void **state) {
    f = *state;
    const struct task_result *r = list("", LIST(MORE "<NextKeyMarker>m</NextKeyMarker><NextUploadIdMarker>n"
                                                     "</NextUploadIdMarker>",
                                                UPLOAD("a", "id", "never")));
    assert_true(slice_equal(entry(r, 1).key, slice_of("m")) && slice_equal(entry(r, 1).handle, slice_of("n")));
}

static void test_a_page_without_markers_ends_at_its_last_upload(void **state) {
    f = *state;
    const struct task_result *r = list("", LIST(MORE, UPLOAD("a", "id", "never")));
    assert_true(slice_equal(entry(r, 1).key, slice_of("a")) && slice_equal(entry(r, 1).handle, slice_of("id")));
}

static void test_the_next_page_begins_at_the_markers(void **state) {
    f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", LIST("", "")), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_LIST);
    f->task.job.marker = slice_of("k/ey");
    f->task.job.handle = slice_of("i d");
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "key-marker=k%2Fey&"));
    assert_true(request_contains(f, 0, "upload-id-marker=i%20d&"));
}

static void test_a_list_that_is_none_is_a_failure(void **state) {
    f = *state;
    const struct task_result *r = list("", "<Other/>");
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_false(r->transient);
}

static void test_a_refused_list_is_a_failure(void **state) {
    f = *state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "AccessDenied"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_LIST);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
}

static void test_discard_aborts_and_looks(void **state) {
    f = *state;
    const char *const replies[] = {EMPTY("204 No Content", ""), reply_with_error(f, "404 Not Found", "NoSuchUpload"),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_DISCARD);
    f->task.job.handle = slice_of("theirs");
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "DELETE /bucket/a%20key?uploadId=theirs "));
    assert_request_count(f, 2);
}

UNIT_MAIN(TEST(test_a_page_names_key_id_and_time), TEST(test_times_are_those_of_the_local_clock),
          TEST(test_a_page_ends_at_the_markers_of_the_store), TEST(test_a_page_without_markers_ends_at_its_last_upload),
          TEST(test_the_next_page_begins_at_the_markers), TEST(test_a_list_that_is_none_is_a_failure),
          TEST(test_a_refused_list_is_a_failure), TEST(test_discard_aborts_and_looks))
