/* The time that a store takes to reply, which decides how many transfers run at a time. */
#include "http_server.h"

#include "system/clock.h"
#include "uploader/http/http.h"
#include "uploader/http/http_internal.h"

static const struct http_credentials credentials = {"AKIA", "secret", NULL, "us-east-1"};
static const char *const headers[] = {"x-amz-content-sha256: UNSIGNED-PAYLOAD", NULL};
static const char *const silence[] = {REPLY_SILENCE, REPLY_SILENCE, NULL};
static const char *const fine[] = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL};

static struct http_server server;
static struct http *h;
static unsigned replies;

static void on_done(void *arg, const struct http_reply *r) {
    (void)arg;
    replies += r->error == 0;
}

static ssize_t read_x(void *arg, void *out, size_t max) {
    (void)arg;
    memset(out, 'x', max);
    return (ssize_t)max;
}

static void begin(const char *const *answers) {
    replies = 0;
    http_server_start(&server, answers);
    assert_int_equal(http_new(&h, &(struct http_options){.connect_timeout_ms = 10000, .idle_max = 4}), 0);
}

static void end(void) {
    http_destroy(&h);
    http_server_stop(&server);
}

/* Sends one request and waits until the server has it, or, if answered, for its reply. */
static void put(const struct http_credentials *c, uint64_t body_bytes, bool answered) {
    struct http_transfer *t;
    unsigned before = replies, seen = server.request_count;
    struct http_request r = {.method = body_bytes ? "PUT" : "HEAD",
                             .url = server.url,
                             .headers = headers,
                             .credentials = c,
                             .body_length = body_bytes,
                             .read = body_bytes ? read_x : NULL,
                             .done = on_done,
                             .reply_max = 100};
    assert_int_equal(http_start(h, &r, &t), 0);
    while (answered ? replies == before : server.request_count == seen) {
        http_wait(h, NULL, 0, 10);
        http_perform(h);
    }
}

static void test_nothing_is_known_before_the_first_reply(void **state) {
    (void)state;
    begin(silence);
    assert_int_equal(http_reply_us(h), 0);
    assert_int_equal(http_waiting_us(h), 0);
    put(&credentials, 100, false);
    assert_int_equal(http_reply_us(h), 0);
    end();
}

static void test_the_oldest_request_counts_while_none_is_answered(void **state) {
    (void)state;
    begin(silence);
    put(&credentials, 100, false);
    uint64_t first_us = http_waiting_us(h), began_ns = clock_ns();
    put(&credentials, 200000, false); /* a body that libcurl reads in pieces */
    uint64_t then_us = http_waiting_us(h);
    assert_true(then_us >= first_us + (clock_ns() - began_ns) / 2000);
    end();
}

static void test_a_reply_sets_it(void **state) {
    (void)state;
    begin(fine);
    uint64_t began_ns = clock_ns();
    put(&credentials, 0, true);
    uint64_t first_us = http_reply_us(h);
    assert_in_range(first_us, 1, (clock_ns() - began_ns) / 1000);
    put(&credentials, 200000, true);
    assert_in_range(http_reply_us(h), 1, first_us); /* the least one counts */
    assert_int_equal(http_waiting_us(h), 0);
    end();
}

/* A reply took 1 µs, in a period that began so long ago. */
static void reply_took_1_us(uint64_t ms_ago) {
    h->reply_us[0] = 1;
    h->reply_us[1] = 0;
    h->reply_since_ns = clock_ns() - ms_ago * 1000000;
}

static void test_a_reply_counts_in_the_next_period_as_well(void **state) {
    (void)state;
    begin(fine);
    reply_took_1_us(5100);
    put(&credentials, 0, true);
    assert_int_equal(http_reply_us(h), 1);
    put(&credentials, 0, true);
    assert_int_equal(http_reply_us(h), 1);
    h->reply_since_ns -= (uint64_t)5100 * 1000000;
    put(&credentials, 0, true);
    assert_true(http_reply_us(h) > 1);
    end();
}

static void test_a_reply_before_a_period_without_any_is_forgotten(void **state) {
    (void)state;
    begin(fine);
    reply_took_1_us(10100);
    put(&credentials, 0, true);
    assert_true(http_reply_us(h) > 1);
    end();
}

static void test_the_least_of_both_periods_counts(void **state) {
    (void)state;
    begin(fine);
    h->reply_us[0] = 7;
    assert_int_equal(http_reply_us(h), 7);
    h->reply_us[1] = 5;
    assert_int_equal(http_reply_us(h), 5);
    h->reply_us[1] = 9;
    assert_int_equal(http_reply_us(h), 7);
    h->reply_us[0] = 0;
    assert_int_equal(http_reply_us(h), 9);
    end();
}

static void test_requests_to_other_servers_do_not_count(void **state) {
    (void)state;
    const struct http_credentials of_sts = {"AKIA", "secret", NULL, "us-east-1", "sts"};
    begin(fine);
    put(NULL, 100, true);
    assert_int_equal(http_reply_us(h), 0);
    put(&of_sts, 100, true);
    assert_int_equal(http_reply_us(h), 0);
    end();
    begin(silence);
    put(&of_sts, 100, false);
    assert_int_equal(http_waiting_us(h), 0);
    end();
}

UNIT_MAIN(cmocka_unit_test(test_nothing_is_known_before_the_first_reply),
          cmocka_unit_test(test_the_oldest_request_counts_while_none_is_answered),
          cmocka_unit_test(test_a_reply_sets_it), cmocka_unit_test(test_a_reply_counts_in_the_next_period_as_well),
          cmocka_unit_test(test_a_reply_before_a_period_without_any_is_forgotten),
          cmocka_unit_test(test_the_least_of_both_periods_counts),
          cmocka_unit_test(test_requests_to_other_servers_do_not_count))
