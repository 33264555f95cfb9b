/* The header lines of a request as a server sees them: signed, and without those that libcurl would add. */
#include "http_server.h"

#include "system/clock.h"
#include "uploader/http/http.h"
#include "uploader/http/http_internal.h"
#include "uploader/http/sigv4.h"
#include <time.h>

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

struct client {
    struct http_server server;
    struct http *http;
    unsigned done;
    char url[128];
};

static int client_setup(void **state) {
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, OK_EMPTY, OK_EMPTY, NULL};
    struct client *c = calloc(1, sizeof *c);
    if (!c || http_new(&c->http, &(struct http_options){.connect_timeout_ms = 10000}))
        return -1;
    http_server_start(&c->server, replies);
    snprintf(c->url, sizeof c->url, "%s/b/k%%20%%2B?a=&b=1", c->server.url);
    *state = c;
    return 0;
}

static int client_teardown(void **state) {
    struct client *c = *state;
    http_destroy(&c->http);
    http_server_stop(&c->server);
    free(c);
    return 0;
}

static void client_done(void *arg, const struct http_reply *r) {
    struct client *c = arg;
    assert_int_equal(r->error, 0);
    assert_int_equal(r->status, 200);
    c->done++;
}

static int client_start(struct client *c, const struct http_credentials *k, const char *const *headers) {
    struct http_transfer *t;
    struct http_request r = {.method = "PUT",
                             .url = c->url,
                             .headers = headers,
                             .credentials = k,
                             .text = slice_of("body"),
                             .body_length = 4,
                             .done = client_done,
                             .arg = c};
    return http_start(c->http, &r, &t);
}

/* Returns the head of the request. */
static const char *client_put(struct client *c, const struct http_credentials *k, const char *const *headers) {
    unsigned before = c->done;
    uint64_t deadline_ms = clock_ms() + 10000;
    assert_int_equal(client_start(c, k, headers), 0);
    for (http_perform(c->http); c->done == before; http_perform(c->http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(c->http, NULL, 0, 50);
    }
    assert_int_equal(buf_add_byte(&c->server.requests[before], '\0'), 0);
    return c->server.requests[before].data;
}

/* The value of a header that occurs exactly once; copied to out. */
static const char *head_value(const char *head, const char *name, char *out, size_t size) {
    char start[64];
    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *found = strstr(head, start);
    assert_non_null(found);
    found += strlen(start);
    assert_null(strstr(found, start));
    snprintf(out, size, "%.*s", (int)strcspn(found, "\r"), found);
    return out;
}

/* The signature that a server computes from the head that it got. */
static void assert_signed(struct client *c, const char *head, const struct http_credentials *k,
                          const char *const *headers, const char *hash) {
    struct slice lines[SIGV4_HEADERS_MAX];
    char date[64], host[128], authorization[1024], stamp[16];
    struct tm utc = {0};
    struct sigv4 *signer;
    struct sigv4_result result;
    size_t count = 0;
    for (; headers[count]; count++)
        lines[count] = slice_of(headers[count]);
    assert_non_null(strptime(head_value(head, "x-amz-date", date, sizeof date), "%Y%m%dT%H%M%SZ", &utc));
    assert_in_range(clock_real_us() / 1000000 - timegm(&utc), 0, 20);
    snprintf(stamp, sizeof stamp, ":%u", c->server.port);
    assert_non_null(strstr(head_value(head, "Host", host, sizeof host), stamp));
    assert_int_equal(sigv4_new(&signer), 0);
    struct sigv4_request r = {.method = "PUT",
                              .host = slice_of(host),
                              .path = slice_of("/b/k%20%2B"),
                              .query = slice_of("a=&b=1"),
                              .headers = lines,
                              .header_count = count,
                              .payload_hash = slice_of(hash),
                              .access_key = k->access_key,
                              .secret_key = k->secret_key,
                              .region = k->region,
                              .service = k->service ? k->service : "s3",
                              .time_s = timegm(&utc)};
    assert_int_equal(sigv4_sign(signer, &r, &result), 0);
    assert_string_equal(head_value(head, "Authorization", authorization, sizeof authorization),
                        result.authorization.ptr);
    sigv4_destroy(&signer);
}

static void test_the_signature_is_over_all_header_lines(void **state) {
    struct client *c = *state;
    const struct http_credentials k = {"test:tester", "secret-word", NULL, "eu-west-1"};
    const char *const plain[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", "x-amz-meta-b: 1", "x-amz-meta-a: 2", NULL};
    const char *const hashed[] = {"x-amz-meta-a: 2", "X-AMZ-CONTENT-SHA256:  abc", NULL};
    const char *head = client_put(c, &k, plain);
    assert_signed(c, head, &k, plain, "UNSIGNED-PAYLOAD");
    assert_non_null(strstr(head, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-b, "));
    assert_null(strstr(head, "security-token"));
    assert_signed(c, client_put(c, &k, hashed), &k, hashed, "abc");
}

static void test_the_session_token_is_sent_and_signed(void **state) {
    struct client *c = *state;
    const struct http_credentials k = {"key", "secret-word", "token-word", "eu-west-1"};
    const struct http_credentials empty = {"key", "secret-word", "", "eu-west-1"};
    const char *const sent[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", NULL};
    const char *const with_token[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", "x-amz-security-token: token-word",
                                      NULL};
    const char *head = client_put(c, &k, sent);
    assert_signed(c, head, &k, with_token, "UNSIGNED-PAYLOAD");
    assert_non_null(strstr(head, "\r\nx-amz-security-token: token-word\r\n"));
    assert_null(strstr(head, "secret-word"));
    head = client_put(c, &empty, sent); /* on the same handle */
    assert_signed(c, head, &empty, sent, "UNSIGNED-PAYLOAD");
    assert_null(strstr(head, "security-token"));
    assert_null(strstr(head, "token-word"));
}

static void test_a_request_can_be_for_another_service(void **state) {
    struct client *c = *state;
    const struct http_credentials k = {"key", "secret-word", "token-word", "eu-west-1", "sts"};
    const char *const sent[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", NULL};
    const char *const with_token[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", "x-amz-security-token: token-word",
                                      NULL};
    const char *head = client_put(c, &k, sent);
    assert_signed(c, head, &k, with_token, "UNSIGNED-PAYLOAD");
    assert_non_null(strstr(head, "/eu-west-1/sts/aws4_request, "));
}

static void test_libcurl_adds_neither_expect_nor_accept(void **state) {
    struct client *c = *state;
    const struct http_credentials k = {"key", "secret", NULL, "eu-west-1"};
    const char *const sent[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", NULL};
    for (int i = 0; i < 2; i++) {
        const char *head = client_put(c, i ? &k : NULL, i ? sent : NULL);
        assert_null(strcasestr(head, "\r\nexpect"));
        assert_null(strcasestr(head, "\r\naccept"));
        assert_non_null(strstr(head, "\r\nUser-Agent: chunklift/"));
        assert_non_null(strstr(head, "\r\nHost: "));
        assert_non_null(strstr(head, "\r\nContent-Length: 4\r\n"));
        assert_non_null(strstr(head, " HTTP/1.1\r\n"));
    }
}

static void test_a_signed_request_needs_its_payload_hash(void **state) {
    struct client *c = *state;
    const struct http_credentials k = {"key", "secret", NULL, "eu-west-1"};
    const char *const other[] = {"x-amz-content-sha: 1", "x-amz-content-sha256-x: 1", NULL};
    const char *const empty[] = {"x-amz-content-sha256: ", NULL}, *const bare[] = {"x-amz-content-sha256:", NULL};
    assert_int_equal(client_start(c, &k, NULL), ERR_INVALID);
    assert_int_equal(client_start(c, &k, other), ERR_INVALID);
    assert_int_equal(client_start(c, &k, empty), ERR_INVALID);
    assert_int_equal(client_start(c, &k, bare), ERR_INVALID);
    const char *const sent[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", NULL};
    assert_signed(c, client_put(c, &k, sent), &k, sent, "UNSIGNED-PAYLOAD");
}

/* --- the lines of a transfer --- */

static void test_lines_are_listed_and_wiped(void **state) {
    (void)state;
    struct http_transfer t = {0};
    assert_null(http_headers_list(&t));
    for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++) {
        char value[200];
        snprintf(value, sizeof value, "%u%0150d", i, 0);
        assert_int_equal(http_headers_add(&t, "name: ", slice_of(value)), 0);
    }
    assert_int_equal(http_headers_add(&t, "name: ", slice_of("x")), ERR_LIMIT);
    const struct curl_slist *node = http_headers_list(&t);
    for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++, node = node->next) {
        char line[200];
        snprintf(line, sizeof line, "name: %u%0150d", i, 0);
        assert_string_equal(node->data, line);
        assert_int_equal(http_headers_line(&t, i).len, strlen(line));
        assert_ptr_equal(http_headers_line(&t, i).ptr, node->data);
    }
    assert_null(node);
    size_t len = t.lines.len;
    http_headers_clear(&t);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(t.lines.data[i], 0);
    assert_null(http_headers_list(&t));
    assert_int_equal(http_headers_add(&t, "name:", slice_of("")), 0);
    assert_string_equal(http_headers_list(&t)->data, "name:");
    assert_int_equal(http_headers_line(&t, 0).len, 5);
    http_headers_clear(&t);
    buf_release(&t.lines);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

UNIT_MAIN(TEST(test_the_signature_is_over_all_header_lines), TEST(test_the_session_token_is_sent_and_signed),
          TEST(test_a_request_can_be_for_another_service), TEST(test_libcurl_adds_neither_expect_nor_accept),
          TEST(test_a_signed_request_needs_its_payload_hash), cmocka_unit_test(test_lines_are_listed_and_wiped))
