/* head and read: what a store tells about an object. */
#include "s3_fixture.h"

#define OBJECT(headers) "HTTP/1.1 200 OK\r\nETag: \"e1\"\r\n" headers "Content-Length: 3\r\n\r\n"

static const struct task_result *ask(struct s3_fixture *f, enum job_kind kind, const char *const *replies) {
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, kind);
    if (kind == JOB_READ) {
        f->task.job.offset = 2;
        f->task.job.length = 4;
    }
    return s3_fixture_run(f);
}

static const struct task_result *head(struct s3_fixture *f, const char *reply) {
    const char *const replies[] = {reply, NULL};
    return ask(f, JOB_HEAD, replies);
}

/* --- head --- */

static void test_head_tells_size_etag_owner_and_checksum(void **state) {
    struct s3_fixture *f = *state;
    const struct task_result *r =
        head(f, OBJECT("x-amz-meta-chunklift-upload: " OTHER "\r\nx-amz-checksum-crc32c: AAAATQ==\r\n"
                       "x-amz-checksum-type: FULL_OBJECT\r\n"));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_true(r->exists && r->size == 3 && r->has_crc && r->crc == 0x4d);
    assert_string_equal(r->etag, "e1");
    assert_int_equal(r->owner.b[0], 0xff);
    assert_true(request_contains(f, 0, "HEAD /bucket/a%20key HTTP/1.1\r\n"));
    assert_true(request_contains(f, 0, "x-amz-checksum-mode: ENABLED\r\n"));
}

static void test_head_of_no_object(void **state) {
    const struct task_result *r = head(*state, EMPTY("404 Not Found", ""));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_false(r->exists);
}

/* That of the checksums of the parts. */
static void test_head_leaves_a_composite_checksum_out(void **state) {
    const struct task_result *r =
        head(*state, OBJECT("x-amz-checksum-crc32c: AAAATQ==\r\nx-amz-checksum-type: COMPOSITE\r\n"));
    assert_true(r->exists && !r->has_crc && r->crc == 0);
}

static void test_head_of_another_client_has_no_owner(void **state) {
    const struct task_result *r = head(*state, OBJECT("x-amz-meta-chunklift-upload: someone\r\n"));
    assert_true(r->exists && id_is_zero(&r->owner));
}

static void test_head_without_a_size_is_no_answer(void **state) {
    const struct task_result *r = head(*state, "HTTP/1.1 200 OK\r\nETag: \"e1\"\r\nConnection: close\r\n\r\n");
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
}

static void test_head_that_is_refused_is_a_failure(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {EMPTY("403 Forbidden", ""), EMPTY("403 Forbidden", ""), NULL};
    const struct task_result *r = ask(f, JOB_HEAD, replies);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_DENIED);
}

/* --- read --- */

static const struct task_result *read_with(struct s3_fixture *f, const char *status, const char *body) {
    const char *const replies[] = {reply_with_body(f, status, "", body), NULL};
    return ask(f, JOB_READ, replies);
}

static void assert_read(const struct task_result *r, const char *bytes) {
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_true(r->exists && r->has_crc);
    assert_int_equal(r->size, strlen(bytes));
    assert_int_equal(r->crc, crc32c_add(0, bytes, strlen(bytes)));
}

static void test_read_asks_for_its_range(void **state) {
    struct s3_fixture *f = *state;
    assert_read(read_with(f, "206 Partial Content", "cdef"), "cdef");
    assert_true(request_contains(f, 0, "GET /bucket/a%20key HTTP/1.1\r\n"));
    assert_true(request_contains(f, 0, "range: bytes=2-5\r\n"));
}

/* A store that ignores Range sends the whole object. */
static void test_read_takes_its_range_of_a_whole_object(void **state) {
    assert_read(read_with(*state, "200 OK", "abcdefgh"), "cdef");
}

static void test_read_of_an_object_that_ends_within_the_range(void **state) {
    assert_read(read_with(*state, "200 OK", "abcd"), "cd");
}

static void test_read_of_an_object_that_ends_before_the_range(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "416 Range Not Satisfiable", "InvalidRange"), NULL};
    assert_read(ask(f, JOB_READ, replies), "");
}

static void test_read_of_no_object(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchKey"), NULL};
    const struct task_result *r = ask(f, JOB_READ, replies);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_false(r->exists);
}

/* It is not known whether the object is there. */
static void test_read_in_a_bucket_that_is_missing_is_a_failure(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchBucket"), NULL};
    const struct task_result *r = ask(f, JOB_READ, replies);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_NO_BUCKET);
}

UNIT_MAIN(TEST(test_head_tells_size_etag_owner_and_checksum), TEST(test_head_of_no_object),
          TEST(test_head_leaves_a_composite_checksum_out), TEST(test_head_of_another_client_has_no_owner),
          TEST(test_head_without_a_size_is_no_answer), TEST(test_head_that_is_refused_is_a_failure),
          TEST(test_read_asks_for_its_range), TEST(test_read_takes_its_range_of_a_whole_object),
          TEST(test_read_of_an_object_that_ends_within_the_range),
          TEST(test_read_of_an_object_that_ends_before_the_range), TEST(test_read_of_no_object),
          TEST(test_read_in_a_bucket_that_is_missing_is_a_failure))
