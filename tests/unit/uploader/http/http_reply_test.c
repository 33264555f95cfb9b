/* Headers and sizes of replies, bodies in memory, proxies. */
#include "capture.h"
#include "http_server.h"

#include "system/clock.h"
#include "system/log.h"
#include "uploader/http/http.h"
#include <fcntl.h>

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct http *http;
static struct http_server server;
static struct {
    bool done;
    struct http_reply reply;
    char last[64], message[256];
    size_t header_bytes;
} call;

static void on_done(void *arg, const struct http_reply *r) {
    (void)arg;
    struct slice last = http_header(r, "x-last");
    call.done = true;
    call.reply = *r;
    call.header_bytes = r->headers->len;
    snprintf(call.last, sizeof call.last, "%.*s", (int)last.len, last.len ? last.ptr : "");
    snprintf(call.message, sizeof call.message, "%s", r->message);
}

static int setup(void **state) {
    static const char *const variables[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",   "all_proxy",
                                            "ALL_PROXY",  "no_proxy",   "NO_PROXY",    "REQUEST_METHOD"};
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    http = NULL;
    return 0;
}

static void open_with(const char *const *replies) {
    http_server_start(&server, replies);
    assert_int_equal(http_new(&http, &(struct http_options){.connect_timeout_ms = 5000, .idle_max = 4}), 0);
}

static int teardown(void **state) {
    (void)state;
    if (!http)
        return 0;
    http_destroy(&http);
    http_server_stop(&server);
    return 0;
}

static void finish(void) {
    uint64_t deadline_ms = clock_ms() + 10000;
    for (http_perform(http); !call.done; http_perform(http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(http, NULL, 0, 50);
    }
}

static const struct http_reply *run(struct http_request r) {
    struct http_transfer *t;
    memset(&call, 0, sizeof call);
    r.method = r.method ? r.method : "GET";
    r.url = r.url ? r.url : server.url;
    r.done = on_done;
    r.reply_max = r.reply_max ? r.reply_max : 1000;
    assert_int_equal(http_start(http, &r, &t), 0);
    finish();
    return &call.reply;
}

/* --- headers --- */

static struct buf lines = BUF_INIT;

static const char *value(const char *name) {
    static char text[100];
    struct http_reply r = {.headers = &lines};
    struct slice v = http_header(&r, name);
    snprintf(text, sizeof text, "%.*s", (int)v.len, v.len ? v.ptr : "");
    return text;
}

static void set_lines(const char *text) {
    buf_clear(&lines);
    assert_int_equal(buf_add_text(&lines, text), 0);
}

static void test_a_header_is_found_by_its_whole_name(void **state) {
    (void)state;
    set_lines("HTTP/1.1 200 OK\r\nx-a-b: long\r\nx-a:short\r\nX-Upper: 1\r\nx-last: end\r\n");
    assert_string_equal(value("x-a"), "short");
    assert_string_equal(value("x-a-b"), "long");
    assert_string_equal(value("x-UPPER"), "1");
    assert_string_equal(value("x"), "");
    assert_string_equal(value("x-last"), "end");
    assert_string_equal(value("missing"), "");
}

static void test_blanks_around_a_value_do_not_count(void **state) {
    (void)state;
    set_lines("a: \t two words \t\r\nb:\r\nc:   \nd: x");
    assert_string_equal(value("a"), "two words");
    assert_string_equal(value("b"), "");
    assert_string_equal(value("c"), "");
    assert_string_equal(value("d"), "x"); /* the last line has no end */
    set_lines("d:");
    assert_string_equal(value("d"), "");
    set_lines("d");
    assert_string_equal(value("d"), "");
    set_lines("");
    assert_string_equal(value("d"), "");
    assert_int_equal(http_header(&(struct http_reply){.headers = NULL}, "d").len, 0);
    buf_release(&lines);
}

/* The headers that are kept have at most 64 KiB; the reply counts all the same. */
static void test_headers_have_a_limit(void **state) {
    (void)state;
    static char reply[120000];
    const char *const replies[] = {reply, NULL};
    char line[1000];
    size_t at = (size_t)snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\n");
    memset(line, 'v', sizeof line);
    for (int i = 0; i < 90; i++)
        at += (size_t)snprintf(reply + at, sizeof reply - at, "x-%02d: %.900s\r\n", i, line);
    snprintf(reply + at, sizeof reply - at, "x-last: 1\r\nContent-Length: 2\r\n\r\nok");
    open_with(replies);
    const struct http_reply *r = run((struct http_request){0});
    assert_int_equal(r->error, 0);
    assert_int_equal(r->status, 200);
    assert_in_range(call.header_bytes, 60000, 65536);
}

/* x-last ends at the limit, or is one byte too long. */
static void headers_up_to(size_t bytes) {
    static char reply[70000];
    const char *const replies[] = {reply, NULL};
    char line[1000];
    memset(line, 'v', sizeof line);
    size_t at = (size_t)snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    while (at < bytes - 1000)
        at += (size_t)snprintf(reply + at, sizeof reply - at, "x: %.500s\r\n", line);
    at += (size_t)snprintf(reply + at, sizeof reply - at, "x-last: %.*s\r\n", (int)(bytes - at - 10), line);
    assert_int_equal(at, bytes);
    snprintf(reply + at, sizeof reply - at, "\r\n");
    open_with(replies);
    assert_int_equal(run((struct http_request){0})->status, 200);
}

static void test_headers_of_64_kib_are_kept(void **state) {
    (void)state;
    headers_up_to(65536);
    assert_int_equal(call.header_bytes, 65536);
    assert_string_not_equal(call.last, "");
    http_destroy(&http);
    http_server_stop(&server);
    headers_up_to(65537);
    assert_string_equal(call.last, "");
}

static void test_an_interim_reply_leaves_no_header(void **state) {
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 100 Continue\r\nx-last: interim\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL};
    open_with(replies);
    assert_int_equal(run((struct http_request){.method = "PUT", .text = slice_of("body"), .body_length = 4})->status,
                     200);
    assert_string_equal(call.last, "");
}

/* --- bodies in memory --- */

#define TEXT_SIZE 300000

static char *make_text(void) {
    char *text = malloc(TEXT_SIZE);
    for (size_t i = 0; i < TEXT_SIZE; i++)
        text[i] = (char)('a' + i % 26 + i / 65536);
    return text;
}

static void assert_body(unsigned request, const char *text) {
    const struct buf *got = &server.requests[request];
    const char *body = memmem(got->data, got->len, "\r\n\r\n", 4);
    assert_non_null(body);
    assert_int_equal(got->len - (size_t)(body + 4 - got->data), TEXT_SIZE);
    assert_memory_equal(body + 4, text, TEXT_SIZE);
}

static void test_a_body_in_memory_is_sent_in_order(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, NULL};
    char *text = make_text();
    open_with(replies);
    const struct http_reply *r =
        run((struct http_request){.method = "PUT", .text = slice_make(text, TEXT_SIZE), .body_length = TEXT_SIZE});
    assert_int_equal(r->status, 200);
    assert_int_equal(r->sent_bytes, TEXT_SIZE);
    assert_body(0, text);
    free(text);
}

static void test_a_body_in_memory_starts_again_on_a_new_connection(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, REPLY_CUT, OK_EMPTY, NULL};
    char *text = make_text();
    open_with(replies);
    run((struct http_request){0});
    const struct http_reply *r =
        run((struct http_request){.method = "PUT", .text = slice_make(text, TEXT_SIZE), .body_length = TEXT_SIZE});
    assert_int_equal(r->status, 200);
    assert_int_equal(r->sent_bytes, 2 * TEXT_SIZE);
    assert_body(2, text);
    free(text);
}

static ssize_t read_body(void *arg, void *out, size_t max) {
    (void)arg;
    memset(out, 'b', max);
    return (ssize_t)max;
}

static int rewind_fails(void *arg) {
    (void)arg;
    return ERR_CHANGED;
}

static void test_a_body_that_cannot_start_again_ends_the_transfer(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, REPLY_CUT, OK_EMPTY, REPLY_CUT, NULL};
    open_with(replies);
    run((struct http_request){0});
    struct http_request put = {.method = "PUT", .body_length = 1000, .read = read_body, .rewind = rewind_fails};
    assert_int_equal(run(put)->error, ERR_CHANGED);
    run((struct http_request){0});
    put.rewind = NULL;
    assert_int_equal(run(put)->error, ERR_INVALID);
}

static ssize_t read_nothing(void *arg, void *out, size_t max) {
    (void)arg, (void)out, (void)max;
    return 0;
}

static ssize_t read_again(void *arg, void *out, size_t max) {
    (void)arg, (void)out, (void)max;
    return ERR_AGAIN;
}

static void test_a_body_that_ends_early_is_a_change(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, NULL};
    open_with(replies);
    assert_int_equal(run((struct http_request){.method = "PUT", .body_length = 10, .read = read_nothing})->error,
                     ERR_CHANGED);
    /* without ready() there is nothing to wait for */
    assert_int_equal(run((struct http_request){.method = "PUT", .body_length = 10, .read = read_again})->error,
                     ERR_AGAIN);
}

static void test_progress_is_reported(void **state) {
    (void)state;
    static const char *const replies[] = {REPLY_SILENCE, NULL};
    struct http_transfer *t;
    open_with(replies);
    struct http_request r = {
        .method = "PUT", .url = server.url, .body_length = 1000, .read = read_body, .reply_max = 10, .done = on_done};
    assert_int_equal(http_start(http, &r, &t), 0);
    assert_int_equal(http_sent(t), 0);
    assert_false(http_all_sent(t));
    assert_int_equal(http_received(t), 0);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (http_perform(http); server.request_count == 0; http_perform(http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(http, NULL, 0, 10);
    }
    assert_int_equal(http_sent(t), 1000);
    assert_true(http_all_sent(t));
    assert_false(http_is_throttled(t));
    http_cancel(http, t);
}

static void test_all_bytes_of_a_reply_are_counted(void **state) {
    (void)state;
    static const char *const replies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", NULL};
    struct http_transfer *t;
    open_with(replies);
    struct http_request r = {.method = "GET", .url = server.url, .reply_max = 10, .done = on_done};
    assert_int_equal(http_start(http, &r, &t), 0);
    uint64_t deadline_ms = clock_ms() + 10000;
    for (; http_received(t) < strlen(replies[0]); http_perform(http)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(http, NULL, 0, 10);
    }
    assert_int_equal(http_received(t), strlen(replies[0]));
    http_cancel(http, t);
}

static void test_no_request_expects_an_interim_reply(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, NULL};
    open_with(replies);
    run((struct http_request){.method = "PUT", .body_length = 2000000, .read = read_body});
    assert_true(http_server_saw(&server, 0, " HTTP/1.1\r\n"));
    assert_false(http_server_saw(&server, 0, "Expect"));
}

/* --- signatures --- */

static void test_an_empty_session_token_is_none(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, NULL};
    open_with(replies);
    static const char *const headers[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", NULL};
    struct http_credentials keys = {"AK", "SK", "", "r"};
    run((struct http_request){.headers = headers, .credentials = &keys});
    assert_false(http_server_saw(&server, 0, "x-amz-security-token"));
    keys.session_token = NULL;
    run((struct http_request){.headers = headers, .credentials = &keys});
    assert_true(http_server_saw(&server, 1, "Credential=AK/"));
    assert_false(http_server_saw(&server, 1, "x-amz-security-token"));
}

/* --- proxies --- */

/* Sends a request for this URL with these variables; true: the server, as a proxy, got it. */
static bool asks_proxy(const char *lower, const char *upper, bool cgi, bool direct) {
    static const char *const replies[] = {OK_EMPTY, NULL};
    static char target_url[80];
    struct http_server target;
    http_server_start(&target, replies);
    http_server_start(&server, replies);
    snprintf(target_url, sizeof target_url, "HTTP://127.0.0.1:%u/x", target.port);
    unsetenv("http_proxy");
    if (lower)
        setenv("http_proxy", strcmp(lower, "yes") == 0 ? server.url : lower, 1);
    setenv("HTTP_PROXY", upper && strcmp(upper, "yes") == 0 ? server.url : upper ? upper : "", 1);
    if (cgi)
        setenv("REQUEST_METHOD", "GET", 1);
    else
        unsetenv("REQUEST_METHOD");
    assert_int_equal(http_new(&http, &(struct http_options){.idle_max = 4}), 0);
    run((struct http_request){.url = target_url, .direct = direct});
    assert_int_equal(call.reply.status, 200);
    http_destroy(&http);
    bool asked = server.request_count == 1;
    assert_int_equal(target.request_count, !asked);
    http_server_stop(&server);
    http_server_stop(&target);
    return asked;
}

static void test_the_proxy_of_the_environment_is_asked(void **state) {
    (void)state;
    assert_false(asks_proxy(NULL, NULL, false, false));
    assert_true(asks_proxy("yes", NULL, false, false));
    assert_true(asks_proxy(NULL, "yes", false, false));
    assert_true(asks_proxy("", "yes", false, false)); /* an empty variable is none */
    assert_true(asks_proxy("yes", "http://127.0.0.1:1", false, false));
    assert_false(asks_proxy("yes", NULL, false, true));
    assert_false(asks_proxy(NULL, "yes", false, true));
}

/* There the variable is a header of the request, "Proxy:". */
static void test_http_proxy_in_capitals_is_not_used_in_a_cgi_program(void **state) {
    (void)state;
    struct capture shown;
    log_setup("chunklift", LOG_WARN, false);
    capture_begin(&shown, STDERR_FILENO);
    bool asked = asks_proxy(NULL, "yes", true, false);
    assert_non_null(strstr(capture_end(&shown), "HTTP_PROXY is ignored because REQUEST_METHOD is set"));
    assert_false(asked);
    assert_true(asks_proxy("yes", NULL, true, false));
}

static void test_http_proxy_is_not_for_https(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, NULL};
    http_server_start(&server, replies);
    setenv("HTTP_PROXY", server.url, 1);
    assert_int_equal(http_new(&http, &(struct http_options){.idle_max = 4}), 0);
    assert_int_equal(run((struct http_request){.url = "https://127.0.0.1:1/"})->error, ERR_UNREACHABLE);
    assert_int_equal(server.request_count, 0);
}

static void test_a_proxy_that_refuses_is_named_by_its_status(void **state) {
    (void)state;
    static const char *const replies[] = {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                                          NULL};
    http_server_start(&server, replies);
    setenv("https_proxy", server.url, 1);
    assert_int_equal(http_new(&http, &(struct http_options){.idle_max = 4}), 0);
    const struct http_reply *r = run((struct http_request){.url = "https://store.example/"});
    assert_true(r->error != 0);
    assert_int_equal(r->proxy_status, 407);
}

/* --- certificate authorities --- */

static int error_with(const struct http_options *o) {
    http_destroy(&http);
    assert_int_equal(http_new(&http, o), 0);
    char url[80];
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", server.port);
    return run((struct http_request){.url = url})->error;
}

static void test_authorities_come_from_the_file_that_is_named(void **state) {
    (void)state;
    static const char *const replies[] = {NULL};
    open_with(replies);
    assert_int_equal(error_with(&(struct http_options){.ca_file = "/nonexistent"}), ERR_DENIED);
    FILE *file = fopen("no-certificate", "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(error_with(&(struct http_options){.ca_file = "no-certificate"}), ERR_DENIED);
}

/* --- names that do not resolve --- */

#define LABEL "a-label-of-a-name-that-is-longer-than-the-63-characters-that-are-allowed-in-dns"

static void test_a_host_that_does_not_resolve_is_named(void **state) {
    (void)state;
    static const char *const replies[] = {NULL};
    open_with(replies);
    const struct http_reply *r = run((struct http_request){.url = "http://" LABEL ".example/x"});
    assert_int_equal(r->error, ERR_UNREACHABLE);
    assert_string_equal(call.message,
                        "host name '" LABEL ".example' does not resolve; correct the endpoint URL, or look at DNS");
    http_destroy(&http);
    setenv("http_proxy", "http://" LABEL ".example:80", 1);
    assert_int_equal(http_new(&http, &(struct http_options){.idle_max = 4}), 0);
    run((struct http_request){.url = "http://127.0.0.1:1/"});
    assert_string_equal(call.message,
                        "host name '" LABEL ".example' does not resolve; correct the proxy's URL, or look at DNS");
}

static void test_a_url_that_is_no_url(void **state) {
    (void)state;
    static const char *const replies[] = {NULL};
    open_with(replies);
    const struct http_reply *r = run((struct http_request){.url = "http://[x/"});
    assert_int_equal(r->error, ERR_INVALID);
    assert_false(r->connected);
    assert_true(call.message[0]);
    assert_int_equal(run((struct http_request){.url = "nothing://127.0.0.1/"})->error, ERR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_header_is_found_by_its_whole_name), TEST(test_blanks_around_a_value_do_not_count),
          TEST(test_headers_have_a_limit), TEST(test_headers_of_64_kib_are_kept),
          TEST(test_all_bytes_of_a_reply_are_counted), TEST(test_authorities_come_from_the_file_that_is_named),
          TEST(test_an_interim_reply_leaves_no_header), TEST(test_a_body_in_memory_is_sent_in_order),
          TEST(test_a_body_in_memory_starts_again_on_a_new_connection),
          TEST(test_a_body_that_cannot_start_again_ends_the_transfer), TEST(test_a_body_that_ends_early_is_a_change),
          TEST(test_progress_is_reported), TEST(test_no_request_expects_an_interim_reply),
          TEST(test_an_empty_session_token_is_none), TEST(test_the_proxy_of_the_environment_is_asked),
          TEST(test_http_proxy_in_capitals_is_not_used_in_a_cgi_program), TEST(test_http_proxy_is_not_for_https),
          TEST(test_a_proxy_that_refuses_is_named_by_its_status), TEST(test_a_host_that_does_not_resolve_is_named),
          TEST(test_a_url_that_is_no_url))
