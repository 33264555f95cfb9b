/* Regions, credentials, abort, stat, cancel, check. */
#include "s3_fixture.h"

static void test_region_of_the_bucket_is_found_and_remembered(void **state) {
    struct s3_fixture *f = *state;
    const char *moved = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-9</Region></Error>";
    const char *const replies[] = {reply_with_body(f, "400 Bad Request", "", moved),
                                   reply_with_body(f, "200 OK", "", CREATED), reply_with_body(f, "200 OK", "", CREATED),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 1, "/eu-west-9/s3/aws4_request"));
    assert_true(request_contains(f, 2, "/eu-west-9/s3/aws4_request"));
}

static void test_region_is_followed_once(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("301 Moved", "x-amz-bucket-region: r1\r\n"),
                                   EMPTY("301 Moved", "x-amz-bucket-region: r2\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_false(r->transient);
    assert_request_count(f, 2);
}

static void test_attempt_after_a_broken_one_gets_a_new_connection(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "503 Slow", "SlowDown"),
                                   reply_with_error(f, "500 Oops", "InternalError"), EMPTY("200 OK", "ETag: e\r\n"),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    assert_true(s3_fixture_run(f)->throttled);
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    assert_true(s3_fixture_run(f)->transient);
    assert_int_equal(f->server.connection_count, 1);
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_int_equal(f->server.connection_count, 2);
}

static void test_a_broken_connection_is_told_apart_from_an_error(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {REPLY_CUT, reply_with_error(f, "500 Oops", "InternalError"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = s3_fixture_run(f);
    assert_true(r->transient && r->broken);
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    r = s3_fixture_run(f);
    assert_true(r->transient);
    assert_false(r->broken);
}

static void test_expired_credentials_of_the_environment_are_final(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "ExpiredToken"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 5);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_DENIED);
    assert_false(r->transient || r->credentials_expired);
}

static void test_key_that_is_not_utf8(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 5);
    f->task.job.target.dest = slice_of("s3://bucket/\xff");
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_REQUEST);
    assert_non_null(strstr(r->error, "not UTF-8"));
    assert_request_count(f, 0);
}

/* An error with another cause than the headers counts, and later requests have them again. */
static void test_refusal_of_something_else_is_not_blamed_on_headers(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "AccessDenied"),
                                   reply_with_error(f, "403 Forbidden", "AccessDenied"),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
    assert_false(request_contains(f, 1, "x-amz-checksum"));
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 2, "x-amz-checksum-algorithm"));
}

static void test_checksums_only_when_required(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", CREATED), EMPTY("200 OK", "ETag: e\r\n"), NULL};
    setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_REQUIRED", 1);
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    s3_fixture_prepare_file(f, JOB_PUT, 70000);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_false(request_contains(f, 0, "x-amz-checksum"));
    assert_false(request_contains(f, 1, "x-amz-checksum"));
}

static void test_abort_until_nothing_is_left(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("204 No Content", ""), reply_with_body(f, "200 OK", "", one_part),
                                   EMPTY("204 No Content", ""), reply_with_error(f, "404 Not Found", "NoSuchUpload"),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_ABORT);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_request_count(f, 4);
    assert_true(request_contains(f, 2, "DELETE /bucket/a%20key?uploadId=U%2B%2F1 "));
}

static void test_abort_of_nothing(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchUpload"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_ABORT);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    s3_fixture_prepare(f, JOB_ABORT);
    f->task.job.handle = slice_of("");
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_request_count(f, 1);
}

/* A begin was granted and its reply is lost: uploads without parts are aborted, one with parts
 * stays. */
static void test_abort_without_a_handle_searches_leftovers(void **state) {
    struct s3_fixture *f = *state;
    const char *list =
        "<ListMultipartUploadsResult>"
        "<Upload><Key>a key</Key><UploadId>U1</UploadId><Initiated>2100-01-01T00:00:00Z</Initiated></Upload>"
        "<Upload><Key>a key</Key><UploadId>U2</UploadId><Initiated>2100-01-01T00:00:00Z</Initiated></Upload>"
        "</ListMultipartUploadsResult>";
    const char *const replies[] = {
        EMPTY("503 Slow Down", ""),
        reply_with_body(f, "200 OK", "", list),
        reply_with_body(f, "200 OK", "", "<ListPartsResult></ListPartsResult>"),
        EMPTY("204 No Content", ""),
        reply_with_body(f, "200 OK", "", one_part),
        reply_with_error(f, "403 Forbidden", "AccessDenied"),
        NULL,
    };
    s3_fixture_open(f, replies);
    for (int i = 0; i < 3; i++) {
        s3_fixture_prepare(f, JOB_ABORT);
        f->task.job.handle = slice_of("");
        f->task.since_us = 1;
        const struct task_result *r = s3_fixture_run(f);
        assert_int_equal(r->outcome, i == 0 ? OUTCOME_FAILED : OUTCOME_DONE); /* a busy store: transient */
        assert_int_equal(r->transient, i == 0);
    }
    assert_true(request_contains(f, 3, "DELETE /bucket/a%20key?uploadId=U1 "));
    assert_request_count(f, 6); /* the last: listing is forbidden, which does not fail the abort */
}

static void test_stat(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 123456789012\r\n\r\n",
                                   EMPTY("404 Not Found", ""), EMPTY("403 Forbidden", ""), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_STAT);
    assert_true(s3_fixture_run(f)->exists);
    assert_int_equal(f->task.result.size, 123456789012);
    s3_fixture_prepare(f, JOB_STAT);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_false(f->task.result.exists);
    s3_fixture_prepare(f, JOB_STAT);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
}

static void test_cancel(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {REPLY_SILENCE, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_STAT);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    while (f->server.request_count == 0) {
        http_perform(f->http);
        http_wait(f->http, NULL, 0, 10);
    }
    f->s3->ops->step(f->s3);
    assert_true(f->task.awaiting_reply);
    f->s3->ops->cancel(f->s3, &f->task);
    f->s3->ops->step(f->s3);
    http_perform(f->http);
    assert_false(f->done);
    assert_null(f->task.backend_state);
}

static void test_never_connected(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_STAT);
    f->task.job.target.endpoint = slice_of("http://127.0.0.1:1");
    const struct task_result *r = s3_fixture_run(f);
    assert_true(r->transient && r->never_connected);
    assert_int_equal(r->class, FAIL_UNREACHABLE);
}

static void test_check(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {NULL};
    char reason[512] = "";
    s3_fixture_open(f, replies);
    struct target t = {.dest = slice_of("s3://bucket/key"), .endpoint = slice_of(f->server.url)};
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), 0);
    t = (struct target){.dest = slice_of("s3://bucket")}; /* as checked at the start for --allow and cp */
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), 0);
    t.dest = slice_of("file:///x");
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), ERR_INVALID);
    unsetenv("AWS_ACCESS_KEY_ID");
    f->s3->ops->destroy(f->s3);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &(struct s3_options){0}), 0);
    t.dest = slice_of("s3://bucket/key");
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), ERR_DENIED);
    assert_non_null(strstr(reason, "no credentials: looked in AWS_ACCESS_KEY_ID"));
    s3_fixture_prepare(f, JOB_STAT);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
}

UNIT_MAIN(TEST(test_region_of_the_bucket_is_found_and_remembered), TEST(test_region_is_followed_once),
          TEST(test_attempt_after_a_broken_one_gets_a_new_connection),
          TEST(test_a_broken_connection_is_told_apart_from_an_error),
          TEST(test_expired_credentials_of_the_environment_are_final), TEST(test_key_that_is_not_utf8),
          TEST(test_refusal_of_something_else_is_not_blamed_on_headers), TEST(test_checksums_only_when_required),
          TEST(test_abort_until_nothing_is_left), TEST(test_abort_of_nothing),
          TEST(test_abort_without_a_handle_searches_leftovers), TEST(test_stat), TEST(test_cancel),
          TEST(test_never_connected), TEST(test_check))
