/* Offers of several producers: the order in which they are read, and when an uploader closes a socket. */
#include "capture.h"
#include "unit.h"

#include "system/clock.h"
#include "uploader/offer_sockets.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PRODUCERS 3
#define WAIT_MS 5000

static struct offer_sockets sockets;
static struct endpoint *producers[PRODUCERS];
static struct frame frame;

/* Producers at ipc sockets in the test's directory; all of them are served. */
static int set_up(void **state) {
    struct slice addresses[PRODUCERS];
    char dir[1024], text[PRODUCERS][1100];
    (void)state;
    assert_non_null(getcwd(dir, sizeof dir));
    for (int i = 0; i < PRODUCERS; i++) {
        snprintf(text[i], sizeof text[i], "ipc://%s/p%d-%d", dir, i, (int)getpid());
        assert_int_equal(endpoint_open(&producers[i], ENDPOINT_PUSH, text[i]), 0);
        addresses[i] = slice_of(endpoint_address(producers[i]));
    }
    sockets = (struct offer_sockets){0};
    offer_sockets_set(&sockets, addresses, PRODUCERS, clock_ms());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    offer_sockets_release(&sockets);
    frame_release(&frame);
    for (int i = 0; i < PRODUCERS; i++)
        endpoint_close(&producers[i]);
    return 0;
}

static void offer(int producer) {
    char text[] = {(char)('0' + producer)};
    uint64_t end_ms = clock_ms() + WAIT_MS;
    while (endpoint_send(producers[producer], NULL, 0, slice_make(text, 1)) != 0) { /* until it has connected */
        struct wait_item item = {.endpoint = producers[producer], .fd = -1, .want = ENDPOINT_OUT};
        assert_true(clock_ms() < end_ms);
        assert_int_equal(endpoint_wait(&item, 1, 100), 0);
    }
}

/* Waits until the offers of these producers can be read. */
static void wait_offered(const char *names) {
    for (; *names; names++) {
        struct wait_item item = {.endpoint = sockets.items[*names - '0'].endpoint, .fd = -1, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, WAIT_MS), 0);
        assert_true(item.ready & ENDPOINT_IN);
    }
}

/* Each of these producers without an unread offer makes one. */
static void keep_offered(const char *names) {
    for (const char *p = names; *p; p++)
        if (!(endpoint_events(sockets.items[*p - '0'].endpoint) & ENDPOINT_IN))
            offer(*p - '0');
    wait_offered(names);
}

/* Reads the next offer and accepts one job of so many bytes. */
static int take(uint64_t bytes) {
    struct offer_socket *from;
    assert_int_equal(offer_sockets_recv(&sockets, &frame, &from), 0);
    offer_socket_accepted(from, 1, bytes);
    return frame.data.ptr[0] - '0';
}

static void test_the_producer_with_the_least_cost_comes_next(void **state) {
    (void)state;
    uint64_t large = 8 << 20, cost[2] = {0};
    unsigned jobs[2] = {0};
    for (int i = 0; i < 400; i++) {
        keep_offered("01");
        struct offer_socket *from;
        assert_int_equal(offer_sockets_recv(&sockets, &frame, &from), 0);
        int producer = frame.data.ptr[0] - '0';
        uint64_t bytes = producer == 0 ? large : 4096;
        offer_socket_accepted(from, 1, bytes);
        jobs[producer]++;
        cost[producer] += bytes + OFFER_JOB_COST;
    }
    uint64_t difference = cost[0] > cost[1] ? cost[0] - cost[1] : cost[1] - cost[0];
    assert_true(jobs[1] > 20 * jobs[0]); /* small jobs against large ones, by their cost */
    assert_true(difference <= large + OFFER_JOB_COST);
}

static void test_of_producers_with_the_same_cost_the_first_comes_next(void **state) {
    (void)state;
    keep_offered("012");
    assert_int_equal(take(100), 0);
    assert_int_equal(take(100), 1);
    assert_int_equal(take(100), 2);
}

static void test_an_idle_producer_saves_up_no_cost(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        offer(0);
        wait_offered("0");
        assert_int_equal(take(1 << 20), 0);
    }
    unsigned late = 0;
    for (int i = 0; i < 20; i++) { /* the other one comes back: from now on they are equal */
        keep_offered("01");
        late += take(1 << 20) == 1;
    }
    assert_in_range(late, 9, 11);
}

static void test_no_offer_is_lost_when_one_producer_is_silent(void **state) {
    struct offer_socket *from;
    (void)state;
    assert_int_equal(offer_sockets_recv(&sockets, &frame, &from), ERR_AGAIN);
    offer(2);
    wait_offered("2");
    assert_int_equal(take(0), 2);
    assert_int_equal(offer_sockets_recv(&sockets, &frame, &from), ERR_AGAIN);
}

/* "An uploader that declined 8 offers of one producer in a row disconnects from it for a growing time." */
static void test_eight_declined_in_a_row(void **state) {
    struct offer_socket *from = &sockets.items[1];
    (void)state;
    uint64_t now_ms = 1000;
    for (uint32_t away_ms = 500, times = 0; times < 9; times++) {
        for (int i = 0; i < 7; i++)
            offer_socket_declined(from, now_ms);
        assert_non_null(from->endpoint);
        offer_socket_declined(from, now_ms);
        assert_null(from->endpoint);
        assert_int_equal(offer_sockets_tick(&sockets, now_ms + away_ms - 1), now_ms + away_ms);
        assert_null(from->endpoint);
        now_ms += away_ms;
        offer_sockets_tick(&sockets, now_ms);
        assert_non_null(from->endpoint);
        away_ms = away_ms * 2 < 30000 ? away_ms * 2 : 30000;
    }
    offer_socket_accepted(from, 1, 1); /* ends the row */
    for (int i = 0; i < 8; i++)
        offer_socket_declined(from, now_ms);
    assert_int_equal(offer_sockets_tick(&sockets, now_ms), now_ms + 500);
}

static void test_an_accepted_offer_ends_the_row(void **state) {
    struct offer_socket *from = &sockets.items[0];
    (void)state;
    for (int i = 0; i < 100; i++) {
        if (i % 7 == 0)
            offer_socket_accepted(from, 1, 1);
        offer_socket_declined(from, 1000);
    }
    assert_non_null(from->endpoint);
}

static void serve(const char *const *texts, size_t count) {
    struct slice addresses[OFFER_SOCKETS_MAX + 2];
    for (size_t i = 0; i < count; i++)
        addresses[i] = slice_of(texts[i]);
    offer_sockets_set(&sockets, addresses, count, 1000);
}

static void test_exactly_the_given_addresses_are_served(void **state) {
    (void)state;
    const char *all[] = {endpoint_address(producers[0]), endpoint_address(producers[1]),
                         endpoint_address(producers[2])};
    const char *two[] = {all[2], all[0]};
    const struct endpoint *kept = sockets.items[2].endpoint;
    serve(two, 2);
    assert_int_equal(sockets.count, 2);
    assert_string_equal(sockets.items[0].address, all[0]);
    assert_string_equal(sockets.items[1].address, all[2]);
    assert_ptr_equal(sockets.items[1].endpoint, kept); /* it stays connected */
    serve(all, 3);
    assert_int_equal(sockets.count, 3);
    assert_string_equal(sockets.items[2].address, all[1]);
    serve(&all[1], 1);
    assert_int_equal(sockets.count, 1);
    assert_string_equal(sockets.items[0].address, all[1]);
    serve(all, 0);
    assert_int_equal(sockets.count, 0);
}

static void test_an_address_that_is_named_twice_is_served_once(void **state) {
    (void)state;
    const char *twice[] = {endpoint_address(producers[0]), endpoint_address(producers[0])};
    serve(twice, 2);
    assert_int_equal(sockets.count, 1);
}

static void test_producers_beyond_the_limit_are_logged_once(void **state) {
    (void)state;
    static char text[OFFER_SOCKETS_MAX + 2][64];
    static struct capture seen;
    const char *many[OFFER_SOCKETS_MAX + 2];
    for (int i = 0; i < OFFER_SOCKETS_MAX + 2; i++) {
        snprintf(text[i], sizeof text[i], "ipc://many-%d", i);
        many[i] = text[i];
    }
    capture_begin(&seen, STDERR_FILENO);
    serve(many, OFFER_SOCKETS_MAX);
    assert_string_equal(capture_end(&seen), "");
    capture_begin(&seen, STDERR_FILENO);
    serve(many, OFFER_SOCKETS_MAX + 2);
    const char *line = strstr(capture_end(&seen), "more than 32 producers");
    assert_non_null(line);
    assert_null(strstr(line + 1, "more than"));
    assert_int_equal(sockets.count, OFFER_SOCKETS_MAX);
}

static void test_a_producer_without_a_key_is_tried_again_after_a_second(void **state) {
    (void)state;
    static struct capture seen;
    const char *unknown[] = {"tcp://127.0.0.1:1"};
    capture_begin(&seen, STDERR_FILENO);
    serve(unknown, 1);
    assert_null(sockets.items[0].endpoint);
    assert_int_equal(offer_sockets_tick(&sockets, 1999), 2000);
    assert_int_equal(offer_sockets_tick(&sockets, 2000), 3000);
    assert_string_equal(capture_end(&seen), "");    /* the missing key was logged before */
    offer_socket_declined(&sockets.items[0], 2000); /* it may be closed when its last offer is declined */
    assert_int_equal(sockets.items[0].back_ms, 3000);
}

static void test_declines_at_a_closed_socket_do_not_make_it_wait_longer(void **state) {
    (void)state;
    struct offer_socket *from = &sockets.items[1];
    for (int i = 0; i < 20; i++)
        offer_socket_declined(from, 1000);
    assert_int_equal(from->back_ms, 1500);
    assert_int_equal(from->away_ms, 1000);
    assert_int_equal(offer_sockets_tick(&sockets, 1000), 1500);
}

static void test_the_next_socket_to_open_decides_about_the_tick(void **state) {
    (void)state;
    assert_int_equal(offer_sockets_tick(&sockets, 1000), UINT64_MAX);
    for (int i = 0; i < 8; i++)
        offer_socket_declined(&sockets.items[0], 1400);
    for (int i = 0; i < 8; i++)
        offer_socket_declined(&sockets.items[1], 1000);
    assert_int_equal(offer_sockets_tick(&sockets, 1400), 1500);
    assert_int_equal(offer_sockets_tick(&sockets, 1500), 1900);
}

static void test_cost_counts_jobs_and_bytes(void **state) {
    (void)state;
    struct offer_socket *from = &sockets.items[0];
    offer_socket_accepted(from, 3, 1000);
    offer_socket_accepted(from, 0, 0);
    assert_int_equal(from->cost, 3 * OFFER_JOB_COST + 1000);
}

#define FEEDS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(FEEDS_TEST(test_the_producer_with_the_least_cost_comes_next),
          FEEDS_TEST(test_of_producers_with_the_same_cost_the_first_comes_next),
          FEEDS_TEST(test_an_idle_producer_saves_up_no_cost),
          FEEDS_TEST(test_no_offer_is_lost_when_one_producer_is_silent), FEEDS_TEST(test_eight_declined_in_a_row),
          FEEDS_TEST(test_an_accepted_offer_ends_the_row), FEEDS_TEST(test_exactly_the_given_addresses_are_served),
          FEEDS_TEST(test_an_address_that_is_named_twice_is_served_once),
          FEEDS_TEST(test_producers_beyond_the_limit_are_logged_once),
          FEEDS_TEST(test_a_producer_without_a_key_is_tried_again_after_a_second),
          FEEDS_TEST(test_declines_at_a_closed_socket_do_not_make_it_wait_longer),
          FEEDS_TEST(test_the_next_socket_to_open_decides_about_the_tick), FEEDS_TEST(test_cost_counts_jobs_and_bytes))
