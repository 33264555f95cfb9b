/* Conditional writes: the header, and the look after a refusal. */
#include "s3_fixture.h"

#define CONDITION "if-none-match: *\r\n"
#define REFUSED EMPTY("412 Precondition Failed", "")
#define OURS "x-amz-meta-chunklift-upload: " OWNER "\r\n"
#define OTHERS "x-amz-meta-chunklift-upload: " OTHER "\r\n"
#define OBJECT(headers, size) "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n" headers "Content-Length: " size "\r\n\r\n"

/* A put of 10 bytes. The look is answered with this reply. */
static const struct task_result *put_refused(struct s3_fixture *f, const char *looked) {
    const char *const replies[] = {REFUSED, looked, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 10);
    f->task.job.if_none_match = true;
    const struct task_result *r = s3_fixture_run(f);
    assert_request_count(f, 2);
    assert_true(request_contains(f, 0, CONDITION));
    assert_true(request_contains(f, 1, "HEAD /bucket/a%20key HTTP/1.1\r\n") && !request_contains(f, 1, CONDITION));
    return r;
}

/* A finish of 3 bytes in 3 parts. */
static const struct task_result *finish_refused(struct s3_fixture *f, const char *looked) {
    const char *const replies[] = {REFUSED, looked, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->task.job.if_none_match = true;
    const struct task_result *r = s3_fixture_run(f);
    assert_request_count(f, 2);
    assert_true(request_contains(f, 0, CONDITION));
    return r;
}

static void assert_exists(const struct task_result *r) {
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_EXISTS);
    assert_false(r->transient);
    assert_int_equal(r->own, OWN_NO);
}

static void test_without_the_wish_there_is_no_condition(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {REFUSED, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_file(f, JOB_PUT, 10);
    const struct task_result *r = s3_fixture_run(f);
    assert_false(request_contains(f, 0, "if-none-match"));
    assert_int_equal(r->class, FAIL_REQUEST);
    assert_request_count(f, 1);
}

static void test_another_object_is_kept_by_a_put(void **state) {
    assert_exists(put_refused(*state, OBJECT(OTHERS, "10")));
}

static void test_another_object_is_kept_by_a_finish(void **state) {
    assert_exists(finish_refused(*state, OBJECT("", "3")));
}

static void test_the_own_object_of_a_put_is_a_success(void **state) {
    struct s3_fixture *f = *state;
    const struct task_result *r = put_refused(f, OBJECT(OURS, "10"));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "e");
    assert_int_equal(r->size, 10);
    assert_int_equal(r->crc, crc32c_add(0, "aaaaaaaaaa", 10));
}

static void test_the_own_object_of_a_finish_is_a_success(void **state) {
    const struct task_result *r = finish_refused(*state, OBJECT(OURS, "3"));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "e");
    assert_int_equal(r->crc, crc32c_add(0, "abc", 3));
}

static void test_an_own_object_of_another_size_is_none(void **state) {
    assert_exists(put_refused(*state, OBJECT(OURS, "11")));
}

static void test_an_object_that_is_gone_again_is_tried_again(void **state) {
    const struct task_result *r = put_refused(*state, EMPTY("404 Not Found", ""));
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
}

static void test_an_object_with_another_key_is_kept(void **state) {
    assert_exists(put_refused(*state, EMPTY("400 Bad Request", "")));
}

static void test_a_look_that_fails_is_the_failure(void **state) {
    const struct task_result *r = finish_refused(*state, EMPTY("403 Forbidden", ""));
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_DENIED);
}

UNIT_MAIN(TEST(test_without_the_wish_there_is_no_condition), TEST(test_another_object_is_kept_by_a_put),
          TEST(test_another_object_is_kept_by_a_finish), TEST(test_the_own_object_of_a_put_is_a_success),
          TEST(test_the_own_object_of_a_finish_is_a_success), TEST(test_an_own_object_of_another_size_is_none),
          TEST(test_an_object_that_is_gone_again_is_tried_again), TEST(test_an_object_with_another_key_is_kept),
          TEST(test_a_look_that_fails_is_the_failure))
