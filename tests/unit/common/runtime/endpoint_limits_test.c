/* The sizes of messages, the addresses and the names of peers that an endpoint accepts, and how it finds dead hosts. */
#include "capture.h"
#include "endpoint_pair.h"
#include "files.h"
#include "insecure.h"
#include "pure/proto.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include "unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <zmq.h>

static struct capture said;

/* A socket that is none of ours, connected to address. */
static void *stranger_open(void *context, int type, const char *address) {
    int none = 0;
    void *s = zmq_socket(context, type);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_connect(s, address), 0);
    return s;
}

static size_t size_of_next(struct endpoint *e) {
    struct frame f = FRAME_INIT;
    assert_true(endpoint_wait_for(e, ENDPOINT_IN));
    assert_int_equal(endpoint_recv(e, &f), 0);
    size_t len = f.data.len;
    frame_release(&f);
    return len;
}

/* The first size is accepted. The second one ends its connection, and the socket connects again. */
static void test_an_offer_has_at_most_16_kib(void **state) {
    (void)state;
    static char offer[PROTO_OFFER_MAX + 1];
    char at[64];
    int none = 0;
    void *context = zmq_ctx_new(), *push = zmq_socket(context, ZMQ_PUSH);
    zmq_setsockopt(push, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_bind(push, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(push, ZMQ_LAST_ENDPOINT, at, &(size_t){sizeof at}), 0);
    struct endpoint *pull;
    assert_int_equal(endpoint_open(&pull, ENDPOINT_PULL, at), 0);
    assert_int_equal(zmq_send(push, offer, PROTO_OFFER_MAX, 0), PROTO_OFFER_MAX);
    assert_int_equal(size_of_next(pull), PROTO_OFFER_MAX);
    assert_int_equal(zmq_send(push, offer, PROTO_OFFER_MAX + 1, 0), PROTO_OFFER_MAX + 1);
    struct wait_item item = {.endpoint = pull, .want = ENDPOINT_IN};
    for (uint64_t end = clock_ms() + PATIENCE_MS; !item.ready;) { /* a message that is sent too early is lost */
        assert_true(clock_ms() < end);
        (void)!zmq_send(push, "next", 4, ZMQ_DONTWAIT);
        assert_int_equal(endpoint_wait(&item, 1, 100), 0);
    }
    assert_int_equal(size_of_next(pull), 4);
    endpoint_close(&pull);
    zmq_close(push);
    zmq_ctx_term(context);
}

static void test_a_peer_has_a_name_of_at_most_16_bytes(void **state) {
    (void)state;
    struct endpoint *router;
    struct frame f = FRAME_INIT;
    static const char name[] = "seventeen letters";
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "ipc://names"), 0);
    void *context = zmq_ctx_new();
    for (size_t len = 17; len >= 16; len--) {
        int none = 0;
        void *peer = zmq_socket(context, ZMQ_DEALER);
        zmq_setsockopt(peer, ZMQ_LINGER, &none, sizeof none);
        assert_int_equal(zmq_setsockopt(peer, ZMQ_ROUTING_ID, name, len), 0);
        assert_int_equal(zmq_connect(peer, "ipc://names"), 0);
        assert_int_equal(zmq_send(peer, name, len, 0), len);
        assert_true(endpoint_wait_for(router, ENDPOINT_IN));
        assert_int_equal(endpoint_recv(router, &f), len > 16 ? ERR_AGAIN : 0);
        zmq_close(peer);
    }
    assert_int_equal(f.peer_len, 16);
    assert_memory_equal(f.peer, name, 16);
    assert_int_equal(f.data.len, 16);
    frame_release(&f);
    endpoint_close(&router);
    zmq_ctx_term(context);
}

static const char *open_logged(enum endpoint_kind kind, const char *address, int expected) {
    struct endpoint *e;
    capture_begin(&said, STDERR_FILENO);
    int err = endpoint_open(&e, kind, address);
    capture_end(&said);
    assert_int_equal(err, expected);
    endpoint_close(&e);
    return said.text;
}

static void test_a_port_has_at_most_five_digits_and_16_bits(void **state) {
    (void)state;
    assert_string_equal(open_logged(ENDPOINT_DEALER, "tcp://127.0.0.1:65535", 0), "");
    assert_non_null(strstr(open_logged(ENDPOINT_DEALER, "tcp://127.0.0.1:65536", ERR_USAGE), "there is no such port"));
    assert_non_null(strstr(open_logged(ENDPOINT_DEALER, "tcp://127.0.0.1:000080", ERR_USAGE), "no such port"));
    assert_non_null(strstr(open_logged(ENDPOINT_DEALER, "tcp://127.0.0.1:", ERR_USAGE), "cannot connect"));
}

static void test_an_address_has_fewer_than_512_bytes(void **state) {
    (void)state;
    char address[513] = "ipc://";
    memset(address + 6, 'x', sizeof address - 7);
    address[512] = '\0';
    assert_non_null(strstr(open_logged(ENDPOINT_DEALER, address, ERR_USAGE), "use one under 512 bytes"));
    address[511] = '\0';
    assert_null(strstr(open_logged(ENDPOINT_DEALER, address, ERR_USAGE), "use one under"));
}

/* A name in the abstract namespace, and one that libzmq chooses, are no paths. */
static void test_a_file_is_not_in_the_way_of_an_address_without_a_path(void **state) {
    (void)state;
    char abstract[64];
    snprintf(abstract, sizeof abstract, "ipc://@chunklift-test-%ld", (long)getpid());
    const char *addresses[] = {abstract, "ipc://*"};
    for (size_t i = 0; i < 2; i++) {
        struct endpoint *e;
        file_put_text(addresses[i] + 6, "");
        assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, addresses[i]), 0);
        endpoint_close(&e);
    }
}

/* The result of the check counts, not an error of an earlier call. */
static void test_an_earlier_error_does_not_deny_a_socket(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "ipc://allowed"), 0);
    errno = EACCES;
    assert_int_equal(endpoint_open_consumer(&dealer, "ipc://allowed"), 0);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static void test_a_host_may_be_an_ipv6_address(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int bound = bind(fd, (struct sockaddr *)&at, sizeof at);
    close(fd);
    if (bound != 0)
        skip();
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "tcp://[::1]:*", &router, &dealer);
    endpoint_send_wait(dealer, "hello");
    assert_int_equal(size_of_next(router), 5);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static int option_of(int fd, int level, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

/* The descriptor of this process that is connected to the port of address. */
static int connection_to(const char *address) {
    unsigned port = (unsigned)atoi(strrchr(address, ':') + 1);
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == port)
            return fd;
    }
    fail_msg("no connection to %s", address);
    return -1;
}

static void assert_keepalive(int fd) {
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 10);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 3);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
}

/* "Tcp finds dead hosts: by keepalive within 20 s, within 10 s when bytes were sent to them." */
static void test_a_conversation_over_tcp_finds_dead_hosts(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "tcp://127.0.0.1:*", &router, &dealer);
    assert_true(endpoint_wait_for(dealer, ENDPOINT_OUT));
    int fd = connection_to(endpoint_address(router));
    assert_keepalive(fd);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 10000);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* Few offers are lost when an uploader dies. (Linux doubles the sizes of buffers.) */
static void test_offers_over_tcp_have_small_buffers(void **state) {
    (void)state;
    struct endpoint *push, *pull;
    endpoint_pair_open(ENDPOINT_PUSH, ENDPOINT_PULL, "tcp://127.0.0.1:*", &push, &pull);
    assert_true(endpoint_wait_for(push, ENDPOINT_OUT));
    int fd = connection_to(endpoint_address(push));
    assert_keepalive(fd);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), 2 * 32768);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), 2 * 32768);
    endpoint_close(&pull);
    endpoint_close(&push);
}

/* ---- how long a loop may sleep ---- */

static void test_a_socket_with_connections_over_tcp_is_looked_at_often(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "tcp://127.0.0.1:*", &router, &dealer);
    assert_int_equal(endpoint_wait_max_ms(router), INT_MAX);
    endpoint_send_wait(dealer, "hello");
    assert_int_equal(size_of_next(router), 5);
    for (uint64_t end_ms = clock_ms() + 20000; endpoint_wait_max_ms(dealer) == INT_MAX && clock_ms() < end_ms;)
        (void)endpoint_events(dealer); /* until it knows of its connection */
    assert_int_equal(endpoint_wait_max_ms(router), 100);
    assert_int_equal(endpoint_wait_max_ms(dealer), 25);
    for (int i = 0; i < 100; i++) { /* no service is left out */
        (void)endpoint_events(router);
        (void)endpoint_events(dealer);
        assert_int_equal(endpoint_wait_max_ms(router), 100);
        assert_int_equal(endpoint_wait_max_ms(dealer), 25);
    }
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static void test_a_bound_local_socket_is_served_each_time(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://served", &router, &dealer);
    endpoint_send_wait(dealer, "hello");
    assert_int_equal(size_of_next(router), 5);
    for (int i = 0; i < 100; i++) {
        (void)endpoint_events(router);
        assert_int_equal(endpoint_wait_max_ms(router), INT_MAX);
    }
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* It is interrupted to look at the connections, and goes on. */
static void test_a_wait_lasts_as_long_as_asked(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "tcp://127.0.0.1:*", &router, &dealer);
    endpoint_send_wait(dealer, "hello");
    assert_int_equal(size_of_next(router), 5);
    struct wait_item items[] = {{.endpoint = dealer, .want = ENDPOINT_IN}, {.endpoint = router, .want = ENDPOINT_IN}};
    uint64_t start = clock_ms();
    assert_int_equal(endpoint_wait(items, 2, 130), 0);
    assert_in_range(clock_ms() - start, 129, PATIENCE_MS);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static void on_alarm(int number) {
    (void)number;
}

static void test_a_signal_ends_a_wait(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000}, never = {{0}, {0}};
    struct endpoint *router;
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "ipc://interrupted"), 0);
    struct wait_item item = {.endpoint = router, .want = ENDPOINT_IN};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    uint64_t start = clock_ms();
    int err = endpoint_wait(&item, 1, PATIENCE_MS);
    uint64_t waited_ms = clock_ms() - start;
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(err, 0);
    assert_int_equal(item.ready, 0);
    assert_in_range(waited_ms, 0, PATIENCE_MS - 1);
    endpoint_close(&router);
}

static void test_a_peer_without_a_message_is_watched_too(void **state) {
    (void)state;
    struct endpoint *router;
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "tcp://127.0.0.1:*"), 0);
    void *context = zmq_ctx_new(), *peer = stranger_open(context, ZMQ_DEALER, endpoint_address(router));
    for (uint64_t end = clock_ms() + PATIENCE_MS; endpoint_wait_max_ms(router) != 100;) {
        assert_true(clock_ms() < end);
        (void)endpoint_events(router);
    }
    zmq_close(peer);
    zmq_ctx_term(context);
    endpoint_close(&router);
}

static int end_context(void **state) {
    (void)state;
    endpoint_shutdown_all();
    return 0;
}

#define TEST(test) cmocka_unit_test_teardown(test, end_context)

UNIT_MAIN(TEST(test_an_offer_has_at_most_16_kib), TEST(test_a_peer_has_a_name_of_at_most_16_bytes),
          TEST(test_a_port_has_at_most_five_digits_and_16_bits), TEST(test_an_address_has_fewer_than_512_bytes),
          TEST(test_a_file_is_not_in_the_way_of_an_address_without_a_path),
          TEST(test_an_earlier_error_does_not_deny_a_socket), TEST(test_a_host_may_be_an_ipv6_address),
          TEST(test_a_conversation_over_tcp_finds_dead_hosts), TEST(test_offers_over_tcp_have_small_buffers),
          TEST(test_a_socket_with_connections_over_tcp_is_looked_at_often),
          TEST(test_a_bound_local_socket_is_served_each_time), TEST(test_a_wait_lasts_as_long_as_asked),
          TEST(test_a_peer_without_a_message_is_watched_too), TEST(test_a_signal_ends_a_wait))
