/* An endpoint that was written with http:// and speaks TLS, or the reverse. The linker wraps http_start (tests.cmake):
 * the probe is not sent, and each test gives the reply to it. */
#include "unit.h"

#include "uploader/s3/scheme.h"
#include <stdlib.h>

static struct {
    char url[300];
    unsigned count;
    int error; /* of the next start */
    bool fresh;
    void (*done)(void *arg, const struct http_reply *reply);
    void *arg;
} probe;

int __wrap_http_start(struct http *h, const struct http_request *r, struct http_transfer **out);

int __wrap_http_start(struct http *h, const struct http_request *r, struct http_transfer **out) {
    (void)h;
    *out = NULL;
    if (probe.error)
        return probe.error;
    probe.count++;
    snprintf(probe.url, sizeof probe.url, "%s %s", r->method, r->url);
    probe.fresh = r->fresh_connection;
    probe.done = r->done;
    probe.arg = r->arg;
    *out = (struct http_transfer *)&probe; /* only its presence counts */
    return 0;
}

void task_done(struct task *t) {
    (void)t;
}

static struct s3 s3;
static struct s3_op op;
static char endpoint_url[400];

static void use_endpoint(const char *url) {
    char why[200];
    snprintf(endpoint_url, sizeof endpoint_url, "%s", url);
    struct target t = {.dest = slice_of("s3://bucket/key"), .endpoint = slice_of(endpoint_url)};
    op = (struct s3_op){.s3 = &s3};
    assert_int_equal(s3_object_url_init(&op.url, &t, S3_ADDRESSING_AUTO, true, why, sizeof why), 0);
}

static int setup(void **state) {
    (void)state;
    memset(&probe, 0, sizeof probe);
    s3 = (struct s3){.http = NULL};
    use_endpoint("https://store.example:99/base");
    return s3_capabilities_new(&s3.capabilities);
}

static int teardown(void **state) {
    (void)state;
    free(s3.scheme_probed);
    s3_capabilities_destroy(&s3.capabilities);
    return 0;
}

/* Takes a reply that is an error with this code. True: it became transient. */
static bool take_error(struct http_reply r, const char *code) {
    struct s3_error e = {.status = r.status};
    snprintf(e.code, sizeof e.code, "%s", code);
    s3_scheme_take_reply(&op, &r, &e);
    return e.transient;
}

static bool take(struct http_reply r) {
    return take_error(r, "");
}

static void answer_probe(struct http_reply r) {
    probe.done(probe.arg, &r);
}

static const struct http_reply tls_failure = {.error = ERR_UNREACHABLE, .tls_failed = true};
static const struct http_reply bare_400 = {.status = 400};

/* The line for the user; NULL: the scheme is not known to be wrong. */
static const char *wrong(void) {
    static char why[S3_URL_MAX];
    return s3_scheme_is_wrong(&op, why, sizeof why) ? why : NULL;
}

static void test_a_failed_handshake_is_probed_without_tls(void **state) {
    (void)state;
    assert_true(take(tls_failure)); /* until the probe is answered */
    assert_string_equal(probe.url, "GET http://store.example:99/");
    assert_true(probe.fresh);
    assert_null(wrong());
    answer_probe((struct http_reply){.status = 403});
    assert_string_equal(wrong(), "store.example:99 does not speak TLS; write the endpoint URL with http://");
}

static void test_a_server_that_speaks_tls_is_probed_with_tls(void **state) {
    (void)state;
    use_endpoint("http://store.example");
    assert_true(take(bare_400));
    assert_string_equal(probe.url, "GET https://store.example/");
    answer_probe((struct http_reply){.status = 200});
    assert_string_equal(wrong(), "store.example speaks TLS; write the endpoint URL with https://");
}

/* The failures with http:// that a TLS server causes: a reset, a TLS alert read as HTTP/0.9, an unexplained 400. */
static void test_only_some_failures_of_http_are_suspicious(void **state) {
    (void)state;
    static const struct {
        struct http_reply reply;
        const char *code;
        bool suspicious;
    } cases[] = {
        {{.error = ERR_IO, .connected = true}, "", true},
        {{.error = ERR_INVALID, .connected = true}, "", true},
        {{.error = ERR_IO}, "", false},
        {{.error = ERR_UNREACHABLE, .connected = true}, "", false},
        {{.error = ERR_UNREACHABLE}, "", false},
        {{.error = ERR_IO, .tls_failed = true}, "", false},
        {{.status = 400}, "", true},
        {{.status = 400}, "InvalidRequest", false},
        {{.status = 403}, "", false},
        {{.status = 500}, "InternalError", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char url[40];
        snprintf(url, sizeof url, "http://store-%zu.example", i);
        use_endpoint(url);
        probe.count = 0;
        assert_int_equal(take_error(cases[i].reply, cases[i].code), cases[i].suspicious);
        assert_int_equal(probe.count, cases[i].suspicious);
        if (probe.count)
            answer_probe((struct http_reply){.error = ERR_UNREACHABLE});
        assert_null(wrong());
    }
}

static void test_only_a_failed_handshake_of_https_is_suspicious(void **state) {
    (void)state;
    assert_false(take((struct http_reply){.error = ERR_IO, .connected = true}));
    assert_false(take((struct http_reply){.error = ERR_DENIED}));
    assert_int_equal(probe.count, 0);
    assert_true(take(tls_failure));
}

/* A TLS server may answer 400 to plain HTTP. */
static void test_what_proves_that_a_server_speaks_http(void **state) {
    (void)state;
    static const struct http_reply silent[] = {{.status = 400}, {.error = ERR_IO, .connected = true}};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        char url[40];
        snprintf(url, sizeof url, "https://store-%zu.example", i);
        use_endpoint(url);
        assert_true(take(tls_failure));
        answer_probe(silent[i]);
        assert_null(wrong());
    }
}

static void test_what_proves_that_a_server_speaks_tls(void **state) {
    (void)state;
    static const struct {
        struct http_reply reply;
        bool proves;
    } cases[] = {
        {{.status = 400}, true},
        {{.error = ERR_IO, .connected = true}, true},
        {{.error = ERR_DENIED}, true}, /* its certificate is not trusted */
        {{.error = ERR_UNREACHABLE}, false},
        {{.error = ERR_IO}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char url[40];
        snprintf(url, sizeof url, "http://store-%zu.example", i);
        use_endpoint(url);
        assert_true(take(bare_400));
        answer_probe(cases[i].reply);
        assert_int_equal(wrong() != NULL, cases[i].proves);
    }
}

static void test_an_endpoint_that_answered_is_not_probed(void **state) {
    (void)state;
    s3_scheme_take_reply(&op, &(struct http_reply){.status = 200}, NULL);
    assert_false(take(tls_failure));
    use_endpoint("http://store.example");
    assert_false(take_error((struct http_reply){.status = 404}, "NoSuchKey")); /* an error is an answer, too */
    assert_false(take(bare_400));
    assert_int_equal(probe.count, 0);
    assert_null(wrong());
}

static void test_a_failure_is_no_answer(void **state) {
    (void)state;
    assert_false(take((struct http_reply){.error = ERR_UNREACHABLE}));
    assert_true(take(tls_failure));
    assert_int_equal(probe.count, 1);
}

static void test_an_endpoint_is_probed_once(void **state) {
    (void)state;
    assert_true(take(tls_failure));
    assert_true(take(tls_failure)); /* the probe is in flight */
    assert_int_equal(probe.count, 1);
    answer_probe((struct http_reply){.error = ERR_UNREACHABLE});
    assert_false(take(tls_failure)); /* it showed nothing */
    assert_int_equal(probe.count, 1);
}

static void test_one_probe_is_in_flight(void **state) {
    (void)state;
    assert_true(take(tls_failure));
    use_endpoint("https://other.example");
    assert_true(take(tls_failure)); /* waits for its turn */
    assert_int_equal(probe.count, 1);
    answer_probe((struct http_reply){.status = 200});
    assert_null(wrong()); /* that was the other endpoint */
    assert_true(take(tls_failure));
    assert_string_equal(probe.url, "GET http://other.example/");
    use_endpoint("https://store.example:99/base");
    assert_non_null(wrong());
    assert_false(take(tls_failure));
}

static void test_a_probe_that_cannot_be_sent_changes_nothing(void **state) {
    (void)state;
    probe.error = ERR_NOMEM;
    assert_false(take(tls_failure));
    assert_null(s3.scheme_probe);
    assert_null(wrong());
}

static void test_a_long_host_is_cut(void **state) {
    (void)state;
    char url[300] = "http://", expected[260];
    memset(url + 7, 'h', 201);
    use_endpoint(url);
    assert_true(take(bare_400));
    answer_probe((struct http_reply){.status = 200});
    snprintf(expected, sizeof expected, "%.200s speaks TLS", url + 7);
    assert_memory_equal(wrong(), expected, strlen(expected));
    url[7 + 200] = 0;
    use_endpoint(url);
    assert_true(take(bare_400));
    answer_probe((struct http_reply){.status = 200});
    assert_memory_equal(wrong(), expected, strlen(expected));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_failed_handshake_is_probed_without_tls), TEST(test_a_server_that_speaks_tls_is_probed_with_tls),
          TEST(test_only_some_failures_of_http_are_suspicious),
          TEST(test_only_a_failed_handshake_of_https_is_suspicious), TEST(test_what_proves_that_a_server_speaks_http),
          TEST(test_what_proves_that_a_server_speaks_tls), TEST(test_an_endpoint_that_answered_is_not_probed),
          TEST(test_a_failure_is_no_answer), TEST(test_an_endpoint_is_probed_once), TEST(test_one_probe_is_in_flight),
          TEST(test_a_probe_that_cannot_be_sent_changes_nothing), TEST(test_a_long_host_is_cut))
