/* finish: the proof of an object, lists of parts, and ETags that a proxy changed. */
#include "s3_fixture.h"

#define OBJECT(headers) "HTTP/1.1 200 OK\r\nETag: \"h-3\"\r\n" headers "Content-Length: 3\r\n\r\n"
#define OURS "x-amz-meta-chunklift-upload: " OWNER "\r\n"
#define COMPLETED(fields) "<CompleteMultipartUploadResult>" fields "</CompleteMultipartUploadResult>"
#define PART(number, etag, size)                                                                                       \
    "<Part><PartNumber>" number "</PartNumber><ETag>" etag "</ETag><Size>" size "</Size></Part>"
#define PARTS(parts) "<ListPartsResult>" parts "</ListPartsResult>"
#define ALL_PARTS PARTS(PART("1", "e&lt;0", "1") PART("2", "e1", "1") PART("3", "e2", "1"))

static char right_crc[CRC_BASE64_SIZE];
static const char wrong_crc[] = "AAAAAA==";

static const struct task_result *finish(struct s3_fixture *f, const char *const *replies) {
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    crc32c_to_base64(crc32c_add(0, "abc", 3), right_crc);
    return s3_fixture_run(f);
}

/* The object with these headers and this checksum, after NoSuchUpload. */
static const struct task_result *finish_with_object(struct s3_fixture *f, const char *headers, const char *crc) {
    char head[400];
    snprintf(head, sizeof head, OBJECT("%sx-amz-checksum-crc32c: %s\r\n"), headers, crc);
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchUpload"), head,
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"), NULL};
    return finish(f, replies);
}

static void test_our_object_with_another_checksum_is_no_success(void **state) {
    const struct task_result *r = finish_with_object(*state, OURS "x-amz-checksum-type: FULL_OBJECT\r\n", wrong_crc);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_INTEGRITY);
}

static void test_our_object_with_our_checksum_is_a_success(void **state) {
    crc32c_to_base64(crc32c_add(0, "abc", 3), right_crc);
    const struct task_result *r = finish_with_object(*state, OURS "x-amz-checksum-type: FULL_OBJECT\r\n", right_crc);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->size, 3);
}

/* Only a checksum of the whole object can be compared. */
static void test_a_composite_checksum_says_nothing(void **state) {
    const struct task_result *r = finish_with_object(*state, OURS "x-amz-checksum-type: COMPOSITE\r\n", wrong_crc);
    assert_int_equal(r->outcome, OUTCOME_DONE);
}

static void test_a_composite_checksum_is_no_proof(void **state) {
    crc32c_to_base64(crc32c_add(0, "abc", 3), right_crc);
    const struct task_result *r = finish_with_object(*state, "x-amz-checksum-type: COMPOSITE\r\n", right_crc);
    assert_int_equal(r->outcome, OUTCOME_GONE);
}

static void test_a_checksum_of_the_whole_object_is_a_proof(void **state) {
    crc32c_to_base64(crc32c_add(0, "abc", 3), right_crc);
    const struct task_result *r = finish_with_object(*state, "x-amz-checksum-type: FULL_OBJECT\r\n", right_crc);
    assert_int_equal(r->outcome, OUTCOME_DONE);
}

static void test_a_wrong_checksum_without_an_owner_is_no_proof(void **state) {
    assert_int_equal(finish_with_object(*state, "", wrong_crc)->outcome, OUTCOME_GONE);
}

static void test_a_head_that_fails_is_the_error_of_an_upload_that_is_gone(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchUpload"), EMPTY("403 Forbidden", ""),
                                   EMPTY("403 Forbidden", ""), NULL};
    const struct task_result *r = finish(f, replies);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_DENIED);
}

static void test_a_head_that_fails_leaves_the_doubt(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "500 Oops", "InternalError"), EMPTY("403 Forbidden", ""),
                                   EMPTY("403 Forbidden", ""), NULL};
    assert_string_equal(finish(f, replies)->error, "500 InternalError: because");
}

/* Amazon answers 400 to the key of another object. */
static void test_an_object_that_refuses_the_key_is_not_ours(void **state) {
    struct s3_fixture *f = *state;
    const struct properties with_key = {.sse_c_md5 = slice_of("TUQ1")};
    const char *gone = reply_with_error(f, "404 Not Found", "NoSuchUpload"), *refused = EMPTY("400 Bad Request", "");
    const char *const replies[] = {gone, refused, refused, gone, NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->task.properties = &with_key;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_GONE);
    assert_request_count(f, 4); /* the second HEAD has no x-amz-checksum-mode; the last one aborts */
}

static void test_a_head_of_400_without_a_key_is_no_answer(void **state) {
    struct s3_fixture *f = *state;
    const char *gone = reply_with_error(f, "404 Not Found", "NoSuchUpload"), *refused = EMPTY("400 Bad Request", "");
    const char *const replies[] = {gone, refused, refused, NULL};
    assert_int_equal(finish(f, replies)->outcome, OUTCOME_FAILED);
}

/* --- the reply to Complete --- */

static void test_a_wrong_checksum_in_the_reply_is_no_success(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {
        reply_with_body(f, "200 OK", "", COMPLETED("<ETag>x</ETag><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>")), NULL};
    const struct task_result *r = finish(f, replies);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_INTEGRITY);
}

static void test_a_right_checksum_in_the_reply_is_a_success(void **state) {
    struct s3_fixture *f = *state;
    char body[200];
    crc32c_to_base64(crc32c_add(0, "abc", 3), right_crc);
    snprintf(body, sizeof body, COMPLETED("<ETag>x</ETag><ChecksumCRC32C>%s</ChecksumCRC32C>"), right_crc);
    const char *const replies[] = {reply_with_body(f, "200 OK", "", body), NULL};
    assert_int_equal(finish(f, replies)->outcome, OUTCOME_DONE);
}

static void test_a_reply_that_cannot_be_read_is_in_doubt(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", "<html/>"), OBJECT(OURS), NULL};
    const struct task_result *r = finish(f, replies);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "h-3");
}

static const struct task_result *finish_without_etag(struct s3_fixture *f, const char *head) {
    const char *const replies[] = {reply_with_body(f, "200 OK", "", COMPLETED("<ETag></ETag>")), head, NULL};
    return finish(f, replies);
}

static void test_a_missing_etag_is_no_failure(void **state) {
    const struct task_result *r = finish_without_etag(*state, EMPTY("404 Not Found", ""));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "");
}

static void test_the_etag_of_a_newer_object_is_not_taken(void **state) {
    const struct task_result *r = finish_without_etag(
        *state, "HTTP/1.1 200 OK\r\nETag: new\r\nx-amz-meta-chunklift-upload: " OTHER "\r\nContent-Length: 9\r\n\r\n");
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "");
}

/* --- lists of parts --- */

static void test_parts_out_of_order_are_listed(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPartOrder"),
                                   reply_with_body(f, "200 OK", "", ALL_PARTS),
                                   reply_with_body(f, "200 OK", "", COMPLETED("<ETag>w</ETag>")), NULL};
    assert_int_equal(finish(f, replies)->outcome, OUTCOME_DONE);
    assert_request_count(f, 3);
}

static void test_parts_that_match_and_are_refused_pass(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_body(f, "200 OK", "", ALL_PARTS),
                                   reply_with_error(f, "400 Bad Request", "InvalidPart"), NULL};
    const struct task_result *r = finish(f, replies);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    assert_request_count(f, 3);
}

/* Another program's parts between and after ours do not count. */
static void test_foreign_parts_in_a_list_are_skipped(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_body(f, "200 OK", "",
                                                   PARTS(PART("1", "e&lt;0", "1") PART("2", "x", "1") PART(
                                                       "3", "e1", "1") PART("5", "e2", "1") PART("6", "y", "1"))),
                                   reply_with_body(f, "200 OK", "", COMPLETED("<ETag>w</ETag>")), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->parts[1].chunk = 2;
    f->parts[2].chunk = 4;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 2, "<PartNumber>5</PartNumber><ETag>\"e2\"</ETag>"));
}

static void test_a_list_that_cannot_be_read_is_asked_for_again(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_body(f, "200 OK", "", "<html/>"), NULL};
    const struct task_result *r = finish(f, replies);
    assert_true(r->transient);
    assert_string_equal(r->error, "the store's list of parts cannot be read");
}

static void test_a_list_of_an_upload_that_is_gone_looks_for_the_object(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_error(f, "404 Not Found", "NoSuchUpload"), OBJECT(OURS), NULL};
    assert_int_equal(finish(f, replies)->outcome, OUTCOME_DONE);
    assert_request_count(f, 3);
}

static void test_a_list_in_a_bucket_that_is_gone_fails(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_error(f, "404 Not Found", "NoSuchBucket"), NULL};
    assert_int_equal(finish(f, replies)->class, FAIL_NO_BUCKET);
    assert_request_count(f, 2);
}

/* A proxy that compresses appends to the ETag. Shorter ETags are compared as a whole. */
static void test_changed_etags_of_sixteen_characters_match(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {
        reply_with_error(f, "400 Bad Request", "InvalidPart"),
        reply_with_body(f, "200 OK", "",
                        PARTS(PART("1", "0123456789abcdef", "1") PART("2", "0123456789abcde", "1")
                                  PART("3", "0123456789abcdefg", "1"))),
        NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->parts[0].etag = slice_of("0123456789abcdef-gzip");
    f->parts[1].etag = slice_of("0123456789abcde-gzip");
    f->parts[2].etag = slice_of("0123456789abcdef"); /* shorter than the listed one */
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_REDO);
    assert_int_equal(r->redo_count, 2);
    assert_int_equal(r->redo[0], 1);
    assert_int_equal(r->redo[1], 2);
}

/* --- parts that cannot be finished --- */

static void test_an_upload_needs_parts_in_order(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    f->parts[1].chunk = 0;
    assert_string_equal(s3_fixture_run(f)->error, "the parts to finish are out of order");
    s3_fixture_prepare_finish(f);
    f->task.part_count = 0;
    assert_string_equal(s3_fixture_run(f)->error, "an upload without parts cannot be finished");
    assert_int_equal(f->task.result.class, FAIL_REQUEST);
    assert_request_count(f, 0);
}

UNIT_MAIN(TEST(test_our_object_with_another_checksum_is_no_success),
          TEST(test_our_object_with_our_checksum_is_a_success), TEST(test_a_composite_checksum_says_nothing),
          TEST(test_a_composite_checksum_is_no_proof), TEST(test_a_checksum_of_the_whole_object_is_a_proof),
          TEST(test_a_wrong_checksum_without_an_owner_is_no_proof),
          TEST(test_a_head_that_fails_is_the_error_of_an_upload_that_is_gone),
          TEST(test_an_object_that_refuses_the_key_is_not_ours), TEST(test_a_head_of_400_without_a_key_is_no_answer),
          TEST(test_a_head_that_fails_leaves_the_doubt), TEST(test_a_wrong_checksum_in_the_reply_is_no_success),
          TEST(test_a_right_checksum_in_the_reply_is_a_success), TEST(test_a_reply_that_cannot_be_read_is_in_doubt),
          TEST(test_a_missing_etag_is_no_failure), TEST(test_the_etag_of_a_newer_object_is_not_taken),
          TEST(test_parts_out_of_order_are_listed), TEST(test_parts_that_match_and_are_refused_pass),
          TEST(test_foreign_parts_in_a_list_are_skipped), TEST(test_a_list_that_cannot_be_read_is_asked_for_again),
          TEST(test_a_list_of_an_upload_that_is_gone_looks_for_the_object),
          TEST(test_a_list_in_a_bucket_that_is_gone_fails), TEST(test_changed_etags_of_sixteen_characters_match),
          TEST(test_an_upload_needs_parts_in_order))
