/* Requests: credentials that are refused or expire, regions, resends, progress. */
#include "files.h"
#include "s3_op_fixture.h"

#include "uploader/s3/request.h"

#define ACCEPTED EMPTY("200 OK", "ETag: \"e\"\r\n")

static void put_keys(const char *secret) {
    char text[120];
    snprintf(text, sizeof text, "[default]\naws_access_key_id=AK\naws_secret_access_key=%s\n", secret);
    file_put_text("credentials", text);
}

/* The keys are those of a file. */
static struct s3_fixture *open_with_file(void **state, const char *const *replies) {
    struct s3_fixture *f = *state;
    unsetenv("AWS_ACCESS_KEY_ID");
    setenv("AWS_SHARED_CREDENTIALS_FILE", "credentials", 1);
    put_keys("old");
    s3_fixture_open(f, replies);
    return f;
}

/* The file is replaced while the request is in flight. */
static void replace_keys(struct s3_fixture *f) {
    (void)f;
    put_keys("new");
}

static void test_refused_keys_that_were_replaced_are_tried_again(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "InvalidAccessKeyId"), NULL};
    open_with_file(state, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->after_first_step = replace_keys;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient && r->credentials_expired);
    assert_request_count(f, 1);
}

static void test_refused_keys_that_stayed_are_final(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "InvalidAccessKeyId"), NULL};
    open_with_file(state, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_false(r->transient || r->credentials_expired);
    assert_int_equal(r->own, OWN_SURE);
}

/* The reply to HEAD has no error code. */
static void stat_with_replaced_keys(void **state, const char *reply, bool tried_again) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply, NULL};
    open_with_file(state, replies);
    s3_fixture_prepare(f, JOB_STAT);
    f->after_first_step = replace_keys;
    assert_int_equal(s3_fixture_run(f)->credentials_expired, tried_again);
}

static void test_a_head_of_400_may_be_an_expired_token(void **state) {
    stat_with_replaced_keys(state, EMPTY("400 Bad Request", ""), true);
}

static void test_a_head_of_403_may_be_a_refused_key(void **state) {
    stat_with_replaced_keys(state, EMPTY("403 Forbidden", ""), true);
}

static void test_a_head_of_405_is_not_about_keys(void **state) {
    stat_with_replaced_keys(state, EMPTY("405 Not Allowed", ""), false);
}

static void test_a_put_of_403_without_a_code_is_not_about_keys(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {EMPTY("403 Forbidden", ""), EMPTY("403 Forbidden", ""), NULL};
    open_with_file(state, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->after_first_step = replace_keys;
    assert_false(s3_fixture_run(f)->credentials_expired);
}

static void test_expired_keys_of_a_file_can_be_renewed(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "ExpiredToken"), NULL};
    open_with_file(state, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_true(r->transient);
    assert_false(r->credentials_expired);
    assert_string_equal(
        r->error, "400 ExpiredToken: because; new keys are read from ~/.aws/credentials as soon as they are there");
    s3_fixture_prepare(f, JOB_BEGIN); /* until then no request is sent */
    r = s3_fixture_run(f);
    assert_true(r->transient);
    assert_int_equal(r->class, FAIL_DENIED);
    assert_non_null(strstr(r->error, "has keys that have expired"));
    assert_request_count(f, 1);
}

static void test_expired_keys_that_were_renewed_are_tried_again(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "ExpiredToken"), NULL};
    open_with_file(state, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->after_first_step = replace_keys;
    const struct task_result *r = s3_fixture_run(f);
    assert_true(r->transient && r->credentials_expired);
    assert_string_equal(r->error, "400 ExpiredToken: because");
}

static void test_expired_keys_of_the_environment_need_a_new_run(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "ExpiredToken"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_string_equal(s3_fixture_run(f)->error,
                        "400 ExpiredToken: because; set new keys and run the same command again");
}

/* --- resends on a new connection --- */

/* The server closes the idle connection when the next request comes. */
static void test_a_begin_is_not_sent_twice(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", CREATED), REPLY_CUT,
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_true(s3_fixture_run(f)->transient);
    assert_request_count(f, 2);
}

static void test_a_chunk_is_sent_again(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {ACCEPTED, REPLY_CUT, ACCEPTED, NULL};
    s3_fixture_open(f, replies);
    for (int i = 0; i < 2; i++) {
        source_close(&f->task.source);
        s3_fixture_prepare_file(f, JOB_CHUNK, 1000);
        assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
        assert_int_equal(f->task.result.sent_bytes, i == 0 ? 1000 : 2000);
    }
    assert_request_count(f, 3);
}

/* --- results --- */

static void test_a_missing_bucket_is_named(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchBucket"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_NO_BUCKET);
    assert_string_equal(r->error, "404 NoSuchBucket: because (bucket 'bucket')");
}

static void test_progress_of_a_chunk_is_shown(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {REPLY_SILENCE, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 1000);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (; f->server.request_count == 0; http_perform(f->http)) {
        assert_true(clock_ms() < deadline_ms);
        f->s3->ops->step(f->s3);
        http_wait(f->http, NULL, 0, 10);
    }
    assert_false(f->s3->ops->step(f->s3)); /* nothing to do without a reply */
    assert_int_equal(f->task.moved_bytes, 1000);
    assert_int_equal(f->task.checked_bytes, 0);
    assert_true(f->task.awaiting_reply);
    f->s3->ops->cancel(f->s3, &f->task);
}

static void test_bytes_of_a_reply_count_as_progress(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n ", NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (; f->task.checked_bytes == 0; http_perform(f->http)) {
        assert_true(clock_ms() < deadline_ms);
        f->s3->ops->step(f->s3);
        http_wait(f->http, NULL, 0, 10);
    }
    assert_in_range(f->task.checked_bytes, 1, 10);
    assert_int_equal(f->task.moved_bytes, 0); /* no bytes of the file */
    f->s3->ops->cancel(f->s3, &f->task);
}

static void test_an_unknown_kind_of_job_is_refused(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, (enum job_kind)77);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_REQUEST);
    assert_false(r->transient);
}

/* --- headers --- */

static void test_a_header_has_at_most_255_bytes(void **state) {
    char value[250];
    s3_op_fixture_begin(state);
    s3_op_fixture_use(made.f->server.url);
    memset(value, 'v', sizeof value);
    s3_request_begin(made.op, "GET");
    s3_request_header(made.op, "name: %.249s", value);
    assert_int_equal(made.op->request.err, 0);
    assert_int_equal(made.op->request.headers[1].len, 255);
    s3_request_header(made.op, "name: %.250s", value);
    assert_int_equal(made.op->request.err, ERR_LIMIT);
}

static void on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    assert_null(e);
    assert_int_equal(r->status, 200);
    s3_op_end(op, OUTCOME_DONE);
}

static void test_a_request_has_at_most_ten_headers(void **state) {
    static const char *const replies[] = {ACCEPTED, NULL};
    char line[20];
    s3_op_fixture_begin(state);
    made.f->server.replies = replies;
    s3_op_fixture_use(made.f->server.url);
    s3_request_begin(made.op, "GET"); /* has the first one */
    for (int i = 1; i < S3_HEADERS_MAX; i++)
        s3_request_header(made.op, "x-header-%d: %d", i, i);
    s3_request_send(made.op, on_reply);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (; !made.f->done; http_perform(made.f->http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(made.f->http, NULL, 0, 10);
    }
    for (int i = 1; i < S3_HEADERS_MAX; i++) {
        snprintf(line, sizeof line, "\r\nx-header-%d: %d\r\n", i, i);
        assert_true(request_contains(made.f, 0, line));
    }
}

static void on_first_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    assert_null(e);
    assert_int_equal(r->status, 200);
    s3_request_begin(op, "GET");
    s3_request_send(op, on_reply);
}

static void test_headers_of_the_last_request_are_not_sent_again(void **state) {
    static const char *const replies[] = {ACCEPTED, ACCEPTED, NULL};
    s3_op_fixture_begin(state);
    made.f->server.replies = replies;
    s3_op_fixture_use(made.f->server.url);
    s3_request_begin(made.op, "GET");
    s3_request_header(made.op, "x-header: 1");
    s3_request_send(made.op, on_first_reply);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (; !made.f->done; http_perform(made.f->http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(made.f->http, NULL, 0, 10);
    }
    assert_true(request_contains(made.f, 0, "x-header"));
    assert_false(request_contains(made.f, 1, "x-header"));
}

/* --- the region --- */

static const char *region_of_request(struct s3_fixture *f, const char *job_region, const char *option,
                                     const char *environment) {
    static char text[200];
    f->s3->ops->destroy(f->s3);
    if (environment)
        setenv("AWS_REGION", environment, 1);
    else
        unsetenv("AWS_REGION");
    struct s3_options o = {.response_timeout_ms = 5000, .region = option};
    assert_int_equal(backend_s3_new(&f->s3, f->http, &o), 0);
    s3_fixture_prepare(f, JOB_STAT);
    f->task.job.target.region = slice_of(job_region);
    unsigned request = f->server.request_count;
    const struct task_result *r = s3_fixture_run(f);
    if (f->server.request_count == request)
        return r->error;
    const struct buf *got = &f->server.requests[request];
    const char *scope = memmem(got->data, got->len, "Credential=AK/", 14);
    snprintf(text, sizeof text, "%.*s", (int)strcspn(scope + 23, "/"), scope + 23);
    return text;
}

static void test_the_region_of_the_job_is_before_the_others(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, NULL};
    s3_fixture_open(f, replies);
    assert_string_equal(region_of_request(f, " r1\n", "r2", "r3"), "r1");
    assert_string_equal(region_of_request(f, "", "r2", "r3"), "r2");
    assert_string_equal(region_of_request(f, "", NULL, "r3"), "r3");
    assert_string_equal(region_of_request(f, "", " ", NULL), "us-east-1");
}

static void test_an_invalid_region_is_not_skipped(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {NULL};
    s3_fixture_open(f, replies);
    assert_non_null(strstr(region_of_request(f, "a/b", "r2", "r3"), "the job names the region 'a/b', which is not"));
    assert_non_null(strstr(region_of_request(f, "", "x y", "r3"), "--region names the region 'x y'"));
    assert_non_null(strstr(region_of_request(f, "", NULL, "-"), "AWS_REGION names the region '-'"));
    assert_request_count(f, 0);
    char reason[300];
    struct target t = {.dest = slice_of("s3://bucket/key"), .region = slice_of("a/b")};
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), ERR_INVALID);
}

/* --- proxies --- */

/* A proxy could read the key. The only http endpoints that get it are loopback addresses. */
static void test_the_key_of_an_object_passes_no_proxy(void **state) {
    struct s3_fixture *f = *state;
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "all_proxy"};
    static const struct sse_c_key key = {.text = "S0VZ", .md5 = "TUQ1"};
    const struct properties with_key = {.sse_c_md5 = slice_of("TUQ1")};
    const char *const replies[] = {ACCEPTED, ACCEPTED, ACCEPTED, NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        setenv(names[i], "http://127.0.0.1:1", 1);
    s3_fixture_open(f, replies);
    ((struct s3 *)f->s3)->sse_c_key = &key;
    s3_fixture_prepare(f, JOB_STAT);
    assert_true(s3_fixture_run(f)->never_connected); /* a request without the key asks the proxy */
    s3_fixture_prepare(f, JOB_STAT);
    f->task.properties = &with_key;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "x-amz-server-side-encryption-customer-key: S0VZ\r\n"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

UNIT_MAIN(TEST(test_the_key_of_an_object_passes_no_proxy), TEST(test_a_header_has_at_most_255_bytes),
          TEST(test_a_request_has_at_most_ten_headers), TEST(test_headers_of_the_last_request_are_not_sent_again),
          TEST(test_refused_keys_that_were_replaced_are_tried_again), TEST(test_refused_keys_that_stayed_are_final),
          TEST(test_a_head_of_400_may_be_an_expired_token), TEST(test_a_head_of_403_may_be_a_refused_key),
          TEST(test_a_head_of_405_is_not_about_keys), TEST(test_a_put_of_403_without_a_code_is_not_about_keys),
          TEST(test_expired_keys_of_a_file_can_be_renewed), TEST(test_expired_keys_that_were_renewed_are_tried_again),
          TEST(test_expired_keys_of_the_environment_need_a_new_run), TEST(test_a_begin_is_not_sent_twice),
          TEST(test_a_chunk_is_sent_again), TEST(test_a_missing_bucket_is_named),
          TEST(test_progress_of_a_chunk_is_shown), TEST(test_bytes_of_a_reply_count_as_progress),
          TEST(test_an_unknown_kind_of_job_is_refused), TEST(test_the_region_of_the_job_is_before_the_others),
          TEST(test_an_invalid_region_is_not_skipped))
