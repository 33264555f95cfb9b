/* chunk and put. */
#include "s3_fixture.h"

static void test_chunk(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: \"e\"\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 3000000);
    f->task.job.ref.chunk = 6;
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "e");
    assert_int_equal(r->sent_bytes, 3000000);
    assert_int_equal(r->crc, source_crc(f->task.source));
    char base64[CRC_BASE64_SIZE], line[80];
    crc32c_to_base64(r->crc, base64);
    snprintf(line, sizeof line, "x-amz-checksum-crc32c: %s\r\n", base64);
    assert_true(request_contains(f, 0, line));
    assert_true(request_contains(f, 0, "PUT /bucket/a%20key?partNumber=7&uploadId=U%2B%2F1 HTTP/1.1\r\n"));
    assert_true(request_contains(f, 0, "Content-Length: 3000000\r\n"));
}

static void test_chunk_throttled(void **state) {
    struct s3_fixture *f = *state;
    const char *body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>";
    const char *const replies[] = {reply_with_body(f, "503 Slow Down", "Retry-After: 2\r\n", body), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient && r->throttled);
    assert_int_equal(r->retry_after_ms, 2000);
    assert_string_equal(r->error, "503 SlowDown: Please reduce your request rate");
}

static void test_chunk_store_got_other_bytes(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\nx-amz-checksum-crc32c: AAAAAA==\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_INTEGRITY);
}

static void test_chunk_of_an_upload_that_is_gone(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchUpload"),
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_GONE);
    assert_true(request_contains(f, 1, "DELETE /bucket/a%20key?uploadId=U%2B%2F1"));
    assert_request_count(f, 2);
}

/* An upload that the store wrongly reports as unknown must not remain there. */
static void test_gone_is_reported_after_the_abort(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchUpload"), EMPTY("503 Slow Down", ""),
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"), EMPTY("204 No Content", ""),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_GONE);
    assert_request_count(f, 4);
}

static void test_chunk_lease_that_ended_sends_nothing(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    f->task.lease_deadline_ms = clock_ms();
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    assert_int_equal(r->sent_bytes, 0);
    assert_request_count(f, 0);
}

static void overwrite_source(struct s3_fixture *f) {
    int fd = open(f->path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "b", 1, 5), 1);
    close(fd);
}

static void test_chunk_source_that_changes_after_its_checksum(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 100);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    f->after_first_step = overwrite_source;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_false(r->transient);
}

static void truncate_source(struct s3_fixture *f) {
    assert_int_equal(truncate(f->path, 10), 0);
}

static void test_chunk_source_that_shrinks(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 100);
    f->after_first_step = truncate_source;
    assert_int_equal(s3_fixture_run(f)->class, FAIL_CHANGED);
}

/* The last byte would replace the object, so it is never sent. */
static void test_put_of_a_source_that_changes_is_never_whole(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), EMPTY("200 OK", "ETag: e\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 200000);
    f->after_first_step = overwrite_source;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_true(r->sent_bytes < 200000);
    assert_request_count(f, 0);
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_PUT, 100);
    overwrite_source(f);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_CHANGED);
    assert_request_count(f, 0);
}

static void test_chunk_reply_that_does_not_come(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {REPLY_SILENCE, NULL};
    s3_fixture_open(f, replies);
    f->s3->ops->destroy(f->s3);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &(struct s3_options){.response_timeout_ms = 150}), 0);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = s3_fixture_run(f);
    assert_true(r->transient && r->timed_out && !r->never_connected);
}

static void put_with_refused_checksum(struct s3_fixture *f, size_t len) {
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidArgument"),
                                   EMPTY("200 OK", "ETag: \"e\"\r\n"), EMPTY("200 OK", "ETag: \"e\"\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, len);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "x-amz-checksum-crc32c: "));
    assert_false(request_contains(f, 1, "x-amz-checksum"));
    assert_int_equal(f->task.result.crc, source_crc(f->task.source));
    assert_int_equal(f->task.result.size, len);
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_PUT, len);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_false(request_contains(f, 2, "x-amz-checksum")); /* also later */
    assert_true(request_contains(f, 2, "x-amz-meta-chunklift-upload: " OWNER "\r\n"));
}

static void test_put_small(void **state) {
    put_with_refused_checksum(*state, 7);
}

static void test_put_large(void **state) {
    put_with_refused_checksum(*state, 1500000);
}

static void test_put_empty(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: \"d41d\"\r\nx-amz-checksum-crc32c: AAAAAA==\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 0);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "d41d");
    assert_true(request_contains(f, 0, "Content-Length: 0\r\n"));
}

static void test_put_denied(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "InvalidAccessKeyId"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 5);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_DENIED);
    assert_false(r->transient);
    assert_string_equal(r->error, "403 InvalidAccessKeyId: because");
}

static void test_chunk_without_the_refused_checksum(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidArgument"),
                                   EMPTY("200 OK", "ETag: e\r\n"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 100000);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "x-amz-checksum-crc32c"));
    assert_false(request_contains(f, 1, "x-amz-checksum-crc32c"));
}

UNIT_MAIN(TEST(test_chunk), TEST(test_chunk_throttled), TEST(test_chunk_store_got_other_bytes),
          TEST(test_chunk_of_an_upload_that_is_gone), TEST(test_gone_is_reported_after_the_abort),
          TEST(test_chunk_lease_that_ended_sends_nothing), TEST(test_chunk_source_that_changes_after_its_checksum),
          TEST(test_chunk_source_that_shrinks), TEST(test_put_of_a_source_that_changes_is_never_whole),
          TEST(test_chunk_reply_that_does_not_come), TEST(test_put_small), TEST(test_put_large), TEST(test_put_empty),
          TEST(test_put_denied), TEST(test_chunk_without_the_refused_checksum))
