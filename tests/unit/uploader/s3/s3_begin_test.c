/* begin: creating a multipart upload, or adopting a leftover. */
#include "s3_fixture.h"

static void test_begin_store_that_verifies(void **state) {
    struct s3_fixture *f = *state;
    const char *headers = "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: FULL_OBJECT\r\n";
    const char *const replies[] = {reply_with_body(f, "200 OK", headers, CREATED), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->handle, "U+/1");
    assert_int_equal(r->checksum, CHECKSUM_CRC32C_FULL);
    assert_true(request_contains(f, 0, "POST /bucket/a%20key?uploads= HTTP/1.1\r\n"));
    assert_true(request_contains(f, 0, "x-amz-meta-chunklift-upload: " OWNER "\r\n"));
    assert_true(request_contains(f, 0, "x-amz-checksum-algorithm: CRC32C\r\n"));
    assert_true(request_contains(f, 0, "x-amz-checksum-type: FULL_OBJECT\r\n"));
    assert_true(request_contains(f, 0, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
    assert_true(request_contains(f, 0, "/us-east-1/s3/aws4_request"));
    assert_false(request_contains(f, 0, "SK"));
}

static void test_begin_store_that_ignores_checksums_is_remembered(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", CREATED), reply_with_body(f, "200 OK", "", CREATED),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->checksum, CHECKSUM_NONE);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "x-amz-checksum-algorithm"));
    assert_false(request_contains(f, 1, "x-amz-checksum-algorithm"));
}

static void test_begin_store_that_refuses_checksums(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "501 Not Implemented", "NotImplemented"),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_false(request_contains(f, 1, "x-amz-checksum"));
}

static void test_begin_store_of_another_checksum_kind(void **state) {
    struct s3_fixture *f = *state;
    const char *headers = "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: COMPOSITE\r\n";
    const char *const replies[] = {reply_with_body(f, "200 OK", headers, CREATED), EMPTY("204 No Content", ""),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->checksum, CHECKSUM_NONE);
    assert_true(request_contains(f, 1, "DELETE /bucket/a%20key?uploadId=U%2B%2F1 "));
    assert_false(request_contains(f, 2, "x-amz-checksum"));
}

static void test_begin_adopts_an_empty_upload_of_this_key(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", uploads_page),
                                   reply_with_body(f, "200 OK", "", one_part),
                                   reply_with_body(f, "200 OK", "", "<ListPartsResult/>"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->task.since_us = clock_real_us();
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->handle, "empty");
    assert_true(
        request_contains(f, 0, "GET /bucket?encoding-type=url&max-uploads=1000&prefix=a%20key&uploads= HTTP/1.1\r\n"));
    assert_true(request_contains(f, 1, "GET /bucket/a%20key?max-parts=1&uploadId=used "));
    assert_true(request_contains(f, 2, "uploadId=empty "));
    assert_request_count(f, 3);
}

/* A list does not show the properties of an upload: the leftover may be that of another command. */
static void test_begin_adopts_nothing_for_an_object_with_properties(void **state) {
    struct s3_fixture *f = *state;
    const struct properties cold = {.storage_class = slice_of("GLACIER")}, access = {.request_payer = slice_of("x")};
    const char *const replies[] = {reply_with_body(f, "200 OK", "", CREATED),
                                   reply_with_body(f, "200 OK", "", CREATED),
                                   reply_with_body(f, "200 OK", "", uploads_page),
                                   reply_with_body(f, "200 OK", "", one_part),
                                   reply_with_body(f, "200 OK", "", "<ListPartsResult/>"),
                                   NULL};
    s3_fixture_open(f, replies);
    for (unsigned i = 0; i < 3; i++) {
        s3_fixture_prepare(f, JOB_BEGIN);
        f->task.since_us = clock_real_us();
        f->task.properties = i == 0 ? &cold : i == 1 ? &properties_none : &access;
        f->task.job.content_type = i == 1 ? slice_of("text/plain") : slice_of("");
        const struct task_result *r = s3_fixture_run(f);
        assert_int_equal(r->outcome, OUTCOME_DONE);
        assert_string_equal(r->handle, i < 2 ? "U+/1" : "empty");
    }
    assert_true(request_contains(f, 0, "x-amz-storage-class: GLACIER\r\n"));
    assert_true(request_contains(f, 1, "content-type: text/plain\r\n"));
    assert_request_count(f, 5);
}

static void test_begin_creates_when_nothing_can_be_adopted(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "AccessDenied"),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    f->task.since_us = clock_real_us();
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 1, "?uploads="));
}

static void test_begin_fails_while_its_unusable_upload_cannot_be_aborted(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {
        reply_with_body(f, "200 OK", "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: COMPOSITE\r\n", CREATED),
        EMPTY("503 Slow Down", ""), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_BEGIN);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    assert_request_count(f, 2);
}

UNIT_MAIN(TEST(test_begin_store_that_verifies), TEST(test_begin_store_that_ignores_checksums_is_remembered),
          TEST(test_begin_store_that_refuses_checksums), TEST(test_begin_store_of_another_checksum_kind),
          TEST(test_begin_adopts_an_empty_upload_of_this_key),
          TEST(test_begin_adopts_nothing_for_an_object_with_properties),
          TEST(test_begin_creates_when_nothing_can_be_adopted),
          TEST(test_begin_fails_while_its_unusable_upload_cannot_be_aborted))
