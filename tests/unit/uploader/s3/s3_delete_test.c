/* delete: the objects of a job are removed by one request or one by one. The linker wraps digest_new (tests.cmake): an
 * OpenSSL in FIPS mode has no MD5. */
#include "pure/ids.h"
#include "pure/listing.h"
#include "pure/text.h"
#include "s3_fixture.h"

#define RESULT(entries)                                                                                                \
    "<?xml version=\"1.0\"?><DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" entries "</"             \
    "DeleteResult>"
#define FAILED(key, code) "<Error><Key>" key "</Key><Code>" code "</Code><Message>because</Message></Error>"
#define REQUEST(objects)                                                                                               \
    "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>" objects "</Delete>"
#define OBJECT(key) "<Object><Key>" key "</Key></Object>"
#define GONE EMPTY("204 No Content", "")
#define KEYS_MAX 8

static struct s3_fixture *f;
static struct slice keys[KEYS_MAX];
static bool has_no_md5;

int __real_digest_new(struct digest **d, enum digest_kind kind);
int __wrap_digest_new(struct digest **d, enum digest_kind kind);

int __wrap_digest_new(struct digest **d, enum digest_kind kind) {
    if (!has_no_md5 || kind != DIGEST_MD5)
        return __real_digest_new(d, kind);
    *d = NULL;
    return ERR_DENIED;
}

static int setup(void **state) {
    int err = s3_fixture_setup(state);
    f = *state;
    has_no_md5 = false;
    return err;
}

/* The job removes these objects. */
static void prepare(const char *const *urls) {
    size_t count = 0;
    s3_fixture_prepare(f, JOB_DELETE);
    for (; urls[count]; count++) {
        assert_true(count < KEYS_MAX);
        keys[count] = slice_of(urls[count]);
    }
    f->task.job.handle = slice_of("");
    f->task.job.target.dest = keys[0];
    f->task.job.keys = keys;
    f->task.job.key_count = count;
}

static const struct task_result *run(const char *const *replies, const char *const *urls) {
    s3_fixture_open(f, replies);
    prepare(urls);
    return s3_fixture_run(f);
}

static const char *const one[] = {"s3://bucket/a key", NULL};
static const char *const three[] = {"s3://bucket/a key", "s3://bucket/b&<c>", "s3://bucket/dir/d", NULL};
static const char three_in_xml[] = REQUEST(OBJECT("a key") OBJECT("b&amp;&lt;c&gt;") OBJECT("dir/d"));

/* The n-th object that was kept, and why, from 0; empty: there are fewer. */
static const char *kept(size_t n) {
    static char text[1500];
    struct slice page = buf_slice(&f->task.result.listing);
    struct listed_upload u;
    int err = 0;
    for (size_t i = 0; !err && i <= n; i++)
        err = listing_next(&page, &u);
    if (err)
        return "";
    snprintf(text, sizeof text, "%.*s: %.*s", (int)u.key.len, u.key.ptr, (int)u.handle.len, u.handle.ptr);
    return text;
}

static void assert_all_gone(const struct task_result *r, unsigned requests) {
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "");
    assert_request_count(f, requests);
}

static void assert_failed(const struct task_result *r, enum fail_class class, unsigned requests) {
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, class);
    assert_int_equal(r->listing.len, 0);
    assert_request_count(f, requests);
}

/* --- the request for many --- */

static void digest_of_body(enum digest_kind kind, uint8_t *sum) {
    struct digest *d;
    assert_int_equal(__real_digest_new(&d, kind), 0);
    assert_int_equal(digest_begin(d), 0);
    assert_int_equal(digest_add(d, three_in_xml, sizeof three_in_xml - 1), 0);
    assert_int_equal(digest_end(d, sum), 0);
    digest_destroy(&d);
}

static void test_many_objects_are_one_request(void **state) {
    (void)state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT("")), NULL};
    assert_all_gone(run(replies, three), 1);
    assert_true(request_contains(f, 0, "POST /bucket?delete= HTTP/1.1\r\n"));
    assert_true(request_contains(f, 0, three_in_xml));
    assert_true(request_contains(f, 0, "content-type: application/xml\r\n"));
    assert_true(request_contains(f, 0, "Authorization: AWS4-HMAC-SHA256 Credential=AK/"));
}

static void test_the_request_announces_its_body(void **state) {
    (void)state;
    uint8_t md5[MD5_SIZE], sha256[SHA256_SIZE];
    char line[200], hex[SHA256_HEX_SIZE];
    struct buf base64 = BUF_INIT;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT("")), NULL};
    assert_all_gone(run(replies, three), 1);
    digest_of_body(DIGEST_MD5, md5);
    assert_int_equal(base64_add(&base64, slice_make(md5, sizeof md5)), 0);
    snprintf(line, sizeof line, "\r\ncontent-md5: %s\r\n", base64.data);
    assert_true(request_contains(f, 0, line));
    buf_release(&base64);
    digest_of_body(DIGEST_SHA256, sha256);
    hex_encode(sha256, SHA256_SIZE, hex);
    snprintf(line, sizeof line, "\r\nx-amz-content-sha256: %s\r\n", hex);
    assert_true(request_contains(f, 0, line));
    assert_false(request_contains(f, 0, "x-amz-checksum-"));
}

static void test_without_md5_the_checksum_is_a_crc32c(void **state) {
    (void)state;
    char line[100], crc[CRC_BASE64_SIZE];
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT("")), NULL};
    has_no_md5 = true;
    assert_all_gone(run(replies, three), 1);
    crc32c_to_base64(crc32c_add(0, three_in_xml, sizeof three_in_xml - 1), crc);
    snprintf(line, sizeof line, "\r\nx-amz-checksum-crc32c: %s\r\n", crc);
    assert_true(request_contains(f, 0, line));
    assert_false(request_contains(f, 0, "content-md5"));
}

static void test_each_request_has_the_properties_for_access(void **state) {
    (void)state;
    static const char *const urls[] = {"s3://bucket/a", "s3://bucket/b", "s3://bucket/c ", NULL};
    const struct properties p = {.request_payer = slice_of("requester"),
                                 .expected_bucket_owner = slice_of("111122223333"),
                                 .sse = slice_of("AES256")};
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT("")), GONE, NULL};
    s3_fixture_open(f, replies);
    prepare(urls);
    f->task.properties = &p;
    assert_all_gone(s3_fixture_run(f), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(request_contains(f, i, "\r\nx-amz-request-payer: requester\r\n"));
        assert_true(request_contains(f, i, "\r\nx-amz-expected-bucket-owner: 111122223333\r\n"));
        assert_false(request_contains(f, i, "x-amz-server-side-encryption"));
    }
}

static void test_one_object_is_one_delete(void **state) {
    (void)state;
    const char *const replies[] = {GONE, NULL};
    assert_all_gone(run(replies, one), 1);
    assert_true(request_contains(f, 0, "DELETE /bucket/a%20key HTTP/1.1\r\n"));
}

/* A store that cuts or folds them would remove another object. */
static void test_keys_that_xml_may_change_get_their_own_request(void **state) {
    (void)state;
    static const char *const urls[] = {"s3://bucket/ a",   "s3://bucket/b",          "s3://bucket/c",
                                       "s3://bucket/e\nf", "s3://bucket/g\x01\x1fh", "s3://bucket/i\xef\xbf\xbej",
                                       "s3://bucket/k ",   "s3://bucket/\xc2\xa0l",  NULL};
    const char *const replies[] = {
        reply_with_body(f, "200 OK", "", RESULT("")), GONE, GONE, GONE, GONE, GONE, GONE, NULL};
    assert_all_gone(run(replies, urls), 7);
    assert_true(request_contains(f, 0, REQUEST(OBJECT("b") OBJECT("c"))));
    assert_true(request_contains(f, 1, "DELETE /bucket/%20a HTTP/1.1\r\n"));
    assert_true(request_contains(f, 2, "DELETE /bucket/e%0Af HTTP/1.1\r\n"));
    assert_true(request_contains(f, 3, "DELETE /bucket/g%01%1Fh HTTP/1.1\r\n"));
    assert_true(request_contains(f, 4, "DELETE /bucket/i%EF%BF%BEj HTTP/1.1\r\n"));
    assert_true(request_contains(f, 5, "DELETE /bucket/k%20 HTTP/1.1\r\n"));
    assert_true(request_contains(f, 6, "DELETE /bucket/%C2%A0l HTTP/1.1\r\n"));
}

static void test_one_plain_key_among_others_gets_a_delete_as_well(void **state) {
    (void)state;
    static const char *const urls[] = {"s3://bucket/ a", "s3://bucket/b", NULL};
    const char *const replies[] = {GONE, GONE, NULL};
    assert_all_gone(run(replies, urls), 2);
    assert_true(request_contains(f, 1, "DELETE /bucket/b HTTP/1.1\r\n"));
}

/* --- its answer --- */

static const struct task_result *run_with_result(const char *body) {
    const char *const replies[] = {reply_with_body(f, "200 OK", "", body), NULL};
    return run(replies, three);
}

static void test_an_object_that_the_store_keeps_is_listed(void **state) {
    (void)state;
    const struct task_result *r = run_with_result(RESULT(FAILED("b&amp;&lt;c&gt;", "AccessDenied")));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "s3://bucket/b&<c>: AccessDenied: because");
    assert_string_equal(kept(1), "");
    assert_request_count(f, 1);
}

static void test_an_object_that_is_missing_is_gone(void **state) {
    (void)state;
    assert_all_gone(run_with_result(RESULT(FAILED("a key", "NoSuchKey") FAILED("dir/d", "NoSuchVersion"))), 1);
}

/* The next attempt asks about the rest only. */
static void test_an_object_that_is_throttled_is_tried_again(void **state) {
    (void)state;
    const char *result =
        RESULT(FAILED("a key", "AccessDenied") FAILED("b&amp;&lt;c&gt;", "SlowDown") FAILED("dir/d", "InternalError"));
    const char *const replies[] = {reply_with_body(f, "200 OK", "", result),
                                   reply_with_body(f, "200 OK", "", RESULT(FAILED("dir/d", "InternalError"))), GONE,
                                   NULL};
    const struct task_result *r = run(replies, three);
    assert_failed(r, FAIL_OUTAGE, 1);
    assert_true(r->transient && r->throttled);
    assert_string_equal(r->error, "SlowDown: because");
    f->done = false;
    r = s3_fixture_run(f);
    assert_failed(r, FAIL_OUTAGE, 2);
    assert_true(r->transient && !r->throttled);
    assert_true(request_contains(f, 1, REQUEST(OBJECT("b&amp;&lt;c&gt;") OBJECT("dir/d"))));
    f->done = false;
    r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_request_count(f, 3);
    assert_true(request_contains(f, 2, "DELETE /bucket/dir/d HTTP/1.1\r\n"));
    assert_string_equal(kept(0), "s3://bucket/a key: AccessDenied: because");
    assert_string_equal(kept(1), "");
}

/* Another host may have other credentials. */
static void test_a_denial_of_all_objects_fails_the_job(void **state) {
    (void)state;
    const struct task_result *r = run_with_result(RESULT(
        FAILED("a key", "AccessDenied") FAILED("b&amp;&lt;c&gt;", "AccessDenied") FAILED("dir/d", "AccessDenied")));
    assert_failed(r, FAIL_DENIED, 1);
    assert_int_equal(r->own, OWN_MAYBE);
    assert_false(r->transient);
    assert_string_equal(r->error, "AccessDenied: because");
}

/* The first error decides. */
static void test_objects_that_no_host_may_delete_are_listed(void **state) {
    (void)state;
    const struct task_result *r = run_with_result(RESULT(FAILED("dir/d", "AccessDenied") FAILED("a key", "ObjectLocked")
                                                             FAILED("b&amp;&lt;c&gt;", "ObjectLocked")));
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "s3://bucket/a key: ObjectLocked: because");
    assert_string_equal(kept(1), "s3://bucket/b&<c>: ObjectLocked: because");
    assert_string_equal(kept(2), "s3://bucket/dir/d: AccessDenied: because");
}

static void test_a_bucket_that_is_missing_for_all_objects_fails_the_job(void **state) {
    (void)state;
    const struct task_result *r = run_with_result(RESULT(
        FAILED("a key", "NoSuchBucket") FAILED("b&amp;&lt;c&gt;", "NoSuchBucket") FAILED("dir/d", "NoSuchBucket")));
    assert_failed(r, FAIL_NO_BUCKET, 1);
}

static void test_the_same_object_twice_fails_twice(void **state) {
    (void)state;
    static const char *const urls[] = {"s3://bucket/a", "s3://bucket/b", "s3://bucket/b", NULL};
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT(FAILED("b", "ObjectLocked"))), NULL};
    assert_int_equal(run(replies, urls)->outcome, OUTCOME_DONE);
    assert_string_equal(kept(1), "s3://bucket/b: ObjectLocked: because");
    assert_string_equal(kept(2), "");
}

/* It is not known then which objects are gone. */
static void answer_is_not_understood(const char *body) {
    const char *const replies[] = {reply_with_body(f, "200 OK", "", body), GONE, GONE, GONE, NULL};
    assert_all_gone(run(replies, three), 4);
    assert_true(request_contains(f, 1, "DELETE /bucket/a%20key HTTP/1.1\r\n"));
    assert_true(request_contains(f, 2, "DELETE /bucket/b%26%3Cc%3E HTTP/1.1\r\n"));
    assert_true(request_contains(f, 3, "DELETE /bucket/dir/d HTTP/1.1\r\n"));
}

static void test_after_an_answer_that_cannot_be_read_each_object_gets_a_delete(void **state) {
    (void)state;
    answer_is_not_understood("<html/>");
}

static void test_after_an_empty_answer_each_object_gets_a_delete(void **state) {
    (void)state;
    answer_is_not_understood("");
}

static void test_after_an_error_of_another_object_each_object_gets_a_delete(void **state) {
    (void)state;
    answer_is_not_understood(RESULT(FAILED("a key", "AccessDenied") FAILED("a%20key", "AccessDenied")));
}

static void test_an_error_of_an_object_without_a_name_is_not_understood(void **state) {
    (void)state;
    answer_is_not_understood(RESULT("<Error><Code>AccessDenied</Code></Error>"));
}

/* One of the keys is not in the request. */
static void test_no_error_is_one_of_a_key_that_was_not_asked_about(void **state) {
    (void)state;
    static const char *const urls[] = {"s3://bucket/ blank", "s3://bucket/a", "s3://bucket/b", NULL};
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT("<Error><Code>AccessDenied</Code></Error>")),
                                   GONE, GONE, GONE, NULL};
    assert_all_gone(run(replies, urls), 4);
}

/* --- a request that fails --- */

static const struct task_result *run_refused(const char *status, const char *code) {
    const char *const replies[] = {reply_with_error(f, status, code), NULL};
    return run(replies, three);
}

static void test_a_denied_request_fails_the_job(void **state) {
    (void)state;
    const struct task_result *r = run_refused("403 Forbidden", "AccessDenied");
    assert_failed(r, FAIL_DENIED, 1);
    assert_int_equal(r->own, OWN_MAYBE);
}

static void test_a_missing_bucket_fails_the_job(void **state) {
    (void)state;
    const struct task_result *r = run_refused("404 Not Found", "NoSuchBucket");
    assert_failed(r, FAIL_NO_BUCKET, 1);
    assert_non_null(strstr(r->error, "(bucket 'bucket')"));
}

static void test_a_busy_store_is_asked_again(void **state) {
    (void)state;
    const struct task_result *r = run_refused("503 Slow Down", "SlowDown");
    assert_failed(r, FAIL_OUTAGE, 1);
    assert_true(r->transient && r->throttled);
}

static void test_a_lost_answer_is_asked_for_again(void **state) {
    (void)state;
    const char *const replies[] = {REPLY_CUT, reply_with_body(f, "200 OK", "", RESULT("")), NULL};
    assert_true(run(replies, three)->transient);
    assert_request_count(f, 1); /* libcurl does not send it again */
    f->done = false;
    assert_all_gone(s3_fixture_run(f), 2);
}

/* --- stores without the request --- */

static void store_does_not_know(const char *status, const char *code) {
    const char *const replies[] = {reply_with_error(f, status, code), GONE, GONE, GONE, GONE, GONE, GONE, NULL};
    assert_all_gone(run(replies, three), 4);
    prepare(three);
    assert_all_gone(s3_fixture_run(f), 7); /* it is not asked again */
    assert_true(request_contains(f, 4, "DELETE /bucket/a%20key HTTP/1.1\r\n"));
}

static void test_a_store_that_does_not_allow_the_method(void **state) {
    (void)state;
    store_does_not_know("405 Method Not Allowed", "MethodNotAllowed");
}

static void test_a_store_that_does_not_implement_it(void **state) {
    (void)state;
    store_does_not_know("501 Not Implemented", "");
}

static void test_a_store_that_calls_it_a_bad_request(void **state) {
    (void)state;
    store_does_not_know("400 Bad Request", "NotImplemented");
}

/* Other ones may do. */
static void store_refuses_this_request(const char *status, const char *code) {
    const char *const replies[] = {
        reply_with_error(f, status, code), GONE, GONE, GONE, reply_with_body(f, "200 OK", "", RESULT("")), NULL};
    assert_all_gone(run(replies, three), 4);
    prepare(three);
    assert_all_gone(s3_fixture_run(f), 5);
    assert_true(request_contains(f, 4, "POST /bucket?delete= HTTP/1.1\r\n"));
}

static void test_a_store_that_refuses_the_xml(void **state) {
    (void)state;
    store_refuses_this_request("400 Bad Request", "MalformedXML");
}

static void test_a_store_that_does_not_find_the_request(void **state) {
    (void)state;
    store_refuses_this_request("404 Not Found", "");
}

/* --- one by one --- */

static const char *const blanks[] = {"s3://bucket/ a", "s3://bucket/ b", "s3://bucket/ c", NULL};

static void test_a_delete_that_is_refused_is_listed_and_the_next_follows(void **state) {
    (void)state;
    const char *const replies[] = {GONE, reply_with_error(f, "403 Forbidden", "AccessDenied"), GONE, NULL};
    assert_int_equal(run(replies, blanks)->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "s3://bucket/ b: 403 AccessDenied: because");
    assert_string_equal(kept(1), "");
    assert_request_count(f, 3);
}

static void test_a_delete_of_a_missing_object_is_done(void **state) {
    (void)state;
    const char *const replies[] = {reply_with_error(f, "404 Not Found", "NoSuchKey"), NULL};
    assert_all_gone(run(replies, one), 1);
}

/* It may come from something between the store and here. */
static void test_a_404_without_a_code_proves_nothing(void **state) {
    (void)state;
    const char *const replies[] = {EMPTY("404 Not Found", ""), NULL};
    assert_int_equal(run(replies, one)->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "s3://bucket/a key: 404 Not Found");
}

static void test_a_delete_that_is_denied_alone_fails_the_job(void **state) {
    (void)state;
    const char *const replies[] = {reply_with_error(f, "403 Forbidden", "AccessDenied"), NULL};
    assert_failed(run(replies, one), FAIL_DENIED, 1);
    assert_int_equal(f->task.result.own, OWN_MAYBE);
}

static void test_a_busy_store_continues_where_it_stopped(void **state) {
    (void)state;
    const char *const replies[] = {GONE, reply_with_error(f, "503 Slow Down", "SlowDown"), GONE, GONE, NULL};
    const struct task_result *r = run(replies, blanks);
    assert_failed(r, FAIL_OUTAGE, 2);
    assert_true(r->transient && r->throttled);
    f->done = false;
    assert_all_gone(s3_fixture_run(f), 4);
    assert_true(request_contains(f, 2, "DELETE /bucket/%20b HTTP/1.1\r\n"));
    assert_true(request_contains(f, 3, "DELETE /bucket/%20c HTTP/1.1\r\n"));
}

static void test_an_error_that_every_object_would_get_ends_the_job(void **state) {
    (void)state;
    const char *const replies[] = {GONE, reply_with_error(f, "403 Forbidden", "InvalidAccessKeyId"), NULL};
    assert_failed(run(replies, blanks), FAIL_DENIED, 2);
    assert_int_equal(f->task.result.own, OWN_SURE);
}

static void test_a_bucket_that_vanished_ends_the_job(void **state) {
    (void)state;
    const char *const replies[] = {GONE, reply_with_error(f, "404 Not Found", "NoSuchBucket"), NULL};
    assert_failed(run(replies, blanks), FAIL_NO_BUCKET, 2);
}

static void test_objects_that_are_none_are_not_touched(void **state) {
    (void)state;
    static char long_key[1100] = "s3://bucket/";
    memset(long_key + 12, 'k', 1025);
    const char *const urls[] = {
        "s3://bucket/a", "s3://bucket2/a", "s3://bucket/", "s3://bucket/\xff", "file:///bucket/a", long_key, NULL};
    const char *const replies[] = {GONE, NULL};
    assert_int_equal(run(replies, urls)->outcome, OUTCOME_DONE);
    assert_request_count(f, 1);
    assert_true(request_contains(f, 0, "DELETE /bucket/a HTTP/1.1\r\n"));
    assert_string_equal(kept(0), "s3://bucket2/a: it is not in the bucket of its job");
    assert_non_null(strstr(kept(1), "s3://bucket/: no key after the bucket"));
    assert_non_null(strstr(kept(2), "the name is not UTF-8"));
    assert_non_null(strstr(kept(3), "file:///bucket/a: not an S3 destination"));
    assert_non_null(strstr(kept(4), "the key is longer than 1024 bytes"));
    assert_string_equal(kept(5), "");
}

/* --- the lease (rule 5) --- */

static void test_nothing_is_asked_for_after_the_lease(void **state) {
    (void)state;
    const char *const replies[] = {NULL};
    s3_fixture_open(f, replies);
    prepare(three);
    f->task.lease_deadline_ms = 0;
    const struct task_result *r = s3_fixture_run(f);
    assert_failed(r, FAIL_OUTAGE, 0);
    assert_true(r->transient);
    assert_string_equal(r->error, "the lease ended before all objects were deleted");
}

static void end_lease(struct s3_fixture *fixture) {
    fixture->task.lease_deadline_ms = 0;
}

/* The first step starts the request, which has no connection yet. */
static void test_a_request_that_waits_for_its_connection_ends_with_the_lease(void **state) {
    (void)state;
    const char *const replies[] = {reply_with_body(f, "200 OK", "", RESULT("")), NULL};
    s3_fixture_open(f, replies);
    prepare(three);
    f->after_first_step = end_lease;
    const struct task_result *r = s3_fixture_run(f);
    assert_failed(r, FAIL_OUTAGE, 0);
    assert_true(r->transient && !r->never_connected);
}

static void test_no_further_delete_follows_after_the_lease(void **state) {
    (void)state;
    const char *const replies[] = {GONE, GONE, GONE, NULL};
    s3_fixture_open(f, replies);
    prepare(blanks);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    while (!f->done) {
        f->s3->ops->step(f->s3);
        http_perform(f->http);
        if (f->server.request_count > 0)
            f->task.lease_deadline_ms = 0;
        if (!f->done)
            http_wait(f->http, NULL, 0, 20);
    }
    assert_true(f->task.result.transient);
    assert_true(f->server.request_count < 3);
}

#define DELETE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, s3_fixture_teardown)
UNIT_MAIN(DELETE_TEST(test_many_objects_are_one_request), DELETE_TEST(test_the_request_announces_its_body),
          DELETE_TEST(test_without_md5_the_checksum_is_a_crc32c),
          DELETE_TEST(test_each_request_has_the_properties_for_access), DELETE_TEST(test_one_object_is_one_delete),
          DELETE_TEST(test_keys_that_xml_may_change_get_their_own_request),
          DELETE_TEST(test_one_plain_key_among_others_gets_a_delete_as_well),
          DELETE_TEST(test_an_object_that_the_store_keeps_is_listed),
          DELETE_TEST(test_an_object_that_is_missing_is_gone),
          DELETE_TEST(test_an_object_that_is_throttled_is_tried_again),
          DELETE_TEST(test_a_denial_of_all_objects_fails_the_job),
          DELETE_TEST(test_objects_that_no_host_may_delete_are_listed),
          DELETE_TEST(test_a_bucket_that_is_missing_for_all_objects_fails_the_job),
          DELETE_TEST(test_the_same_object_twice_fails_twice),
          DELETE_TEST(test_no_error_is_one_of_a_key_that_was_not_asked_about),
          DELETE_TEST(test_after_an_answer_that_cannot_be_read_each_object_gets_a_delete),
          DELETE_TEST(test_after_an_empty_answer_each_object_gets_a_delete),
          DELETE_TEST(test_after_an_error_of_another_object_each_object_gets_a_delete),
          DELETE_TEST(test_an_error_of_an_object_without_a_name_is_not_understood),
          DELETE_TEST(test_a_denied_request_fails_the_job), DELETE_TEST(test_a_missing_bucket_fails_the_job),
          DELETE_TEST(test_a_busy_store_is_asked_again), DELETE_TEST(test_a_lost_answer_is_asked_for_again),
          DELETE_TEST(test_a_store_that_does_not_allow_the_method),
          DELETE_TEST(test_a_store_that_does_not_implement_it), DELETE_TEST(test_a_store_that_calls_it_a_bad_request),
          DELETE_TEST(test_a_store_that_refuses_the_xml), DELETE_TEST(test_a_store_that_does_not_find_the_request),
          DELETE_TEST(test_a_delete_that_is_refused_is_listed_and_the_next_follows),
          DELETE_TEST(test_a_delete_of_a_missing_object_is_done), DELETE_TEST(test_a_404_without_a_code_proves_nothing),
          DELETE_TEST(test_a_delete_that_is_denied_alone_fails_the_job),
          DELETE_TEST(test_a_busy_store_continues_where_it_stopped),
          DELETE_TEST(test_an_error_that_every_object_would_get_ends_the_job),
          DELETE_TEST(test_a_bucket_that_vanished_ends_the_job),
          DELETE_TEST(test_objects_that_are_none_are_not_touched),
          DELETE_TEST(test_nothing_is_asked_for_after_the_lease),
          DELETE_TEST(test_a_request_that_waits_for_its_connection_ends_with_the_lease),
          DELETE_TEST(test_no_further_delete_follows_after_the_lease))
