/* Offers of several producers: the order in which they are read, and when an uploader closes a socket. */
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

#define FEEDS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(FEEDS_TEST(test_the_producer_with_the_least_cost_comes_next),
          FEEDS_TEST(test_an_idle_producer_saves_up_no_cost),
          FEEDS_TEST(test_no_offer_is_lost_when_one_producer_is_silent), FEEDS_TEST(test_eight_declined_in_a_row),
          FEEDS_TEST(test_an_accepted_offer_ends_the_row))
