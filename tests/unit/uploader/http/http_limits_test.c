/* The time limits of a transfer, and the meaning of libcurl's results. The linker wraps the clock, which moves when the
 * test says, and libcurl's results (tests.cmake). The peer is a socket of the test. */
#include "unit.h"

#include "pure/err.h"
#include "uploader/http/http.h"
#include "uploader/http/http_internal.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK_MS 100   /* between two looks at the deadlines */
#define STALL_MS 60000 /* no byte is accepted */
#define HOUR_MS 3600000
#define TURNS 2000

static struct {
    uint64_t now_ms;
    bool ends; /* the running transfer is reported with this result */
    CURLcode result;
    long verified, proxy_status;
} world;

static struct {
    bool done, dry;
    struct http_reply reply;
    char message[256];
    uint64_t position;
} call;

uint64_t __wrap_clock_ms(void);
CURLMsg *__real_curl_multi_info_read(CURLM *multi, int *queued);
CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *queued);

uint64_t __wrap_clock_ms(void) {
    return world.now_ms;
}

CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *queued) {
    CURLMsg *m = __real_curl_multi_info_read(multi, queued);
    if (m && world.ends)
        m->data.result = world.result;
    return m;
}

/* libcurl's function is variadic; each of these results is a long. */
CURLcode __real_curl_easy_getinfo(CURL *easy, CURLINFO info, void *out);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, void *out);

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, void *out) {
    CURLcode rc = __real_curl_easy_getinfo(easy, info, out);
    if (world.ends && info == CURLINFO_SSL_VERIFYRESULT)
        *(long *)out = world.verified;
    if (world.ends && info == CURLINFO_HTTP_CONNECTCODE)
        *(long *)out = world.proxy_status;
    return rc;
}

static struct http *http;
static struct http_transfer *transfer;
static int listener, peer;
static char url[64];

static int setup(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int small = 4096;
    memset(&world, 0, sizeof world);
    memset(&call, 0, sizeof call);
    world.now_ms = 1000000;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    peer = -1;
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 4) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        return -1;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    return http_new(&http, &(struct http_options){.response_timeout_ms = 5000});
}

static int teardown(void **state) {
    (void)state;
    http_destroy(&http);
    close(listener);
    if (peer != -1)
        close(peer);
    return 0;
}

static void on_done(void *arg, const struct http_reply *r) {
    (void)arg;
    assert_false(call.done);
    call.done = true;
    call.reply = *r;
    snprintf(call.message, sizeof call.message, "%s", r->message);
}

static ssize_t read_body(void *arg, void *out, size_t max) {
    (void)arg;
    if (call.dry)
        return ERR_AGAIN;
    memset(out, 'b', max);
    call.position += max;
    return (ssize_t)max;
}

static bool body_is_ready(void *arg) {
    (void)arg;
    return !call.dry;
}

static void start(uint64_t body_length, uint32_t response_timeout_ms) {
    struct http_request r = {.method = "PUT",
                             .url = url,
                             .body_length = body_length,
                             .read = read_body,
                             .ready = body_is_ready,
                             .response_timeout_ms = response_timeout_ms,
                             .reply_max = 1000,
                             .done = on_done};
    assert_int_equal(http_start(http, &r, &transfer), 0);
}

/* Turns of the loop, until the transfer ends or nothing happens any more. */
static void turn(void) {
    for (int i = 0; i < 10 && !call.done; i++) {
        http_perform(http);
        if (!call.done)
            http_wait(http, NULL, 0, 2);
    }
}

static void accept_peer(void) {
    for (int i = 0; i < TURNS && peer == -1; i++) {
        turn();
        struct pollfd p = {.fd = listener, .events = POLLIN};
        if (poll(&p, 1, 0) > 0)
            peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    assert_true(peer != -1);
}

/* The peer reads what there is. */
static void peer_read(void) {
    char bytes[65536];
    while (recv(peer, bytes, sizeof bytes, 0) > 0)
        continue;
}

/* The whole body is sent. */
static void send_body(void) {
    accept_peer();
    for (int i = 0; i < TURNS && !http_all_sent(transfer); i++) {
        turn();
        peer_read();
    }
    assert_true(http_all_sent(transfer));
    turn();
    peer_read();
}

static void peer_send(const char *text) {
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    uint64_t before = http_received(transfer);
    for (int i = 0; i < TURNS && !call.done && http_received(transfer) == before; i++)
        turn();
}

/* Time passes, and the deadlines are looked at. True: the transfer has ended. */
static bool pass(uint64_t ms) {
    world.now_ms += ms;
    turn();
    return call.done;
}

static void assert_ended(const char *message) {
    assert_true(call.done);
    assert_int_equal(call.reply.error, ERR_IO);
    assert_true(call.reply.timed_out);
    assert_string_equal(call.message, message);
}

/* --- the reply --- */

static void test_a_reply_may_take_the_response_timeout(void **state) {
    (void)state;
    start(10, 2000);
    send_body();
    assert_false(pass(CHECK_MS)); /* now it is known that the body is sent */
    assert_false(pass(2000));
    world.now_ms += CHECK_MS - 1; /* too soon for another look */
    http_perform(http);
    assert_false(call.done);
    world.now_ms++;
    http_perform(http);
    assert_ended("no reply within the response timeout");
    assert_true(call.reply.connected);
}

static void test_the_response_timeout_ends_after_its_last_millisecond(void **state) {
    (void)state;
    start(10, 2000);
    send_body();
    assert_false(pass(CHECK_MS));
    assert_true(pass(2001));
}

static void test_a_request_without_a_timeout_has_the_usual_one(void **state) {
    (void)state;
    start(10, 0);
    send_body();
    assert_false(pass(CHECK_MS));
    assert_false(pass(5000));
    assert_true(pass(CHECK_MS));
}

static void test_bytes_of_the_reply_restart_the_timeout(void **state) {
    (void)state;
    start(10, 2000);
    send_body();
    assert_false(pass(CHECK_MS));
    assert_false(pass(1900));
    peer_send("HTTP/1.1 200 OK\r\n");
    assert_false(pass(CHECK_MS));
    assert_false(pass(2000));
    assert_true(pass(CHECK_MS));
    assert_ended("the reply stopped for the response timeout");
}

static void test_a_reply_ends_within_an_hour(void **state) {
    (void)state;
    start(10, HOUR_MS / 2);
    send_body();
    assert_false(pass(CHECK_MS));
    peer_send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n ");
    for (int i = 0; i < 4; i++) {
        assert_false(pass(HOUR_MS / 4));
        peer_send(" ");
    }
    assert_true(pass(CHECK_MS));
    assert_ended("the reply did not end within an hour");
}

/* --- the body --- */

#define ENDLESS ((uint64_t)1 << 30)

/* The peer's buffers are full. */
static void send_until_full(void) {
    accept_peer();
    uint64_t sent = 1;
    for (int i = 0; i < TURNS && sent != http_sent(transfer); i++) {
        sent = http_sent(transfer);
        turn();
    }
    assert_in_range(http_sent(transfer), 1, ENDLESS - 1);
}

static void test_a_peer_that_accepts_no_byte_is_given_up(void **state) {
    (void)state;
    start(ENDLESS, 1000);
    send_until_full();
    assert_false(pass(CHECK_MS));
    assert_false(pass(STALL_MS)); /* the response timeout does not count yet */
    assert_true(pass(CHECK_MS));
    assert_ended("no byte was accepted for 60 s");
}

static void test_each_byte_that_is_accepted_counts(void **state) {
    (void)state;
    start(ENDLESS, 1000);
    send_until_full();
    assert_false(pass(STALL_MS));
    peer_read();
    turn();
    peer_read();
    assert_false(pass(CHECK_MS));
    assert_false(pass(STALL_MS));
}

static void test_a_source_that_waits_is_no_stall(void **state) {
    (void)state;
    call.dry = true;
    start(100, 1000);
    accept_peer();
    assert_false(pass(CHECK_MS));
    assert_false(pass(10 * (uint64_t)STALL_MS));
    assert_false(pass(10 * (uint64_t)STALL_MS));
    call.dry = false;
    send_body();
    peer_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_true(call.done);
    assert_int_equal(call.reply.status, 200);
}

/* --- results of libcurl --- */

/* Runs a transfer that ends with this result. */
static const struct http_reply *run_with_result(CURLcode result) {
    memset(&call, 0, sizeof call);
    world.ends = true;
    world.result = result;
    start(0, 0);
    if (peer != -1)
        close(peer);
    peer = -1;
    accept_peer();
    close(peer);
    peer = -1;
    for (int i = 0; i < TURNS && !call.done; i++)
        turn();
    assert_true(call.done);
    return &call.reply;
}

static void test_errors_of_libcurl(void **state) {
    (void)state;
    static const struct {
        CURLcode code;
        int error;
    } cases[] = {
        {CURLE_PEER_FAILED_VERIFICATION, ERR_DENIED},
        {CURLE_SSL_CACERT_BADFILE, ERR_DENIED},
        {CURLE_SSL_CERTPROBLEM, ERR_DENIED},
        {CURLE_URL_MALFORMAT, ERR_INVALID},
        {CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID},
        {CURLE_BAD_FUNCTION_ARGUMENT, ERR_INVALID},
        {CURLE_OUT_OF_MEMORY, ERR_NOMEM},
        {CURLE_RECV_ERROR, ERR_IO},
        {CURLE_SSL_CONNECT_ERROR, ERR_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct http_reply *r = run_with_result(cases[i].code);
        assert_int_equal(r->error, cases[i].error);
        assert_true(r->connected);
        assert_int_equal(r->tls_failed, cases[i].code == CURLE_SSL_CONNECT_ERROR);
        assert_false(r->timed_out);
    }
    assert_true(run_with_result(CURLE_OPERATION_TIMEDOUT)->timed_out);
}

static void test_an_unknown_issuer_is_told_from_other_problems(void **state) {
    (void)state;
    for (long verified = 16; verified <= 24; verified++) {
        world.verified = verified;
        assert_int_equal(run_with_result(CURLE_PEER_FAILED_VERIFICATION)->unknown_issuer,
                         verified >= 18 && verified <= 21);
        assert_false(run_with_result(CURLE_RECV_ERROR)->unknown_issuer);
    }
}

static void test_the_status_of_a_proxy(void **state) {
    (void)state;
    world.proxy_status = 407;
    assert_int_equal(run_with_result(CURLE_RECV_ERROR)->proxy_status, 407);
    world.proxy_status = 299;
    assert_int_equal(run_with_result(CURLE_RECV_ERROR)->proxy_status, 0);
    world.proxy_status = 199;
    assert_int_equal(run_with_result(CURLE_RECV_ERROR)->proxy_status, 199);
}

/* The first connection took the request, and there is no second one: the request may have had an effect. */
static void test_a_request_that_was_sent_once_was_connected(void **state) {
    (void)state;
    start(0, 0);
    send_body();
    peer_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_true(call.done);
    close(listener);
    listener = -1;
    memset(&call, 0, sizeof call);
    start(0, 0);
    turn();
    peer_read();
    assert_false(call.done);
    close(peer);
    peer = -1;
    for (int i = 0; i < TURNS && !call.done; i++)
        turn();
    assert_int_equal(call.reply.error, ERR_IO);
    assert_true(call.reply.connected);
    assert_non_null(strstr(call.message, "to connect to"));
}

/* --- the usual limits --- */

static void test_a_limit_of_zero_is_the_usual_one(void **state) {
    (void)state;
    struct http *h;
    assert_int_equal(http_new(&h, &(struct http_options){0}), 0);
    assert_int_equal(h->options.connect_timeout_ms, 5000);
    assert_int_equal(h->options.response_timeout_ms, 300000);
    http_destroy(&h);
    assert_int_equal(http_new(&h, &(struct http_options){.connect_timeout_ms = 1, .response_timeout_ms = 2}), 0);
    assert_int_equal(h->options.connect_timeout_ms, 1);
    assert_int_equal(h->options.response_timeout_ms, 2);
    http_destroy(&h);
}

/* --- the deadline of a request --- */

static uint64_t deadline_ms;

static void start_before_deadline(void) {
    struct http_request r = {
        .method = "DELETE", .url = url, .deadline_ms = &deadline_ms, .reply_max = 1000, .done = on_done};
    assert_int_equal(http_start(http, &r, &transfer), 0);
}

static void test_a_request_does_not_leave_at_its_deadline(void **state) {
    (void)state;
    char bytes[100];
    deadline_ms = world.now_ms + 1;
    start_before_deadline();
    world.now_ms++; /* the process was stopped */
    for (int i = 0; i < TURNS && !call.done; i++)
        turn();
    assert_true(call.done);
    assert_int_equal(call.reply.error, ERR_BUSY);
    assert_false(call.reply.connected);
    peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(peer != -1);
    assert_int_equal(recv(peer, bytes, sizeof bytes, 0) > 0, 0);
}

static void test_a_deadline_that_moves_counts_as_it_is_when_the_request_leaves(void **state) {
    (void)state;
    char bytes[100] = "";
    deadline_ms = world.now_ms;
    start_before_deadline();
    deadline_ms++;
    accept_peer();
    for (int i = 0; i < TURNS && recv(peer, bytes, sizeof bytes, MSG_DONTWAIT) <= 0; i++)
        turn();
    assert_memory_equal(bytes, "DELETE /", 8);
    assert_false(call.done);
    http_cancel(http, transfer);
}

/* A stopped process goes on in the middle of a body. */
static void test_a_body_stops_at_its_deadline(void **state) {
    (void)state;
    struct http_request r = {.method = "POST",
                             .url = url,
                             .body_length = ENDLESS,
                             .read = read_body,
                             .deadline_ms = &deadline_ms,
                             .reply_max = 1000,
                             .done = on_done};
    deadline_ms = world.now_ms + 1;
    assert_int_equal(http_start(http, &r, &transfer), 0);
    send_until_full();
    peer_read();
    uint64_t before = call.position;
    for (int i = 0; i < TURNS && call.position == before; i++)
        turn();
    assert_true(call.position > before); /* it goes on while there is time */
    before = call.position;
    world.now_ms++;
    for (int i = 0; i < TURNS && !call.done; i++) {
        peer_read();
        turn();
    }
    assert_true(call.done);
    assert_int_equal(call.reply.error, ERR_BUSY);
    assert_true(call.reply.connected);
    assert_int_equal(call.position, before);
    peer_read();
    assert_int_equal(recv(peer, &(char){0}, 1, 0), 0); /* the connection was closed, without the rest */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_reply_may_take_the_response_timeout),
          TEST(test_the_response_timeout_ends_after_its_last_millisecond),
          TEST(test_a_request_without_a_timeout_has_the_usual_one), TEST(test_bytes_of_the_reply_restart_the_timeout),
          TEST(test_a_reply_ends_within_an_hour), TEST(test_a_peer_that_accepts_no_byte_is_given_up),
          TEST(test_each_byte_that_is_accepted_counts), TEST(test_a_source_that_waits_is_no_stall),
          TEST(test_errors_of_libcurl), TEST(test_an_unknown_issuer_is_told_from_other_problems),
          TEST(test_the_status_of_a_proxy), TEST(test_a_request_that_was_sent_once_was_connected),
          TEST(test_a_limit_of_zero_is_the_usual_one), TEST(test_a_request_does_not_leave_at_its_deadline),
          TEST(test_a_deadline_that_moves_counts_as_it_is_when_the_request_leaves),
          TEST(test_a_body_stops_at_its_deadline))
