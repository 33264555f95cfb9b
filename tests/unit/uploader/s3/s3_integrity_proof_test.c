/* Replies to probes, and the proof that the store has the bytes (rule 16). */
#include "capture.h"
#include "s3_op_fixture.h"

#include "pure/text.h"
#include "system/log.h"

/* --- replies to a probe --- */

static void probe_of(enum integrity method) {
    s3_op_fixture_verifies(method == INTEGRITY_CRC32C ? S3_UNKNOWN : S3_NO,
                           method == INTEGRITY_MD5 ? S3_UNKNOWN : S3_NO,
                           method == INTEGRITY_SHA256 ? S3_UNKNOWN : S3_NO);
    assert_int_equal(s3_op_fixture_choose(), method);
    assert_true(made.op->probing);
    made.known = 0;
}

static void take_probe_error(struct s3_error error) {
    s3_integrity_take_probe_reply(made.op, &(struct http_reply){.status = error.status}, &error);
}

static void test_a_refused_probe_shows_that_the_digest_is_verified(void **state) {
    s3_op_fixture_begin(state);
    probe_of(INTEGRITY_MD5);
    take_probe_error(
        (struct s3_error){.status = 400, .class = FAIL_INTEGRITY, .bad_checksum = true, .transient = true});
    assert_int_equal(made.endpoint->verifies[INTEGRITY_MD5], S3_YES);
    assert_int_equal(made.known, 1);
    assert_false(made.op->probing);
    assert_null(made.endpoint->prober);
    probe_of(INTEGRITY_SHA256);
    take_probe_error((struct s3_error){.status = 403, .class = FAIL_DENIED, .code = "SignatureDoesNotMatch"});
    assert_int_equal(made.endpoint->verifies[INTEGRITY_SHA256], S3_YES); /* its digest is part of the signature */
}

static void test_a_refusal_for_another_reason_shows_no_check(void **state) {
    s3_op_fixture_begin(state);
    probe_of(INTEGRITY_MD5);
    take_probe_error((struct s3_error){.status = 400, .class = FAIL_REQUEST, .code = "InvalidArgument"});
    assert_int_equal(made.endpoint->verifies[INTEGRITY_MD5], S3_NO);
    assert_int_equal(made.known, 1);
    assert_int_equal(made.op->method, INTEGRITY_NONE);
}

static void test_an_error_of_the_store_shows_nothing(void **state) {
    static const struct s3_error errors[] = {
        {.status = 503, .class = FAIL_OUTAGE, .transient = true},
        {.status = 400, .class = FAIL_REQUEST, .transient = true},
        {.status = 404, .class = FAIL_REQUEST, .gone = true},
        {.status = 403, .class = FAIL_DENIED},
        {.status = 403, .class = FAIL_DENIED, .code = "SignatureDoesNotMatch"},
    };
    s3_op_fixture_begin(state);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        s3_op_fixture_use("http://plain.example");
        probe_of(INTEGRITY_MD5);
        take_probe_error(errors[i]);
        assert_true(made.f->done);
        assert_int_equal(made.f->task.result.class, errors[i].class);
        assert_int_equal(made.known, 0);
        assert_int_equal(made.endpoint->verifies[INTEGRITY_MD5], S3_UNKNOWN);
        assert_null(made.endpoint->prober);
    }
}

static const uint8_t md5_bytes[MD5_SIZE] = {0xa1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
#define MD5_HEX "a102030405060708090a0b0c0d0e0f10"

static void accept_probe(const char *etag_line) {
    struct buf headers = BUF_INIT;
    memcpy(made.op->digest_bytes, md5_bytes, sizeof md5_bytes);
    assert_int_equal(buf_add_text(&headers, etag_line), 0);
    s3_integrity_take_probe_reply(made.op, &(struct http_reply){.status = 200, .headers = &headers}, NULL);
    buf_release(&headers);
}

static void test_an_accepted_probe_shows_the_kind_of_etags(void **state) {
    s3_op_fixture_begin(state);
    probe_of(INTEGRITY_MD5);
    accept_probe("ETag: \"" MD5_HEX "\"\r\n");
    assert_int_equal(made.endpoint->verifies[INTEGRITY_MD5], S3_NO);
    assert_int_equal(made.endpoint->md5_etags, S3_YES);
    assert_int_equal(made.op->method, INTEGRITY_MD5);
    probe_of(INTEGRITY_MD5);
    accept_probe("ETag: \"other\"\r\n"); /* it was known already */
    assert_int_equal(made.endpoint->md5_etags, S3_YES);
    made.endpoint->md5_etags = S3_UNKNOWN;
    probe_of(INTEGRITY_MD5);
    accept_probe("ETag: \"other\"\r\n");
    assert_int_equal(made.endpoint->md5_etags, S3_NO);
    made.endpoint->md5_etags = S3_UNKNOWN;
    probe_of(INTEGRITY_SHA256);
    accept_probe("ETag: \"" MD5_HEX "\"\r\n"); /* the digest is no MD5 */
    assert_int_equal(made.endpoint->md5_etags, S3_UNKNOWN);
}

/* The part after the last one has bytes of its own, and their digest is wrong by one bit. */
static void test_a_part_that_probes_shows_the_kind_of_etags(void **state) {
    static const char text[] = "chunklift: does this store refuse a wrong digest?";
    struct digest *d;
    struct buf header = BUF_INIT;
    uint8_t sum[MD5_SIZE];
    char etag[80] = "ETag: \"";
    assert_int_equal(digest_new(&d, DIGEST_MD5), 0);
    assert_int_equal(digest_begin(d), 0);
    assert_int_equal(digest_add(d, text, strlen(text)), 0);
    assert_int_equal(digest_end(d, sum), 0);
    digest_destroy(&d);
    hex_encode(sum, sizeof sum, etag + strlen(etag));
    strcat(etag, "\"\r\n");
    sum[0] ^= 1;
    assert_int_equal(buf_add_text(&header, "content-md5: "), 0);
    assert_int_equal(base64_add(&header, slice_make(sum, sizeof sum)), 0);
    s3_op_fixture_begin(state);
    const char *const replies[] = {reply_with_body(made.f, "200 OK", etag, ""), NULL};
    made.f->server.replies = replies;
    made.f->task.job.ref.kind = JOB_CHUNK;
    made.f->task.job.length = ((uint64_t)16 << 20) + 1;
    made.f->task.job.chunks = 2;
    s3_op_fixture_use(made.f->server.url);
    s3_op_fixture_verifies(S3_NO, S3_UNKNOWN, S3_NO);
    made.known = 0;
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (; made.known == 0; http_perform(made.f->http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(made.f->http, NULL, 0, 10);
    }
    assert_true(request_contains(made.f, 0, "?partNumber=3&"));
    assert_true(request_contains(made.f, 0, text));
    assert_true(request_contains(made.f, 0, header.data));
    buf_release(&header);
    assert_int_equal(made.endpoint->verifies[INTEGRITY_MD5], S3_NO); /* it took a wrong one */
    assert_int_equal(made.endpoint->md5_etags, S3_YES);
    assert_int_equal(made.op->method, INTEGRITY_MD5); /* compared with the ETag */
}

static void test_a_refused_probe_shows_no_kind_of_etags(void **state) {
    s3_op_fixture_begin(state);
    probe_of(INTEGRITY_MD5);
    take_probe_error((struct s3_error){.status = 400, .class = FAIL_INTEGRITY, .bad_checksum = true});
    assert_int_equal(made.endpoint->md5_etags, S3_UNKNOWN);
}

/* --- the proof --- */

/* The proof of an operation with this method after a good reply. INTEGRITY_UNKNOWN: it failed. */
static enum integrity prove(enum integrity method, const char *etag) {
    if (!made.op)
        s3_op_fixture_use("http://plain.example");
    made.f->done = false;
    made.op->method = method;
    memcpy(made.op->digest_bytes, md5_bytes, sizeof md5_bytes);
    snprintf(made.f->task.result.etag, sizeof made.f->task.result.etag, "%s", etag);
    bool proved = s3_integrity_prove(made.op);
    assert_int_equal(proved, !made.f->done);
    if (!proved)
        made.op = NULL;
    return proved ? made.f->task.result.integrity : INTEGRITY_UNKNOWN;
}

static void test_a_verified_digest_is_a_proof(void **state) {
    static const enum integrity checks[] = {INTEGRITY_CRC32C, INTEGRITY_MD5, INTEGRITY_SHA256};
    s3_op_fixture_begin(state);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
        assert_int_equal(prove(checks[i], "x"), checks[i]);
        assert_int_equal(backend_s3_integrity(made.f->s3), checks[i]);
        s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
        assert_int_equal(prove(checks[i], "x"), INTEGRITY_NONE);
        s3_op_fixture_verifies(S3_UNKNOWN, S3_UNKNOWN, S3_UNKNOWN);
        assert_int_equal(prove(checks[i], "x"), INTEGRITY_NONE);
    }
}

/* The request was sent again without its optional headers. */
static void test_a_digest_that_was_dropped_is_no_proof(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
    made.op->dropped = S3_BODY_CHECKSUM;
    assert_int_equal(prove(INTEGRITY_CRC32C, "x"), INTEGRITY_NONE);
    assert_int_equal(prove(INTEGRITY_MD5, "x"), INTEGRITY_MD5);
    assert_int_equal(prove(INTEGRITY_SHA256, "x"), INTEGRITY_SHA256);
    made.op->dropped = S3_BODY_MD5;
    assert_int_equal(prove(INTEGRITY_CRC32C, "x"), INTEGRITY_CRC32C);
    assert_int_equal(prove(INTEGRITY_MD5, "x"), INTEGRITY_NONE);
    assert_int_equal(prove(INTEGRITY_SHA256, "x"), INTEGRITY_SHA256);
}

static void test_tls_is_the_proof_without_a_digest(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_use("https://tls.example");
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
    assert_int_equal(prove(INTEGRITY_TLS, "x"), INTEGRITY_TLS);
    assert_int_equal(prove(INTEGRITY_NONE, "x"), INTEGRITY_TLS);
    assert_int_equal(prove(INTEGRITY_CRC32C, "x"), INTEGRITY_CRC32C);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    assert_int_equal(prove(INTEGRITY_CRC32C, "x"), INTEGRITY_TLS);
}

static void test_the_first_etags_show_their_kind(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    assert_int_equal(prove(INTEGRITY_MD5, MD5_HEX), INTEGRITY_MD5);
    assert_int_equal(made.endpoint->md5_etags, S3_YES);
    made.endpoint->md5_etags = S3_UNKNOWN;
    assert_int_equal(prove(INTEGRITY_MD5, "opaque"), INTEGRITY_NONE);
    assert_int_equal(made.endpoint->md5_etags, S3_NO);
    assert_int_equal(prove(INTEGRITY_MD5, MD5_HEX), INTEGRITY_MD5);
    assert_int_equal(prove(INTEGRITY_SHA256, MD5_HEX), INTEGRITY_NONE);
}

/* With a header that is verified, an ETag of another kind is no failure. */
static void test_a_verified_md5_needs_no_etag(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_NO);
    made.endpoint->md5_etags = S3_YES;
    assert_int_equal(prove(INTEGRITY_MD5, "opaque"), INTEGRITY_MD5);
    assert_int_equal(made.endpoint->md5_etags, S3_YES);
    made.endpoint->md5_etags = S3_UNKNOWN;
    assert_int_equal(prove(INTEGRITY_MD5, "opaque"), INTEGRITY_MD5);
    assert_int_equal(made.endpoint->md5_etags, S3_UNKNOWN);
}

static void assert_etag_fails(void) {
    if (!made.op)
        s3_op_fixture_use("http://plain.example");
    assert_int_equal(prove(INTEGRITY_MD5, "0102030405060708090a0b0c0d0e0f10"), INTEGRITY_UNKNOWN);
    assert_string_equal(made.f->task.result.error, "the store's ETag is not the MD5 of the bytes sent");
    assert_int_equal(made.f->task.result.class, FAIL_INTEGRITY);
    assert_true(made.f->task.result.transient);
}

static void test_an_etag_of_other_bytes_is_a_failure(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    made.endpoint->md5_etags = S3_YES;
    assert_etag_fails();
    assert_etag_fails();
    assert_int_equal(prove(INTEGRITY_MD5, MD5_HEX), INTEGRITY_MD5);
    assert_etag_fails();
    assert_etag_fails();
    assert_int_equal(made.endpoint->md5_etags, S3_YES);
    assert_etag_fails(); /* three in a row: the store has changed its ETags */
    assert_int_equal(made.endpoint->md5_etags, S3_NO);
    assert_int_equal(prove(INTEGRITY_MD5, "opaque"), INTEGRITY_NONE);
}

static void test_a_streamed_md5_is_proved_by_its_etag_only(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_NO);
    made.endpoint->md5_etags = S3_YES;
    made.op->streams_md5 = true;
    made.op->method = INTEGRITY_MD5;
    assert_int_equal(s3_digest_begin(made.op), 0);
    assert_int_equal(s3_digest_add(made.op, "abc", 3), 0);
    assert_int_equal(prove(INTEGRITY_MD5, "900150983cd24fb0d6963f7d28e17f72"), INTEGRITY_MD5);
    assert_int_equal(s3_digest_begin(made.op), 0);
    assert_int_equal(s3_digest_add(made.op, "abd", 3), 0);
    assert_int_equal(prove(INTEGRITY_MD5, "900150983cd24fb0d6963f7d28e17f72"), INTEGRITY_UNKNOWN);
}

static void test_a_proof_that_was_asked_for_must_be_given(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    s3_op_fixture_s3()->integrity = INTEGRITY_NONE;
    assert_int_equal(prove(INTEGRITY_NONE, "x"), INTEGRITY_NONE);
    made.op->url.https = true;
    assert_int_equal(prove(INTEGRITY_NONE, "x"), INTEGRITY_TLS); /* more than was asked for */
    made.op->url.https = false;
    s3_op_fixture_s3()->integrity = INTEGRITY_MD5;
    assert_int_equal(prove(INTEGRITY_MD5, MD5_HEX), INTEGRITY_MD5);
    made.endpoint->md5_etags = S3_NO;
    assert_int_equal(prove(INTEGRITY_MD5, "opaque"), INTEGRITY_UNKNOWN);
    assert_non_null(strstr(made.f->task.result.error, "--integrity md5: the store at http://plain.example"));
}

static const char *log_of_proof(void) {
    static struct capture shown;
    log_setup("chunklift", LOG_WARN, false);
    capture_begin(&shown, STDERR_FILENO);
    enum integrity found = prove(INTEGRITY_NONE, "x");
    const char *text = capture_end(&shown);
    log_setup("chunklift", LOG_ERROR, false);
    assert_int_equal(found, made.op->url.https ? INTEGRITY_TLS : INTEGRITY_NONE);
    return text;
}

static void test_the_lack_of_a_proof_is_a_warning(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    assert_non_null(strstr(log_of_proof(), "http://plain.example: nothing shows that bytes arrive as they were sent"));
    assert_string_equal(log_of_proof(), ""); /* once */
    made.endpoint->logged_integrity = INTEGRITY_UNKNOWN;
    s3_op_fixture_s3()->integrity = INTEGRITY_NONE; /* as the user wants it */
    assert_string_equal(log_of_proof(), "");
    s3_op_destroy(made.op);
    s3_op_fixture_s3()->integrity = INTEGRITY_UNKNOWN;
    s3_op_fixture_use("https://tls.example");
    assert_string_equal(log_of_proof(), "");
}

UNIT_MAIN(TEST(test_a_refused_probe_shows_that_the_digest_is_verified),
          TEST(test_a_refusal_for_another_reason_shows_no_check), TEST(test_an_error_of_the_store_shows_nothing),
          TEST(test_an_accepted_probe_shows_the_kind_of_etags), TEST(test_a_part_that_probes_shows_the_kind_of_etags),
          TEST(test_a_refused_probe_shows_no_kind_of_etags), TEST(test_a_verified_digest_is_a_proof),
          TEST(test_a_digest_that_was_dropped_is_no_proof), TEST(test_tls_is_the_proof_without_a_digest),
          TEST(test_the_first_etags_show_their_kind), TEST(test_a_verified_md5_needs_no_etag),
          TEST(test_an_etag_of_other_bytes_is_a_failure), TEST(test_a_streamed_md5_is_proved_by_its_etag_only),
          TEST(test_a_proof_that_was_asked_for_must_be_given), TEST(test_the_lack_of_a_proof_is_a_warning))
