/* finish: Complete and its doubtful replies (rule 11), lists of parts, checksums. */
#include "s3_fixture.h"

static const char completed[] = "<CompleteMultipartUploadResult><ETag>\"w-3\"</ETag></CompleteMultipartUploadResult>";

static void test_finish(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", completed), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "w-3");
    assert_int_equal(r->crc, crc32c_add(0, "abc", 3));
    assert_int_equal(r->size, 3);
    assert_true(request_contains(f, 0, "POST /bucket/a%20key?uploadId=U%2B%2F1 "));
    assert_true(request_contains(f, 0, "<Part><PartNumber>1</PartNumber><ETag>\"e&lt;0\"</ETag><ChecksumCRC32C>"));
    char base64[CRC_BASE64_SIZE], line[80];
    crc32c_to_base64(r->crc, base64);
    snprintf(line, sizeof line, "x-amz-checksum-crc32c: %s\r\n", base64);
    assert_true(request_contains(f, 0, line));
    assert_true(request_contains(f, 0, "x-amz-checksum-type: FULL_OBJECT\r\n"));
}

/* Rule 10: leftovers of earlier holders of the begin are aborted; an upload with parts stays. */
static void test_finish_of_an_upload_begun_twice_leaves_nothing(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {
        reply_with_body(f, "200 OK", "", completed),          reply_with_body(f, "200 OK", "", uploads_page),
        reply_with_body(f, "200 OK", "", one_part),           reply_with_body(f, "200 OK", "", "<ListPartsResult/>"),
        reply_with_error(f, "403 Forbidden", "AccessDenied"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->task.since_us = clock_real_us();
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "w-3");
    assert_true(request_contains(f, 2, "GET /bucket/a%20key?max-parts=1&uploadId=used "));
    assert_true(request_contains(f, 4, "DELETE /bucket/a%20key?uploadId=empty "));
    assert_request_count(f, 5);
}

static void test_finish_without_checksums_of_the_store(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", completed), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_false(request_contains(f, 0, "ChecksumCRC32C"));
    assert_false(request_contains(f, 0, "x-amz-checksum"));
}

static void finish_and_head(struct s3_fixture *f, const char *first, const char *head, enum outcome outcome) {
    const char *const replies[] = {first, head, reply_with_body(f, "200 OK", "", one_part), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_int_equal(s3_fixture_run(f)->outcome, outcome);
    assert_true(request_contains(f, 1, "HEAD /bucket/a%20key HTTP/1.1\r\n"));
}

#define OBJECT(owner, size, more)                                                                                      \
    "HTTP/1.1 200 OK\r\nETag: \"h-3\"\r\nx-amz-meta-chunklift-upload: " owner "\r\n" more "Content-Length: " size      \
    "\r\n\r\n"
#define BARE_OBJECT(more) "HTTP/1.1 200 OK\r\nETag: \"h-3\"\r\n" more "Content-Length: 3\r\n\r\n"

static void test_finish_error_under_200_resolved_by_head(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, reply_with_error(f, "200 OK", "InternalError"), OBJECT(OWNER, "3", ""), OUTCOME_DONE);
    assert_string_equal(f->task.result.etag, "h-3");
}

static void test_finish_lost_reply_resolved_by_head(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, REPLY_CUT, OBJECT(OWNER, "3", ""), OUTCOME_DONE);
}

static void test_finish_no_such_upload_but_the_object_is_ours(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, reply_with_error(f, "404 Not Found", "NoSuchUpload"), OBJECT(OWNER, "3", ""), OUTCOME_DONE);
}

static void test_finish_of_a_foreign_object(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, reply_with_error(f, "404 Not Found", "NoSuchUpload"), OBJECT(OTHER, "3", ""), OUTCOME_GONE);
}

static void test_finish_does_not_trust_the_size_alone(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, reply_with_error(f, "404 Not Found", "NoSuchUpload"), BARE_OBJECT(""), OUTCOME_GONE);
}

static void test_finish_of_our_object_with_another_size(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, reply_with_error(f, "404 Not Found", "NoSuchUpload"), OBJECT(OWNER, "4", ""), OUTCOME_GONE);
}

static void test_finish_store_without_metadata_by_checksum(void **state) {
    struct s3_fixture *f = *state;
    char base64[CRC_BASE64_SIZE], reply[256];
    crc32c_to_base64(crc32c_add(0, "abc", 3), base64);
    snprintf(reply, sizeof reply, BARE_OBJECT("x-amz-checksum-crc32c: %s\r\n"), base64);
    finish_and_head(f, reply_with_error(f, "404 Not Found", "NoSuchUpload"), reply, OUTCOME_DONE);
}

static void test_finish_doubt_and_the_upload_is_still_there(void **state) {
    struct s3_fixture *f = *state;
    finish_and_head(f, reply_with_error(f, "500 Oops", "InternalError"), EMPTY("404 Not Found", ""), OUTCOME_FAILED);
    assert_true(f->task.result.transient);
    assert_string_equal(f->task.result.error, "500 InternalError: because");
    assert_request_count(f, 3);
}

/* Ceph answers 500 for an upload that is gone. */
static void test_finish_doubt_and_the_upload_is_gone(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "500 Oops", "InternalError"),     EMPTY("404 Not Found", ""),
                                   reply_with_error(f, "404 Not Found", "NoSuchKey"),    EMPTY("404 Not Found", ""),
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_GONE);
    assert_request_count(f, 5);
}

static void test_finish_empty_etag_is_looked_up(void **state) {
    struct s3_fixture *f = *state;
    const char *empty = "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>";
    finish_and_head(f, reply_with_body(f, "200 OK", "", empty), OBJECT(OWNER, "3", ""), OUTCOME_DONE);
    assert_string_equal(f->task.result.etag, "h-3");
}

static void test_finish_object_of_another_size_is_no_success(void **state) {
    struct s3_fixture *f = *state;
    const char *empty = "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>";
    finish_and_head(f, reply_with_body(f, "200 OK", "", empty), OBJECT(OWNER, "2", ""), OUTCOME_FAILED);
    assert_int_equal(f->task.result.class, FAIL_INTEGRITY);
}

static void test_finish_that_is_throttled_is_not_in_doubt(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "503 Slow", "SlowDown"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_true(s3_fixture_run(f)->throttled);
    assert_request_count(f, 1);
}

static void test_finish_invalid_part_listed_and_redone(void **state) {
    struct s3_fixture *f = *state;
    const char *first = "<ListPartsResult><IsTruncated>true</IsTruncated>"
                        "<Part><PartNumber>1</PartNumber><ETag>e&lt;0</ETag><Size>1</Size></Part></ListPartsResult>";
    const char *second = "<ListPartsResult><IsTruncated>false</IsTruncated>"
                         "<Part><PartNumber>3</PartNumber><ETag>other</ETag><Size>1</Size></Part></ListPartsResult>";
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_body(f, "200 OK", "", first), reply_with_body(f, "200 OK", "", second),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_REDO);
    assert_int_equal(r->redo_count, 2);
    assert_int_equal(r->redo[0], 1);
    assert_int_equal(r->redo[1], 2);
    assert_true(request_contains(f, 2, "max-parts=1000&part-number-marker=1&uploadId="));
}

static void test_finish_invalid_part_taken_by_its_checksum(void **state) {
    struct s3_fixture *f = *state;
    struct buf page = BUF_INIT;
    assert_int_equal(buf_add_text(&page, "<ListPartsResult>"), 0);
    for (unsigned i = 0; i < 3; i++) {
        char base64[CRC_BASE64_SIZE];
        crc32c_to_base64(crc32c_add(0, &"abc"[i], 1), base64);
        assert_int_equal(buf_addf(&page,
                                  "<Part><PartNumber>%u</PartNumber><ETag>n%u</ETag><Size>1</Size>"
                                  "<ChecksumCRC32C>%s</ChecksumCRC32C></Part>",
                                  i + 1, i, base64),
                         0);
    }
    assert_int_equal(buf_add_text(&page, "</ListPartsResult>"), 0);
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_body(f, "200 OK", "", page.data),
                                   reply_with_body(f, "200 OK", "", completed), NULL};
    buf_release(&page);
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 2, "<ETag>\"n0\"</ETag>"));
    assert_true(request_contains(f, 2, "<ETag>\"n2\"</ETag>"));
}

static const char list_without_checksums[] =
    "<ListPartsResult>"
    "<Part><PartNumber>1</PartNumber><ETag>s0</ETag><Size>1</Size></Part>"
    "<Part><PartNumber>2</PartNumber><ETag>0123456789abcdef</ETag><Size>1</Size></Part>"
    "<Part><PartNumber>3</PartNumber><ETag>s2</ETag><Size>%u</Size></Part>"
    "</ListPartsResult>";

/* A proxy drops or changes the ETag header of parts; the list has the ETags of the store itself. */
static void test_finish_parts_without_etag_are_listed_first(void **state) {
    struct s3_fixture *f = *state;
    char list[512];
    snprintf(list, sizeof list, list_without_checksums, 1);
    const char *const replies[] = {reply_with_body(f, "200 OK", "", list), reply_with_body(f, "200 OK", "", completed),
                                   NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->parts[0].etag = f->parts[2].etag = slice_of("");
    f->parts[1].etag = slice_of("0123456789abcdef-gzip");
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 1, "<ETag>\"s0\"</ETag>"));
    assert_true(request_contains(f, 1, "<ETag>\"0123456789abcdef\"</ETag>"));
    assert_true(request_contains(f, 1, "<ETag>\"s2\"</ETag>"));
}

static void test_finish_part_without_etag_of_another_size_is_redone(void **state) {
    struct s3_fixture *f = *state;
    char list[512];
    snprintf(list, sizeof list, list_without_checksums, 2);
    const char *const replies[] = {reply_with_body(f, "200 OK", "", list), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->parts[0].etag = f->parts[2].etag = slice_of("");
    f->parts[1].etag = slice_of("0123456789abcdef0"); /* not the listed ETag with a suffix */
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_REDO);
    assert_int_equal(r->redo_count, 2);
    assert_int_equal(r->redo[0], 1);
    assert_int_equal(r->redo[1], 2);
    assert_non_null(strstr(r->error, "the store answered a part without an ETag (2 of 3 parts"));
}

/* A store that refuses optional headers gets the request once without, and later requests
 * without. */
static void test_finish_head_without_checksum_mode(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {
        reply_with_error(f, "500 Oops", "InternalError"), EMPTY("400 Bad Request", ""), OBJECT(OWNER, "3", ""),
        reply_with_error(f, "500 Oops", "InternalError"), OBJECT(OWNER, "3", ""),       NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 1, "x-amz-checksum-mode: ENABLED\r\n"));
    assert_false(request_contains(f, 2, "x-amz-checksum-mode"));
    s3_fixture_prepare_finish(f);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_false(request_contains(f, 4, "x-amz-checksum-mode"));
}

static void finish_that_falls_back(struct s3_fixture *f, const char *const *replies, unsigned last) {
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 0, "<ChecksumCRC32C>"));
    assert_true(request_contains(f, last, "POST "));
    assert_false(request_contains(f, last, "ChecksumCRC32C"));
    assert_false(request_contains(f, last, "x-amz-checksum"));
    s3_fixture_prepare(f, JOB_BEGIN); /* the next upload does not ask for it either */
    assert_int_equal(s3_fixture_run(f)->checksum, CHECKSUM_NONE);
    assert_false(request_contains(f, last + 1, "x-amz-checksum"));
}

static void test_finish_falls_back_to_plain_once(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidRequest"),
                                   reply_with_body(f, "200 OK", "", completed),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    finish_that_falls_back(f, replies, 1);
}

/* The checksum may really be wrong: the request is sent without only if all parts match their
 * records. */
static void test_finish_with_a_wrong_checksum_lists_the_parts(void **state) {
    struct s3_fixture *f = *state;
    const char *list = "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>e&lt;0</ETag><Size>1</Size></Part>"
                       "<Part><PartNumber>2</PartNumber><ETag>e1</ETag><Size>1</Size></Part>"
                       "<Part><PartNumber>3</PartNumber><ETag>e2</ETag><Size>1</Size></Part></ListPartsResult>";
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "BadDigest"),
                                   reply_with_body(f, "200 OK", "", list), reply_with_body(f, "200 OK", "", completed),
                                   reply_with_body(f, "200 OK", "", CREATED), NULL};
    finish_that_falls_back(f, replies, 2);
}

static void test_finish_of_a_wrong_checksum_redoes_the_wrong_parts(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "BadDigest"),
                                   reply_with_body(f, "200 OK", "", one_part), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_REDO);
    assert_int_equal(f->task.result.redo_count, 3);
}

static void test_finish_too_small_parts(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "EntityTooSmall"), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_REQUEST);
    assert_false(r->transient);
}

UNIT_MAIN(TEST(test_finish), TEST(test_finish_of_an_upload_begun_twice_leaves_nothing),
          TEST(test_finish_without_checksums_of_the_store), TEST(test_finish_error_under_200_resolved_by_head),
          TEST(test_finish_lost_reply_resolved_by_head), TEST(test_finish_no_such_upload_but_the_object_is_ours),
          TEST(test_finish_of_a_foreign_object), TEST(test_finish_does_not_trust_the_size_alone),
          TEST(test_finish_of_our_object_with_another_size), TEST(test_finish_store_without_metadata_by_checksum),
          TEST(test_finish_doubt_and_the_upload_is_still_there), TEST(test_finish_doubt_and_the_upload_is_gone),
          TEST(test_finish_empty_etag_is_looked_up), TEST(test_finish_object_of_another_size_is_no_success),
          TEST(test_finish_that_is_throttled_is_not_in_doubt), TEST(test_finish_invalid_part_listed_and_redone),
          TEST(test_finish_invalid_part_taken_by_its_checksum), TEST(test_finish_parts_without_etag_are_listed_first),
          TEST(test_finish_part_without_etag_of_another_size_is_redone), TEST(test_finish_head_without_checksum_mode),
          TEST(test_finish_falls_back_to_plain_once), TEST(test_finish_with_a_wrong_checksum_lists_the_parts),
          TEST(test_finish_of_a_wrong_checksum_redoes_the_wrong_parts), TEST(test_finish_too_small_parts))
