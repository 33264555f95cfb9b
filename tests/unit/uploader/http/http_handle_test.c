/* An easy handle is used for one request after the other: nothing of a request is left for the next one. */
#include "http_server.h"

#include "system/clock.h"
#include "uploader/http/http.h"
#include "uploader/http/http_internal.h"
#include "uploader/policy/token_bucket.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

struct call {
    bool done, connected;
    int error;
    long status;
    uint64_t sent_bytes;
    char body[64];
    uint64_t length, position; /* of the body that make_body returns */
    size_t piece;              /* the most that was asked for at once */
    unsigned rewinds;
};

static void on_done(void *arg, const struct http_reply *r) {
    struct call *c = arg;
    c->done = true;
    c->error = r->error;
    c->connected = r->connected;
    c->status = r->status;
    c->sent_bytes = r->sent_bytes;
    snprintf(c->body, sizeof c->body, "%.*s", (int)r->body.len, r->body.len ? r->body.ptr : "");
}

static ssize_t make_body(void *arg, void *out, size_t max) {
    struct call *c = arg;
    c->piece = max > c->piece ? max : c->piece;
    max = max < c->length - c->position ? max : (size_t)(c->length - c->position);
    memset(out, 'b', max);
    c->position += max;
    return (ssize_t)max;
}

static int rewind_body(void *arg) {
    struct call *c = arg;
    c->position = 0;
    c->rewinds++;
    return 0;
}

static struct http_transfer *start(struct http *h, struct http_request r, struct call *c) {
    struct http_transfer *t;
    r.done = on_done;
    r.arg = c;
    r.reply_max = 100;
    assert_int_equal(http_start(h, &r, &t), 0);
    return t;
}

static void finish(struct http *h, const struct call *c) {
    uint64_t deadline_ms = clock_ms() + 10000;
    for (http_perform(h); !c->done; http_perform(h)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(h, NULL, 0, 50);
    }
}

static struct call run(struct http *h, struct http_request r) {
    struct call c = {.length = r.body_length};
    start(h, r, &c);
    finish(h, &c);
    return c;
}

static struct http *new_http(struct http_server *s, const char *const *replies, struct token_bucket *bucket) {
    struct http *h;
    http_server_start(s, replies);
    assert_int_equal(http_new(&h, &(struct http_options){.connect_timeout_ms = 10000, .bucket = bucket}), 0);
    return h;
}

static void stop(struct http *h, struct http_server *s) {
    assert_int_equal(h->idle_count, 1); /* all requests had the same handle */
    http_destroy(&h);
    http_server_stop(s);
}

static struct http_request of(const char *method, const char *url) {
    return (struct http_request){.method = method, .url = url};
}

static struct http_request text_of(const char *method, const char *url, const char *text) {
    return (struct http_request){.method = method, .url = url, .text = slice_of(text), .body_length = strlen(text)};
}

static struct http_request stream_of(const char *method, const char *url, uint64_t length) {
    return (struct http_request){
        .method = method, .url = url, .body_length = length, .read = make_body, .rewind = rewind_body};
}

static size_t body_length_of(const struct buf *request) {
    const char *end = memmem(request->data, request->len, "\r\n\r\n", 4);
    assert_non_null(end);
    return request->len - (size_t)(end + 4 - request->data);
}

static void test_every_method_after_every_other(void **state) {
    (void)state;
    static const char *const methods[] = {"HEAD", "GET", "PUT text", "DELETE", "PUT stream", "POST text", "PUT"};
    enum { COUNT = sizeof methods / sizeof *methods };
    const char *replies[COUNT * COUNT + 1] = {NULL};
    struct http_server s;
    unsigned n = 0;
    for (size_t i = 0; i < (size_t)COUNT * COUNT; i++)
        replies[i] = OK_EMPTY;
    struct http *h = new_http(&s, replies, NULL);
    for (size_t step = 1; step < COUNT; step++) /* COUNT is prime: each step gives each method another successor */
        for (size_t i = 0; i < COUNT; i++, n++) {
            const char *method = methods[i * step % COUNT];
            bool text = strstr(method, "text"), stream = strstr(method, "stream");
            char name[8] = "";
            sscanf(method, "%7s", name);
            struct call c = run(h, text     ? text_of(name, s.url, "words")
                                   : stream ? stream_of(name, s.url, 70000)
                                            : of(name, s.url));
            const struct buf *request = &s.requests[n];
            assert_int_equal(c.error, 0);
            assert_int_equal(c.status, 200);
            assert_int_equal(c.sent_bytes, text ? 5 : stream ? 70000 : 0);
            assert_memory_equal(request->data, name, strlen(name));
            assert_int_equal(request->data[strlen(name)], ' ');
            assert_int_equal(body_length_of(request), text ? 5 : stream ? 70000 : 0);
            bool has_length = *name == 'P';
            assert_int_equal(http_server_saw(&s, n, "\r\nContent-Length: "), has_length);
            assert_false(http_server_saw(&s, n, "\r\nContent-Type"));
            assert_false(http_server_saw(&s, n, "\r\nTransfer-Encoding"));
            assert_false(http_server_saw(&s, n, "\r\nExpect"));
        }
    assert_int_equal(s.connection_count, 1);
    stop(h, &s);
}

/* The reply to HEAD has no body, and that to the next GET has one. */
static void test_get_after_head_has_a_body(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    run(h, of("HEAD", s.url));
    assert_string_equal(run(h, of("GET", s.url)).body, "hello");
    stop(h, &s);
}

static void test_a_content_type_of_the_caller_is_sent_once(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, NULL};
    static const char *const headers[] = {"content-type: text/plain", NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    struct http_request r = text_of("POST", s.url, "words");
    r.headers = headers;
    run(h, r);
    assert_true(http_server_saw(&s, 0, "\r\ncontent-type: text/plain\r\n"));
    assert_false(http_server_saw(&s, 0, "\r\nContent-Type"));
    assert_true(http_server_saw(&s, 0, "\r\n\r\nwords"));
    stop(h, &s);
}

/* A stream after a text: its body is still rewound. A text that is sent twice arrives whole. */
static void test_bodies_after_a_dead_connection(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, REPLY_CUT, OK_EMPTY, REPLY_CUT, OK_EMPTY, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    assert_int_equal(run(h, text_of("PUT", s.url, "words")).sent_bytes, 5);
    struct call c = run(h, stream_of("PUT", s.url, 1000));
    assert_int_equal(c.status, 200);
    assert_int_equal(c.rewinds, 1);
    assert_int_equal(c.sent_bytes, 2000);
    assert_int_equal(body_length_of(&s.requests[2]), 1000);
    c = run(h, text_of("PUT", s.url, "words"));
    assert_int_equal(c.status, 200);
    assert_int_equal(c.sent_bytes, 10);
    assert_true(http_server_saw(&s, 4, "\r\n\r\nwords"));
    stop(h, &s);
}

/* libcurl gives up after five resends of one handle. */
static void test_resends_of_earlier_requests_do_not_count(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, REPLY_CUT, OK_EMPTY, REPLY_CUT, OK_EMPTY, REPLY_CUT,
                                          OK_EMPTY, REPLY_CUT, OK_EMPTY, REPLY_CUT, OK_EMPTY, REPLY_CUT,
                                          OK_EMPTY, REPLY_CUT, OK_EMPTY, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    run(h, of("GET", s.url));
    for (int i = 0; i < 7; i++) {
        struct call c = run(h, of("GET", s.url)); /* finds its connection closed */
        assert_int_equal(c.error, 0);
        assert_int_equal(c.status, 200);
    }
    assert_int_equal(s.connection_count, 8);
    stop(h, &s);
}

static void test_a_refused_resend_sends_nothing(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, REPLY_CUT, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    run(h, of("GET", s.url));
    struct http_request r = text_of("POST", s.url, "words");
    r.once = true;
    struct call c = run(h, r);
    assert_int_equal(c.error, ERR_IO);
    assert_int_equal(c.sent_bytes, 5);
    stop(h, &s);
}

static void test_a_fresh_connection_is_only_for_its_request(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, OK_EMPTY, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    struct http_request fresh = of("GET", s.url);
    fresh.fresh_connection = true;
    run(h, of("GET", s.url));
    run(h, fresh);
    assert_int_equal(s.connection_count, 2);
    run(h, of("GET", s.url));
    assert_int_equal(s.connection_count, 2);
    stop(h, &s);
}

/* Progress that is asked for before libcurl began is that of this request. */
static void test_progress_starts_at_zero(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    for (int i = 0; i < 2; i++) {
        struct call c = {0};
        struct http_transfer *t = start(h, text_of("PUT", s.url, "words"), &c);
        assert_int_equal(http_sent(t), 0);
        assert_false(http_all_sent(t));
        while (s.request_count == (unsigned)i)
            http_perform(h);
        assert_int_equal(http_sent(t), 5);
        assert_true(http_all_sent(t));
        finish(h, &c);
    }
    stop(h, &s);
}

static void test_no_connection_after_a_good_request(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    run(h, of("GET", s.url));
    struct call c = run(h, of("GET", "http://127.0.0.1:1/"));
    assert_int_equal(c.error, ERR_UNREACHABLE);
    assert_false(c.connected);
    assert_int_equal(run(h, of("GET", s.url)).status, 200);
    stop(h, &s);
}

static void test_a_proxy_is_left_out_only_for_direct_requests(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, OK_EMPTY, NULL};
    struct http_server s;
    char proxy[64];
    http_server_start(&s, replies);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", s.port);
    setenv("HTTP_PROXY", proxy, 1);
    unsetenv("http_proxy");
    struct http *h;
    assert_int_equal(http_new(&h, &(struct http_options){.connect_timeout_ms = 10000}), 0);
    struct http_request direct = of("GET", s.url);
    direct.direct = true;
    assert_int_equal(run(h, of("GET", "http://store.invalid/k")).status, 200);
    assert_int_equal(run(h, direct).status, 200);
    assert_int_equal(run(h, of("GET", "http://store.invalid/k")).status, 200);
    unsetenv("HTTP_PROXY");
    assert_true(http_server_saw(&s, 0, "GET http://store.invalid/k HTTP/1.1\r\n"));
    assert_true(http_server_saw(&s, 1, "GET / HTTP/1.1\r\n"));
    assert_true(http_server_saw(&s, 2, "GET http://store.invalid/k HTTP/1.1\r\n"));
    stop(h, &s);
}

static void test_the_buffer_for_tls_is_larger(void **state) {
    (void)state;
    assert_int_equal(http_upload_buffer("https://store/k", HTTP_LARGE_BODY), 524288);
    assert_int_equal(http_upload_buffer("HTTPS://store/k", HTTP_LARGE_BODY), 524288);
    assert_int_equal(http_upload_buffer("https://store/k", HTTP_LARGE_BODY - 1), 65536);
}

/* A large body is read in pieces of 256 KiB (512 for TLS), a smaller one in pieces of 64 KiB. */
static void test_the_buffer_is_that_of_the_body(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, OK_EMPTY, OK_EMPTY, NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    assert_int_equal(run(h, stream_of("PUT", s.url, HTTP_LARGE_BODY - 1)).piece, 65536);
    assert_int_equal(run(h, stream_of("PUT", s.url, HTTP_LARGE_BODY)).piece, 262144);
    assert_int_equal(run(h, stream_of("PUT", s.url, HTTP_LARGE_BODY)).piece, 262144);
    assert_int_equal(run(h, stream_of("PUT", s.url, HTTP_LARGE_BODY - 1)).piece, 65536);
    stop(h, &s);
}

static void test_a_signed_request_has_room_for_three_lines_more(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, NULL};
    const char *lines[HTTP_HEADERS_MAX] = {NULL};
    struct http_server s;
    struct http_transfer *t;
    struct http *h = new_http(&s, replies, NULL);
    struct http_request put = stream_of("PUT", s.url, 70000);
    put.headers = lines;
    for (int i = 0; i < HTTP_HEADERS_MAX - 3; i++)
        lines[i] = "x-line: 1";
    struct call c = run(h, put);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.sent_bytes, 70000);
    lines[HTTP_HEADERS_MAX - 3] = "x-line: 1";
    assert_int_equal(http_start(h, &put, &t), ERR_LIMIT);
    assert_null(t);
    stop(h, &s);
}

static void test_at_most_256_handles_are_kept(void **state) {
    (void)state;
    static const char *const replies[] = {NULL};
    struct http_server s;
    struct http *h = new_http(&s, replies, NULL);
    struct http_transfer *t[258];
    for (int i = 0; i < 258; i++) {
        struct http_request r = of("GET", s.url);
        assert_int_equal(http_start(h, &r, &t[i]), 0);
    }
    for (int i = 0; i < 258; i++) {
        http_cancel(h, t[i]);
        assert_int_equal(h->idle_count, i < 256 ? i + 1 : 256);
    }
    http_destroy(&h);
    http_server_stop(&s);
}

/* The memory of a large reply is not kept. */
static void test_memory_for_replies_is_kept_up_to_256_kib(void **state) {
    (void)state;
    static char replies[2][400000];
    static const char *const script[] = {replies[0], replies[1], NULL};
    static const size_t lengths[] = {130000, 300000};
    struct http_server s;
    struct http_transfer *t;
    struct http *h = new_http(&s, script, NULL);
    for (int i = 0; i < 2; i++) {
        struct call c = {0};
        int head =
            snprintf(replies[i], sizeof replies[i], "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", lengths[i]);
        memset(replies[i] + head, 'r', lengths[i]);
        struct http_request r = of("GET", s.url);
        r.done = on_done;
        r.arg = &c;
        r.reply_max = 1 << 20;
        assert_int_equal(http_start(h, &r, &t), 0);
        finish(h, &c);
        assert_int_equal(c.status, 200);
        assert_true(i == 0 ? h->idle->body.cap >= lengths[0] : h->idle->body.cap == 0);
    }
    stop(h, &s);
}

/* --- a text with the head --- */

static bool text_is_joined(struct http *h, struct http_server *s, size_t length, bool paced) {
    char *text = calloc(1, length + 1);
    struct call c = {0};
    memset(text, 't', length);
    struct http_request r = text_of("PUT", s->url, text);
    r.paced = paced;
    bool joined = start(h, r, &c)->joined;
    finish(h, &c);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.sent_bytes, length);
    assert_int_equal(body_length_of(&s->requests[s->request_count - 1]), length);
    free(text);
    return joined;
}

static void test_a_text_goes_with_the_head_unless_it_is_large_or_paced(void **state) {
    (void)state;
    static const char *const replies[] = {OK_EMPTY, OK_EMPTY, OK_EMPTY, OK_EMPTY, OK_EMPTY, OK_EMPTY, NULL};
    struct http_server s;
    struct token_bucket bucket = {0};
    struct http *h = new_http(&s, replies, &bucket);
    assert_true(text_is_joined(h, &s, 0, true));
    assert_true(text_is_joined(h, &s, HTTP_JOINED_BODY - 1, true));
    assert_false(text_is_joined(h, &s, HTTP_JOINED_BODY, true));
    token_bucket_set_bytes(&bucket, 100000, clock_ns());
    assert_true(text_is_joined(h, &s, 1000, false));
    uint64_t begun_ms = clock_ms();
    assert_false(text_is_joined(h, &s, 50000, true));
    assert_true(clock_ms() - begun_ms >= 300);
    stop(h, &s);
}

UNIT_MAIN(cmocka_unit_test(test_every_method_after_every_other), cmocka_unit_test(test_get_after_head_has_a_body),
          cmocka_unit_test(test_a_content_type_of_the_caller_is_sent_once),
          cmocka_unit_test(test_bodies_after_a_dead_connection),
          cmocka_unit_test(test_resends_of_earlier_requests_do_not_count),
          cmocka_unit_test(test_a_refused_resend_sends_nothing),
          cmocka_unit_test(test_a_fresh_connection_is_only_for_its_request),
          cmocka_unit_test(test_progress_starts_at_zero), cmocka_unit_test(test_no_connection_after_a_good_request),
          cmocka_unit_test(test_a_proxy_is_left_out_only_for_direct_requests),
          cmocka_unit_test(test_the_buffer_is_that_of_the_body),
          cmocka_unit_test(test_a_signed_request_has_room_for_three_lines_more),
          cmocka_unit_test(test_the_buffer_for_tls_is_larger), cmocka_unit_test(test_at_most_256_handles_are_kept),
          cmocka_unit_test(test_memory_for_replies_is_kept_up_to_256_kib),
          cmocka_unit_test(test_a_text_goes_with_the_head_unless_it_is_large_or_paced))
