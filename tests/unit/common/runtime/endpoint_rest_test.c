/* An endpoint at rest: it is not read until it is woken, it sends, or a second is over. */
#include "endpoint_pair.h"
#include "insecure.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include "unit.h"
#include <poll.h>

static void wait_for_fd(const struct endpoint *e) {
    struct pollfd p = {.fd = endpoint_fd(e), .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

/* Until nothing is left to do for libzmq, so that only a message makes the fd readable. */
static void let_rest(struct endpoint *e) {
    for (struct pollfd p = {.fd = endpoint_fd(e), .events = POLLIN}; poll(&p, 1, 100) == 1;)
        assert_int_equal(endpoint_events(e) & ENDPOINT_IN, 0);
    assert_int_equal(endpoint_rest(e) & ENDPOINT_IN, 0);
}

static void test_a_resting_endpoint_gets_messages_when_it_is_woken(void **state) {
    (void)state;
    struct endpoint *push, *pull;
    struct frame f = FRAME_INIT;
    endpoint_pair_open(ENDPOINT_PUSH, ENDPOINT_PULL, "ipc://resting", &push, &pull);
    assert_true(endpoint_wait_for(push, ENDPOINT_OUT));
    let_rest(pull);
    endpoint_send_wait(push, "x");
    wait_for_fd(pull);
    assert_int_equal(endpoint_rest(pull), 0);
    assert_int_equal(endpoint_recv(pull, &f), ERR_AGAIN);
    endpoint_wake(pull);
    assert_int_equal(endpoint_rest(pull), ENDPOINT_IN); /* and it does not rest */
    assert_int_equal(endpoint_recv(pull, &f), 0);
    frame_release(&f);
    endpoint_close(&push);
    endpoint_close(&pull);
}

static void test_a_send_and_a_second_end_the_rest(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    struct kept_peer peer = {.len = 0};
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://resting-both", &router, &dealer);
    assert_true(endpoint_wait_for(dealer, ENDPOINT_OUT));
    endpoint_send_wait(dealer, "1");
    assert_true(endpoint_wait_for(router, ENDPOINT_IN));
    assert_int_equal(endpoint_recv(router, &f), 0);
    peer_keep(&peer, &f);
    let_rest(dealer);
    assert_int_equal(endpoint_send(router, peer.id, peer.len, slice_of("a")), 0);
    wait_for_fd(dealer);
    assert_int_equal(endpoint_recv(dealer, &f), ERR_AGAIN);
    endpoint_send_wait(dealer, "2");
    assert_int_equal(endpoint_recv(dealer, &f), 0);
    let_rest(dealer);
    uint64_t began_ms = clock_ms();
    assert_int_equal(endpoint_send(router, peer.id, peer.len, slice_of("b")), 0);
    wait_for_fd(dealer);
    while (endpoint_recv(dealer, &f) == ERR_AGAIN) { /* without endpoint_wake */
        assert_true(clock_ms() < began_ms + PATIENCE_MS);
        poll(NULL, 0, 5);
    }
    assert_in_range(clock_ms() - began_ms, 500, 1000 + PATIENCE_MS);
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* A report of a connection may be among the services that are left out, so the loop must not sleep for long. */
static void test_a_service_that_was_left_out_is_due_soon(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://owed", &router, &dealer);
    assert_true(endpoint_wait_for(dealer, ENDPOINT_OUT));
    for (int i = 0; i < 1000 && endpoint_wait_max_ms(dealer) != 5; i++) /* twice within 5 ms */
        assert_int_equal(endpoint_recv(dealer, &f), ERR_AGAIN);
    assert_int_equal(endpoint_wait_max_ms(dealer), 5);
    poll(NULL, 0, 6);
    assert_int_equal(endpoint_recv(dealer, &f), ERR_AGAIN);
    assert_true(endpoint_wait_max_ms(dealer) > 5);
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static int end_context(void **state) {
    (void)state;
    endpoint_shutdown_all();
    return 0;
}

#define TEST(test) cmocka_unit_test_teardown(test, end_context)

UNIT_MAIN(TEST(test_a_resting_endpoint_gets_messages_when_it_is_woken), TEST(test_a_send_and_a_second_end_the_rest),
          TEST(test_a_service_that_was_left_out_is_due_soon))
