/* The sockets that bytes are fetched through: their number, their order, and the addresses in offers. */
#include "insecure.h"
#include "unit.h"

#include "pure/proto.h"
#include "system/clock.h"
#include "uploader/source/fetch_connection.h"
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 20000

static struct fetch_connections all;
static struct frame frame;

static int tear_down(void **state) {
    (void)state;
    fetch_connections_release(&all);
    frame_release(&frame);
    endpoint_shutdown_all();
    return 0;
}

static struct fetch_connection *get(int i, uint64_t now_ms) {
    char address[64];
    struct fetch_connection *c;
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", 20000 + i);
    return fetch_connections_get(&all, slice_of(address), now_ms, &c) ? NULL : c;
}

static void test_an_address_has_one_connection(void **state) {
    (void)state;
    struct fetch_connection *c = get(1, 1000);
    assert_ptr_equal(get(1, 2000), c);
    assert_ptr_not_equal(get(2, 2000), c);
}

static void test_the_idle_connection_used_longest_ago_makes_room(void **state) {
    (void)state;
    for (int i = 0; i < FETCH_CONNECTIONS_MAX; i++)
        get(i, 1000)->users = 1;
    assert_null(get(100, 5000));
    get(3, 0)->users = get(5, 0)->users = get(9, 0)->users = 0;
    get(3, 0)->used_ms = 3000;
    get(5, 0)->used_ms = 2000;
    get(9, 0)->used_ms = 4000;
    struct fetch_connection *replaced = get(5, 0);
    assert_ptr_equal(get(100, 5000), replaced);
    assert_int_equal(replaced->used_ms, 5000);
    replaced->users = 1;
    assert_ptr_not_equal(get(3, 0), NULL);
    assert_int_equal(get(3, 0)->used_ms, 3000); /* it is still there */
}

static void test_a_connection_closes_when_it_is_idle(void **state) {
    (void)state;
    assert_int_equal(fetch_connections_tick(&all, 1000), UINT64_MAX);
    struct fetch_connection *busy = get(1, 1000), *idle = get(2, 1500), *later = get(3, 1600);
    busy->users = 1;
    assert_int_equal(fetch_connections_tick(&all, 1499 + FETCH_CONNECTION_IDLE_MS), 1500 + FETCH_CONNECTION_IDLE_MS);
    assert_int_equal(fetch_connections_tick(&all, 1500 + FETCH_CONNECTION_IDLE_MS), 1600 + FETCH_CONNECTION_IDLE_MS);
    assert_null(idle->address);
    assert_non_null(later->address);
    assert_non_null(busy->address);
}

static void test_an_address_that_cannot_be_connected_leaves_no_connection(void **state) {
    (void)state;
    struct fetch_connection *c;
    assert_int_not_equal(fetch_connections_get(&all, slice_of("tcp://127.0.0.1:nothing"), 1000, &c), 0);
    assert_null(c);
    assert_int_equal(fetch_connections_tick(&all, 1000), UINT64_MAX);
}

/* --- order --- */

static struct endpoint *producers[2];

/* Each producer learns its peer from a message. */
static void send_two_each(void) {
    for (int p = 0; p < 2; p++) {
        struct fetch_connection *c;
        struct wait_item item = {.endpoint = producers[p], .fd = -1, .want = ENDPOINT_IN};
        assert_int_equal(fetch_connections_get(&all, slice_of(endpoint_address(producers[p])), 1000, &c), 0);
        uint64_t end_ms = clock_ms() + PATIENCE_MS;
        while (endpoint_send(c->endpoint, NULL, 0, slice_of("hello")))
            assert_true(clock_ms() < end_ms);
        assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
        assert_int_equal(endpoint_recv(producers[p], &frame), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(endpoint_send(producers[p], frame.peer, frame.peer_len, slice_of("data")), 0);
        item = (struct wait_item){.endpoint = c->endpoint, .fd = -1, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
    }
}

static struct fetch_connection *next(void) {
    struct fetch_connection *from;
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    while (fetch_connections_recv(&all, &frame, &from))
        assert_true(clock_ms() < end_ms);
    return from;
}

static void test_producers_are_read_in_turn(void **state) {
    (void)state;
    for (int p = 0; p < 2; p++)
        assert_int_equal(endpoint_open(&producers[p], ENDPOINT_DATA, "tcp://127.0.0.1:*"), 0);
    send_two_each();
    struct fetch_connection *first = next(), *second = next(), *from;
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(next(), first);
    assert_ptr_equal(next(), second);
    assert_int_equal(fetch_connections_recv(&all, &frame, &from), ERR_AGAIN);
    for (int p = 0; p < 2; p++)
        endpoint_close(&producers[p]);
}

/* --- addresses --- */

static bool address(const char *data, const char *jobs, const char *expected, size_t size) {
    char out[128];
    if (!fetch_address(slice_of(data), jobs, out, size))
        return false;
    assert_string_equal(out, expected);
    return true;
}

static void test_an_address_fits_with_its_nul(void **state) {
    (void)state;
    const char *text = "tcp://10.0.0.1:7702";
    assert_true(address(text, "tcp://a:1", text, strlen(text) + 1));
    assert_false(address(text, "tcp://a:1", text, strlen(text)));
    assert_true(
        address("tcp://*:7702", "tcp://a.example:1", "tcp://a.example:7702", strlen("tcp://a.example:7702") + 1));
    assert_false(address("tcp://*:7702", "tcp://a.example:1", "", strlen("tcp://a.example:7702")));
}

static void test_a_port_has_at_most_15_characters(void **state) {
    (void)state;
    assert_true(address("tcp://*:123456789012345", "tcp://a:1", "tcp://a:123456789012345", 128));
    assert_false(address("tcp://*:1234567890123456", "tcp://a:1", "", 128));
}

static void test_a_host_that_starts_like_an_unspecified_one_is_kept(void **state) {
    (void)state;
    assert_true(address("tcp://0.0.0.1:5", "tcp://a:1", "tcp://0.0.0.1:5", 128));
    assert_true(address("tcp://::1:5", "tcp://a:1", "tcp://::1:5", 128));
    assert_true(address("tcp://:::5", "tcp://a:1", "tcp://a:5", 128));
}

static void test_an_interface_is_not_part_of_the_host(void **state) {
    (void)state;
    assert_true(address("tcp://eth0;*:5", "tcp://a:1", "tcp://a:5", 128));
    assert_true(address("tcp://*:5", "tcp://host:1;x", "tcp://host:5", 128));
}

static void test_a_local_socket_must_exist(void **state) {
    (void)state;
    assert_true(address("ipc:///dev/null", "ipc:///run/jobs", "ipc:///dev/null", 128));
    assert_false(address("ipc:///there/is/none", "ipc:///run/jobs", "", 128));
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
UNIT_MAIN(TEST(test_an_address_has_one_connection), TEST(test_the_idle_connection_used_longest_ago_makes_room),
          TEST(test_a_connection_closes_when_it_is_idle),
          TEST(test_an_address_that_cannot_be_connected_leaves_no_connection), TEST(test_producers_are_read_in_turn),
          cmocka_unit_test(test_an_address_fits_with_its_nul), cmocka_unit_test(test_a_port_has_at_most_15_characters),
          cmocka_unit_test(test_a_host_that_starts_like_an_unspecified_one_is_kept),
          cmocka_unit_test(test_an_interface_is_not_part_of_the_host), cmocka_unit_test(test_a_local_socket_must_exist))
