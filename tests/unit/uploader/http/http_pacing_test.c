/* The limit of bytes a second, byte by byte. The linker wraps the clocks (tests.cmake), which move when the test says. */
#include "http_server.h"

#include "uploader/http/http.h"
#include "uploader/http/http_internal.h"
#include "uploader/policy/token_bucket.h"

#define RATE 100000 /* bytes a second: pieces of 2,000 bytes, a depth of 10,000 */
#define PIECE 2000
#define DEPTH 10000
#define NS_PER_MS ((uint64_t)1000 * 1000)
#define COUNT 2

static uint64_t now_ns;

uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ns(void);

uint64_t __wrap_clock_ms(void) {
    return now_ns / NS_PER_MS;
}

uint64_t __wrap_clock_ns(void) {
    return now_ns;
}

static struct http *http;
static struct token_bucket bucket;
static struct http_server server;
static struct http_transfer *transfers[COUNT];
static uint64_t given[COUNT]; /* bytes that libcurl got */
static unsigned done_count;

static int setup(void **state) {
    static const char *const replies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL};
    (void)state;
    now_ns = 1000 * NS_PER_MS;
    memset(given, 0, sizeof given);
    memset(&bucket, 0, sizeof bucket);
    done_count = 0;
    http_server_start(&server, replies);
    token_bucket_set_bytes(&bucket, RATE, now_ns);
    assert_int_equal(token_bucket_piece(&bucket), PIECE);
    return http_new(&http, &(struct http_options){.idle_max = 4, .bucket = &bucket});
}

static int teardown(void **state) {
    (void)state;
    http_destroy(&http);
    http_server_stop(&server);
    return 0;
}

static void on_done(void *arg, const struct http_reply *r) {
    (void)arg;
    assert_int_equal(r->error, 0);
    done_count++;
}

static ssize_t read_body(void *arg, void *out, size_t max) {
    memset(out, 'b', max);
    *(uint64_t *)arg += max;
    return (ssize_t)max;
}

static void start(int i, uint64_t length, bool paced) {
    struct http_request r = {.method = "PUT",
                             .url = server.url,
                             .body_length = length,
                             .read = read_body,
                             .paced = paced,
                             .done = on_done,
                             .arg = &given[i]};
    assert_int_equal(http_start(http, &r, &transfers[i]), 0);
}

/* Turns of the loop in which no time passes. */
static void turn(void) {
    for (int i = 0; i < 20; i++) {
        http_perform(http);
        curl_multi_poll(http->multi, NULL, 0, 1, NULL);
    }
}

static void pass_ms(uint64_t ms) {
    now_ns += ms * NS_PER_MS;
    turn();
}

/* The bucket is empty, and the transfer waits for it. */
static void start_waiting(int i) {
    start(i, 1 << 20, true);
    for (int n = 0; n < 1000 && !http_is_throttled(transfers[i]); n++)
        turn();
    assert_true(http_is_throttled(transfers[i]));
}

static uint64_t level(void) {
    return token_bucket_level(&bucket, now_ns);
}

static void test_a_transfer_gets_a_piece_when_it_is_there(void **state) {
    (void)state;
    start_waiting(0);
    assert_int_equal(given[0], 0);
    assert_true(bucket.refused);
    pass_ms(19);
    assert_int_equal(given[0], 0);
    pass_ms(1);
    assert_int_equal(given[0], PIECE);
    assert_true(http_is_throttled(transfers[0]));
    pass_ms(40);
    assert_int_equal(given[0], 3 * PIECE);
    assert_int_equal(level(), 0);
}

static void test_transfers_get_equal_parts(void **state) {
    (void)state;
    start_waiting(0);
    start_waiting(1);
    pass_ms(100);
    assert_int_equal(given[0], DEPTH / 2);
    assert_int_equal(given[1], DEPTH / 2);
    pass_ms(20); /* one piece: the first in the queue has it */
    assert_int_equal(given[0] + given[1], DEPTH + PIECE);
    pass_ms(20);
    assert_int_equal(given[0], given[1]);
}

static void test_a_transfer_that_comes_later_waits_behind_the_others(void **state) {
    (void)state;
    start_waiting(0);
    now_ns += 19 * NS_PER_MS; /* almost a piece */
    start_waiting(1);
    pass_ms(1);
    assert_int_equal(given[0], PIECE);
    assert_int_equal(given[1], 0);
    pass_ms(20);
    assert_int_equal(given[1], PIECE);
}

static void test_a_full_bucket_lets_a_transfer_begin_at_once(void **state) {
    (void)state;
    now_ns += 100 * NS_PER_MS;
    start(0, DEPTH, true);
    for (int n = 0; n < 1000 && !done_count; n++)
        turn();
    assert_int_equal(done_count, 1);
    assert_int_equal(given[0], DEPTH);
    assert_int_equal(level(), 0);
    assert_false(bucket.refused);
}

static void test_a_request_that_is_not_paced_costs_nothing(void **state) {
    (void)state;
    start(0, 100000, false);
    for (int n = 0; n < 1000 && !done_count; n++)
        turn();
    assert_int_equal(done_count, 1);
    assert_false(bucket.refused);
}

static void test_a_cancelled_transfer_returns_its_bytes(void **state) {
    (void)state;
    start_waiting(0);
    now_ns += 100 * NS_PER_MS;
    transfers[0]->allowance = token_bucket_take(&bucket, 500, 1, now_ns);
    assert_int_equal(level(), DEPTH - 500);
    http_cancel(http, transfers[0]);
    assert_int_equal(level(), DEPTH);
    assert_int_equal(http->pacing_count, 0);
}

static void test_a_limit_that_ends_frees_all_transfers(void **state) {
    (void)state;
    start_waiting(0);
    start_waiting(1);
    token_bucket_set_bytes(&bucket, 0, now_ns);
    for (int n = 0; n < 1000 && done_count < 2; n++)
        turn();
    assert_int_equal(done_count, 2);
    assert_int_equal(given[0], 1 << 20);
}

static void test_the_loop_sleeps_until_a_piece_is_there(void **state) {
    (void)state;
    assert_int_equal(http_pacing_timeout_ms(http, 500), 500);
    assert_int_equal(http_pacing_timeout_ms(http, -1), -1); /* no transfer waits */
    start_waiting(0);
    assert_in_range(http_pacing_timeout_ms(http, 500), 20, 21);
    assert_in_range(http_pacing_timeout_ms(http, -1), 20, 21);
    assert_int_equal(http_pacing_timeout_ms(http, 7), 7);
    assert_int_equal(http_pacing_timeout_ms(http, 0), 0);
    now_ns += 15 * NS_PER_MS;
    assert_in_range(http_pacing_timeout_ms(http, 500), 5, 6);
    now_ns += 5 * NS_PER_MS;
    assert_int_equal(http_pacing_timeout_ms(http, 500), 0);
    http_cancel(http, transfers[0]);
    assert_int_equal(http_pacing_timeout_ms(http, 500), 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_transfer_gets_a_piece_when_it_is_there), TEST(test_transfers_get_equal_parts),
          TEST(test_a_transfer_that_comes_later_waits_behind_the_others),
          TEST(test_a_full_bucket_lets_a_transfer_begin_at_once), TEST(test_a_request_that_is_not_paced_costs_nothing),
          TEST(test_a_cancelled_transfer_returns_its_bytes), TEST(test_a_limit_that_ends_frees_all_transfers),
          TEST(test_the_loop_sleeps_until_a_piece_is_there))
