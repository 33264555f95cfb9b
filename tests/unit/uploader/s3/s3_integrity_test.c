/* Probes of an endpoint, and the proof that it has the bytes (rule 16). */
#include "s3_fixture.h"

#define ACCEPTED EMPTY("200 OK", "ETag: \"opaque\"\r\n")

/* As at the first contact with an endpoint. */
static void open_backend_without_capabilities(struct s3_fixture *f, const char *const *replies, enum integrity wanted) {
    s3_fixture_open(f, replies);
    struct s3 *s3 = (struct s3 *)f->s3;
    struct s3_endpoint *e = s3_capabilities_endpoint(s3->capabilities, slice_of(f->server.url));
    memset(e->verifies, 0, sizeof e->verifies);
    s3->integrity = wanted;
    s3->faster = INTEGRITY_SHA256;
}

static void prepare_first_chunk(struct s3_fixture *f) {
    source_close(&f->task.source);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    f->task.job.chunks = 2;
}

static void test_a_digest_is_used_after_a_wrong_one_was_refused(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "XAmzContentSHA256Mismatch"), ACCEPTED,
                                   ACCEPTED, NULL};
    open_backend_without_capabilities(f, replies, INTEGRITY_UNKNOWN);
    prepare_first_chunk(f);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->integrity, INTEGRITY_SHA256);
    assert_int_equal(r->sent_bytes, 10); /* without those of the probe */
    assert_true(request_contains(
        f, 0, "?partNumber=1&uploadId=")); /* with its own bytes: a store that accepts them has the right part */
    assert_false(request_contains(f, 0, "x-amz-content-sha256: bf2cb58a"));
    assert_true(request_contains(f, 1, "?partNumber=1&uploadId="));
    /* of "aaaaaaaaaa" */
    assert_true(request_contains(
        f, 1, "x-amz-content-sha256: bf2cb58a68f684d95a3b78ef8f661c9a4e5b09e82cc8f9cc88cce90528caeb27\r\n"));
    prepare_first_chunk(f);
    assert_int_equal(s3_fixture_run(f)->integrity, INTEGRITY_SHA256);
    assert_request_count(f, 3); /* probed once */
}

static void test_a_store_that_takes_every_wrong_digest_proves_nothing(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {ACCEPTED, ACCEPTED, ACCEPTED, NULL};
    open_backend_without_capabilities(f, replies, INTEGRITY_UNKNOWN);
    prepare_first_chunk(f);
    assert_int_equal(s3_fixture_run(f)->integrity, INTEGRITY_NONE);
    assert_true(request_contains(f, 1, "content-md5: "));
    assert_true(request_contains(f, 2, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
    assert_false(request_contains(f, 2, "content-md5"));
}

/* The bytes are read again for the other digest. */
static void test_the_second_digest_is_that_of_all_bytes(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {ACCEPTED, reply_with_error(f, "400 Bad Request", "BadDigest"), ACCEPTED, NULL};
    open_backend_without_capabilities(f, replies, INTEGRITY_UNKNOWN);
    prepare_first_chunk(f);
    assert_int_equal(s3_fixture_run(f)->integrity, INTEGRITY_MD5);
    assert_true(request_contains(f, 2, "content-md5: 4JyAxC/aVfnZkuWcprMwfQ==\r\n")); /* of "aaaaaaaaaa" */
}

static void test_a_put_probes_with_the_file_itself(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {ACCEPTED, reply_with_error(f, "400 Bad Request", "BadDigest"), ACCEPTED, NULL};
    open_backend_without_capabilities(f, replies, INTEGRITY_UNKNOWN);
    s3_fixture_prepare_file(f, JOB_PUT, 3);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->integrity, INTEGRITY_SHA256);
    assert_true(request_contains(f, 0, "x-amz-checksum-crc32c: ")); /* accepted although it is wrong: not used */
    for (unsigned i = 0; i < 3; i++)
        assert_true(request_contains(f, i, "\r\n\r\naaa"));
    assert_false(request_contains(f, 2, "x-amz-checksum-crc32c"));
}

static void test_a_probe_without_a_result_is_repeated(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "503 Slow Down", "SlowDown"),
                                   reply_with_error(f, "403 Forbidden", "AccessDenied"),
                                   reply_with_error(f, "400 Bad Request", "BadDigest"), ACCEPTED, NULL};
    open_backend_without_capabilities(f, replies, INTEGRITY_MD5);
    prepare_first_chunk(f);
    assert_true(s3_fixture_run(f)->throttled);
    prepare_first_chunk(f);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
    prepare_first_chunk(f);
    assert_int_equal(s3_fixture_run(f)->integrity, INTEGRITY_MD5);
    assert_request_count(f, 4);
}

static void test_a_requested_check_that_the_store_lacks_fails(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {ACCEPTED, NULL};
    open_backend_without_capabilities(f, replies, INTEGRITY_SHA256);
    prepare_first_chunk(f);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_INTEGRITY);
    assert_false(r->transient);
    assert_request_count(f, 1);
}

UNIT_MAIN(TEST(test_a_digest_is_used_after_a_wrong_one_was_refused),
          TEST(test_a_store_that_takes_every_wrong_digest_proves_nothing),
          TEST(test_the_second_digest_is_that_of_all_bytes), TEST(test_a_put_probes_with_the_file_itself),
          TEST(test_a_probe_without_a_result_is_repeated), TEST(test_a_requested_check_that_the_store_lacks_fails))
