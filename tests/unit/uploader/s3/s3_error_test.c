#include "unit.h"

#include "uploader/s3/error.h"
#include "uploader/s3/replies.h"

static struct s3_error read_reply(long status, const char *headers, const char *body) {
    struct buf lines = BUF_INIT;
    struct s3_error e;
    assert_int_equal(buf_addf(&lines, "HTTP/1.1 %ld x\r\n%s\r\n", status, headers), 0);
    struct http_reply r = {.connected = true, .status = status, .body = slice_of(body), .headers = &lines};
    bool is_error = s3_error_from_reply(&r, 784111770, &e);
    assert_true(is_error == (e.text[0] != 0));
    buf_release(&lines);
    return e;
}

static struct s3_error of_code(long status, const char *code) {
    char body[256];
    snprintf(body, sizeof body, "<Error><Code>%s</Code><Message>m</Message></Error>", code);
    return read_reply(status, "", body);
}

static void test_table(void **state) {
    (void)state;
    static const struct {
        long status;
        const char *code;
        enum fail_class class;
        bool transient, throttled;
    } cases[] = {
        {500, "InternalError", FAIL_OUTAGE, true, false},
        {502, "", FAIL_OUTAGE, true, false},
        {503, "", FAIL_OUTAGE, true, true},
        {504, "", FAIL_OUTAGE, true, false},
        {503, "SlowDown", FAIL_OUTAGE, true, true},
        {429, "TooManyRequests", FAIL_OUTAGE, true, true},
        {400, "ThrottlingException", FAIL_OUTAGE, true, true},
        {400, "RequestTimeout", FAIL_OUTAGE, true, false},
        {409, "OperationAborted", FAIL_OUTAGE, true, false},
        {403, "AccessDenied", FAIL_DENIED, false, false},
        {403, "InvalidAccessKeyId", FAIL_DENIED, false, false},
        {403, "SignatureDoesNotMatch", FAIL_DENIED, false, false},
        {403, "", FAIL_DENIED, false, false},
        {403, "RequestTimeTooSkewed", FAIL_CLOCK, false, false},
        {403, "QuotaExceeded", FAIL_FULL, false, false},
        {507, "XMinioStorageFull", FAIL_FULL, false, false},
        {404, "NoSuchBucket", FAIL_NO_BUCKET, false, false},
        {400, "EntityTooLarge", FAIL_REQUEST, false, false},
        {400, "EntityTooSmall", FAIL_REQUEST, false, false},
        {400, "InvalidArgument", FAIL_REQUEST, false, false},
        {400, "KeyTooLongError", FAIL_REQUEST, false, false},
        {400, "BadDigest", FAIL_INTEGRITY, true, false},
        {400, "XAmzContentChecksumMismatch", FAIL_INTEGRITY, true, false},
        {200, "InternalError", FAIL_OUTAGE, true, false},
        {200, "SomethingNew", FAIL_OUTAGE, true, false},
        {418, "", FAIL_REQUEST, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_error e = of_code(cases[i].status, cases[i].code);
        assert_int_equal(e.class, cases[i].class);
        assert_true(e.transient == cases[i].transient);
        assert_true(e.throttled == cases[i].throttled);
    }
    assert_true(of_code(400, "ExpiredToken").expired);
    assert_true(of_code(404, "NoSuchUpload").gone);
    assert_false(of_code(404, "NoSuchUpload").transient);
    assert_true(of_code(400, "BadDigest").bad_checksum);
    assert_true(of_code(500, "InternalError").doubt);
    assert_true(of_code(200, "InternalError").doubt);
    assert_false(of_code(503, "SlowDown").doubt);
}

static void test_good_replies(void **state) {
    (void)state;
    assert_string_equal(read_reply(200, "", "").text, "");
    assert_string_equal(read_reply(204, "", "").text, "");
    assert_string_equal(read_reply(200, "", "<ListPartsResult/>").text, "");
}

static void test_text(void **state) {
    (void)state;
    assert_string_equal(
        read_reply(503, "", "<Error><Code>SlowDown</Code><Message>Please reduce.</Message></Error>").text,
        "503 SlowDown: Please reduce.");
    assert_string_equal(read_reply(403, "", "").text, "403 Forbidden");
    assert_string_equal(read_reply(502, "", "<html>oops</html>").text, "502 Bad Gateway");
    assert_string_equal(read_reply(400, "", "<Error><Code>X</Code><Message>a\nb</Message></Error>").text,
                        "400 X: a\\nb");
    const char *skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>Too far.</Message>"
                         "<ServerTime>2026-11-21T08:40:00Z</ServerTime></Error>";
    assert_string_equal(read_reply(403, "", skewed).text,
                        "403 RequestTimeTooSkewed: Too far. The clock of the store shows 2026-11-21T08:40:00Z");
}

static void test_waiting(void **state) {
    (void)state;
    assert_int_equal(read_reply(503, "Retry-After: 3\r\n", "").retry_after_ms, 3000);
    assert_int_equal(read_reply(503, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "").retry_after_ms, 7000);
    assert_int_equal(read_reply(503,
                                "Date: Sun, 06 Nov 1994 08:49:35 GMT\r\n"
                                "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                                "")
                         .retry_after_ms,
                     2000);
    assert_int_equal(read_reply(503, "Retry-After: 3\r\nx-amz-retry-after: 250\r\n", "").retry_after_ms, 250);
}

static void test_region(void **state) {
    (void)state;
    const char *body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
    assert_string_equal(read_reply(400, "", body).region, "eu-west-1");
    assert_string_equal(read_reply(301, "x-amz-bucket-region: ap-south-1\r\n", "").region, "ap-south-1");
    assert_string_equal(read_reply(403, "x-amz-bucket-region: ap-south-1\r\n", "").region, "");
    assert_string_equal(read_reply(301, "x-amz-bucket-region: a:b\r\n", "").region, "");
}

static void test_no_reply(void **state) {
    (void)state;
    struct s3_error e;
    struct http_reply r = {.error = ERR_UNREACHABLE, .message = "Could not resolve host: x"};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_true(e.transient && e.never_connected && !e.doubt);
    assert_int_equal(e.class, FAIL_UNREACHABLE);
    assert_string_equal(e.text, "Could not resolve host: x");
    r = (struct http_reply){.error = ERR_IO, .connected = true, .message = "Recv failure"};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_true(e.transient && !e.never_connected && e.doubt);
    r.message[0] = 0;
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_string_equal(e.text, err_text(ERR_IO));
    r = (struct http_reply){.error = ERR_DENIED, .message = "certificate problem"};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_false(e.transient);
}

/* Only these errors cause a repetition without optional headers. */
static void test_what_may_be_a_headers_fault(void **state) {
    (void)state;
    static const struct {
        long status;
        const char *code;
        bool may;
    } cases[] = {
        {400, "InvalidArgument", true},
        {400, "SomethingNew", true},
        {400, "MalformedXML", true},
        {403, "AccessDenied", true},
        {403, "", true},
        {403, "SignatureDoesNotMatch", true},
        {405, "", true},
        {501, "NotImplemented", true},
        {404, "", false},
        {404, "NoSuchUpload", false},
        {404, "NoSuchBucket", false},
        {400, "BadDigest", false},
        {400, "EntityTooSmall", false},
        {400, "InvalidPart", false},
        {400, "ExpiredToken", false},
        {403, "InvalidAccessKeyId", false},
        {403, "QuotaExceeded", false},
        {403, "RequestTimeTooSkewed", false},
        {400, "XAmzContentSHA256Mismatch", false},
        {429, "", false},
        {500, "InternalError", false},
        {503, "SlowDown", false},
        {412, "PreconditionFailed", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_error e = of_code(cases[i].status, cases[i].code);
        if (s3_error_may_be_due_to_header(&e) != cases[i].may)
            fail_msg("%ld %s", cases[i].status, cases[i].code);
    }
}

static void test_what_stands_between_is_named(void **state) {
    (void)state;
    struct s3_error e = read_reply(407, "", "<html>no</html>");
    assert_int_equal(e.class, FAIL_DENIED);
    assert_non_null(strstr(e.text, "407 Proxy Authentication Required: the proxy wants a user name"));
    e = read_reply(307, "location: http://u:p@other.example:8080/b/k?X-Amz-Signature=s\r\n", "");
    assert_false(e.transient);
    assert_string_equal(e.text,
                        "307 Temporary Redirect, to http://***@other.example:8080: redirects are not followed; is "
                        "the --endpoint-url right?");
    e = read_reply(302, "location: /login\r\n", "");
    assert_string_equal(e.text, "302 Found: redirects are not followed; is the --endpoint-url right?");
    struct http_reply r = {.error = ERR_IO, .message = "CONNECT tunnel failed, response 407", .proxy_status = 407};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_false(e.transient);
    assert_non_null(strstr(e.text, "user name and a password"));
    r.proxy_status = 502;
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_true(e.transient);
    assert_non_null(strstr(e.text, "of the proxy in https_proxy"));
    r = (struct http_reply){.error = ERR_DENIED, .message = "SSL certificate problem", .unknown_issuer = true};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_false(e.transient);
    assert_non_null(strstr(e.text, "AWS_CA_BUNDLE=FILE"));
    r.unknown_issuer = false; /* another problem than the issuer: expired, or for another host */
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_null(strstr(e.text, "AWS_CA_BUNDLE"));
}

static void test_a_region_comes_with_some_statuses(void **state) {
    (void)state;
    static const long with[] = {301, 307, 400}, without[] = {302, 308, 403, 404};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        assert_string_equal(read_reply(with[i], "x-amz-bucket-region: r\r\n", "").region, "r");
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        assert_string_equal(read_reply(without[i], "x-amz-bucket-region: r\r\n", "").region, "");
    assert_string_equal(read_reply(400, "x-amz-bucket-region: r\r\n", "<Error><Region>s</Region></Error>").region, "r");
}

static struct s3_error of_proxy(long status) {
    struct s3_error e;
    struct http_reply r = {.error = ERR_UNREACHABLE, .message = "m", .proxy_status = status};
    assert_true(s3_error_from_reply(&r, 0, &e));
    return e;
}

static void test_a_proxy_that_refuses_is_this_hosts(void **state) {
    (void)state;
    static const long refusals[] = {400, 403, 407, 499, 501}, passing[] = {0, 399, 408, 429, 500, 502, 503};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct s3_error e = of_proxy(refusals[i]);
        assert_false(e.transient);
        assert_int_equal(e.own, OWN_SURE);
    }
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        struct s3_error e = of_proxy(passing[i]);
        assert_true(e.transient);
        assert_int_equal(e.own, OWN_NO);
    }
    assert_string_equal(of_proxy(0).text, "m");
}

static void test_errors_of_this_host(void **state) {
    (void)state;
    assert_int_equal(read_reply(401, "", "").own, OWN_SURE);
    assert_int_equal(read_reply(403, "", "").own, OWN_MAYBE);
    assert_int_equal(read_reply(404, "", "").own, OWN_NO);
    assert_int_equal(of_code(403, "InvalidAccessKeyId").own, OWN_SURE);
    assert_int_equal(of_code(403, "AccessDenied").own, OWN_MAYBE);
    assert_true(of_code(403, "SignatureDoesNotMatch").keys_refused);
    assert_false(of_code(403, "AccessDenied").keys_refused);
    struct s3_error e;
    struct http_reply r = {.error = ERR_DENIED, .message = "m"};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_int_equal(e.own, OWN_SURE);
    assert_int_equal(e.class, FAIL_UNREACHABLE);
    r = (struct http_reply){.error = ERR_INVALID, .message = "m"};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_int_equal(e.class, FAIL_REQUEST);
    assert_false(e.transient);
    r = (struct http_reply){.error = ERR_IO, .timed_out = true};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_true(e.timed_out && e.transient && !e.doubt && !e.broken);
    assert_int_equal(e.class, FAIL_OUTAGE);
    assert_string_equal(e.text, err_text(ERR_IO)); /* without a message */
    r = (struct http_reply){.error = ERR_IO, .connected = true};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_true(e.broken && e.doubt && !e.never_connected);
    r = (struct http_reply){.error = ERR_UNREACHABLE};
    assert_true(s3_error_from_reply(&r, 0, &e));
    assert_true(!e.broken && e.never_connected);
}

static void test_only_2xx_without_an_error_is_good(void **state) {
    (void)state;
    assert_string_equal(read_reply(299, "", "").text, "");
    assert_string_equal(read_reply(199, "", "").text, "199 error without explanation");
    assert_string_equal(read_reply(300, "location: x\r\n", "").text,
                        "300 error without explanation: redirects are not followed; is the --endpoint-url right?");
    struct s3_error e = read_reply(299, "", "<Error><Code>New</Code></Error>");
    assert_true(e.doubt);
    e = read_reply(403, "", "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    assert_null(strstr(e.text, "The clock of the store"));
    e = read_reply(403, "", "<Error><Code>AccessDenied</Code><ServerTime>2026</ServerTime></Error>");
    assert_null(strstr(e.text, "The clock of the store"));
}

static struct s3_error of_entry(const char *code, const char *message) {
    struct s3_error_reply entry = {{0}};
    struct s3_error e;
    snprintf(entry.code, sizeof entry.code, "%s", code);
    snprintf(entry.message, sizeof entry.message, "%s", message);
    s3_error_from_entry(&entry, &e);
    assert_int_equal(e.status, 0);
    return e;
}

static void test_an_entry_has_the_meaning_of_its_code(void **state) {
    (void)state;
    struct s3_error e = of_entry("AccessDenied", "not\nyou");
    assert_true(e.class == FAIL_DENIED && e.own == OWN_MAYBE && !e.transient);
    assert_string_equal(e.text, "AccessDenied: not\\nyou");
    e = of_entry("SlowDown", "");
    assert_true(e.transient && e.throttled);
    assert_string_equal(e.text, "SlowDown");
    assert_true(of_entry("InternalError", "").transient);
    assert_int_equal(of_entry("NoSuchBucket", "").class, FAIL_NO_BUCKET);
}

/* A reply with status 200 and an unknown error as a whole is tried again; an entry is not. */
static void test_an_entry_with_an_unknown_code_is_final(void **state) {
    (void)state;
    struct s3_error e = of_entry("ObjectLocked", "");
    assert_true(e.class == FAIL_REQUEST && e.own == OWN_NO && !e.transient);
    assert_false(of_entry("", "").transient);
    assert_string_equal(of_entry("", "").text, "error without explanation");
}

UNIT_MAIN(cmocka_unit_test(test_an_entry_has_the_meaning_of_its_code),
          cmocka_unit_test(test_an_entry_with_an_unknown_code_is_final),
          cmocka_unit_test(test_what_may_be_a_headers_fault), cmocka_unit_test(test_table),
          cmocka_unit_test(test_good_replies), cmocka_unit_test(test_text), cmocka_unit_test(test_waiting),
          cmocka_unit_test(test_region), cmocka_unit_test(test_no_reply),
          cmocka_unit_test(test_what_stands_between_is_named), cmocka_unit_test(test_a_region_comes_with_some_statuses),
          cmocka_unit_test(test_a_proxy_that_refuses_is_this_hosts), cmocka_unit_test(test_errors_of_this_host),
          cmocka_unit_test(test_only_2xx_without_an_error_is_good))
