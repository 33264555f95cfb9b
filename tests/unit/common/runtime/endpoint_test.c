/* Endpoints: binding and connecting, full and vanished peers, and draining under load. */
#include "endpoint_pair.h"
#include "insecure.h"
#include "pure/proto.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include "unit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

/* Readable may mean: something that will be dropped. */
static void recv_some(struct endpoint *e, struct frame *f) {
    uint64_t end = clock_ms() + PATIENCE_MS;
    int err = ERR_AGAIN;
    while (err == ERR_AGAIN && clock_ms() < end) {
        assert_true(endpoint_wait_for(e, ENDPOINT_IN));
        err = endpoint_recv(e, f);
    }
    assert_int_equal(err, 0);
}

static void recv_wait(struct endpoint *e, struct frame *f, const char *expected) {
    recv_some(e, f);
    assert_true(slice_equal(f->data, slice_of(expected)));
}

static void converse(const char *address) {
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, address, &router, &dealer);
    assert_int_equal(endpoint_recv(router, &f), ERR_AGAIN);
    endpoint_send_wait(dealer, "question");
    recv_wait(router, &f, "question");
    assert_true(f.peer_len > 0);
    assert_int_equal(endpoint_send(router, f.peer, f.peer_len, slice_of("answer")), 0);
    recv_wait(dealer, &f, "answer");
    assert_int_equal(f.peer_len, 0);
    assert_int_equal(endpoint_recv(dealer, &f), ERR_AGAIN);
    frame_release(&f);
    frame_release(&f); /* twice is safe */
    endpoint_close(&dealer);
    endpoint_close(&router);
    endpoint_close(&router); /* so is this */
}

static void test_converse_over_ipc(void **state) {
    (void)state;
    converse("ipc://converse");
    struct stat st;
    assert_int_equal(lstat("converse", &st), -1); /* removed */
}

static void test_converse_over_tcp(void **state) {
    (void)state;
    converse("tcp://127.0.0.1:*");
}

/* "The bound address, with wildcards resolved" */
static void test_wildcard_is_resolved(void **state) {
    (void)state;
    struct endpoint *e;
    assert_int_equal(endpoint_open(&e, ENDPOINT_PUSH, "tcp://127.0.0.1:*"), 0);
    assert_null(strchr(endpoint_address(e), '*'));
    assert_int_equal(strncmp(endpoint_address(e), "tcp://127.0.0.1:", 16), 0);
    endpoint_close(&e);
}

/* "Binding ipc:// CHECKs nothing exists there: ERR_BUSY" */
static void test_second_bind_is_busy(void **state) {
    (void)state;
    struct endpoint *a, *b, *dealer;
    struct frame f = FRAME_INIT;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://taken", &a, &dealer);
    assert_int_equal(endpoint_open(&b, ENDPOINT_ROUTER, "ipc://taken"), ERR_BUSY);
    assert_null(b);
    endpoint_send_wait(dealer, "still yours");
    recv_wait(a, &f, "still yours");
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&a);

    assert_int_equal(endpoint_open(&a, ENDPOINT_ROUTER, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(endpoint_open(&b, ENDPOINT_ROUTER, endpoint_address(a)), ERR_BUSY);
    endpoint_close(&a);
}

/* "but for a socket that a killed process left" */
static void test_a_deserted_socket_is_taken_over(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "left"};
    int killed = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(killed, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(killed, 1), 0);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "ipc://left"), ERR_BUSY);
    close(killed);
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://left", &router, &dealer);
    endpoint_send_wait(dealer, "mine now");
    recv_wait(router, &f, "mine now");
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&router);
    FILE *plain = fopen("plain", "w");
    assert_non_null(plain);
    fclose(plain);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "ipc://plain"), ERR_BUSY);
}

static void test_bad_addresses(void **state) {
    (void)state;
    struct endpoint *e;
    char longest[1000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    memcpy(longest, "ipc://", 6);
    assert_int_equal(endpoint_open(&e, ENDPOINT_DEALER, "nonsense"), ERR_USAGE);
    assert_int_equal(endpoint_open(&e, ENDPOINT_DEALER, "http://host"), ERR_USAGE);
    assert_int_equal(endpoint_open(&e, ENDPOINT_DEALER, "tcp://127.0.0.1"), ERR_USAGE);
    assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, "tcp://127.0.0.1:99999"), ERR_USAGE);
    assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, longest), ERR_USAGE);
    longest[200] = 0; /* longer than sun_path */
    assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, longest), ERR_USAGE);
    assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, "ipc://no/such/directory/x"), ERR_IO);
    assert_null(e);
}

/* "ERR_NOT_FOUND: that peer is gone (ROUTER)" */
static void test_vanished_peer_is_not_found(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://vanish", &router, &dealer);
    assert_int_equal(endpoint_send(router, "nobody", 6, slice_of("x")), ERR_NOT_FOUND);
    endpoint_send_wait(dealer, "here");
    recv_wait(router, &f, "here");
    endpoint_close(&dealer);
    uint64_t end = clock_ms() + PATIENCE_MS;
    int err = 0;
    while (err == 0 && clock_ms() < end) {
        err = endpoint_send(router, f.peer, f.peer_len, slice_of("there?"));
        poll(NULL, 0, 1);
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_int_equal(endpoint_recv(router, &f), ERR_AGAIN);
    frame_release(&f);
    endpoint_close(&router);
}

/* Only replies of a ROUTER are counted. */
static void test_few_waiting_bytes_are_no_back_pressure(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://pressure", &router, &dealer);
    endpoint_send_wait(dealer, "here");
    recv_wait(router, &f, "here");
    assert_false(endpoint_is_backpressured(router, f.peer, f.peer_len));
    assert_false(endpoint_is_under_pressure(router));
    assert_true(endpoint_has_room(router, f.peer, f.peer_len, 1000));
    assert_false(endpoint_is_backpressured(dealer, "x", 1));
    assert_false(endpoint_is_under_pressure(dealer));
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* A DEALER without a connection reports it at once and keeps nothing (IMMEDIATE). */
static void test_unconnected_dealer_says_again(void **state) {
    (void)state;
    struct endpoint *dealer;
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, "ipc://nobody-listens"), 0);
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("x")), ERR_AGAIN);
    assert_int_equal(endpoint_events(dealer), 0);
    endpoint_close(&dealer);
}

/* A PULL that does not read swallows a bounded number of offers (HWM 1, small buffers). */
static void test_stalled_pull_swallows_little(void **state) {
    (void)state;
    struct endpoint *push, *pull;
    endpoint_pair_open(ENDPOINT_PUSH, ENDPOINT_PULL, "tcp://127.0.0.1:*", &push, &pull);
    assert_true(endpoint_wait_for(push, ENDPOINT_OUT));
    char *offer = calloc(1, PROTO_OFFER_MAX);
    int sent = 0;
    struct wait_item item = {.endpoint = push, .want = ENDPOINT_OUT};
    do {
        while (sent < 1000 && endpoint_send(push, NULL, 0, slice_make(offer, PROTO_OFFER_MAX)) == 0)
            sent++;
        assert_int_equal(endpoint_wait(&item, 1, 300), 0);
    } while (item.ready && sent < 1000);
    assert_in_range(sent, 1, 100);
    free(offer);
    endpoint_close(&pull);
    endpoint_close(&push);
}

/* "Frames that are not exactly one data part are dropped"; a frame past MAXMSGSIZE ends its connection. */
static void test_bad_frames_are_dropped(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "tcp://127.0.0.1:*"), 0);
    void *context = zmq_ctx_new(), *stranger = zmq_socket(context, ZMQ_DEALER),
         *named = zmq_socket(context, ZMQ_DEALER);
    char long_name[100];
    memset(long_name, 'n', sizeof long_name);
    assert_int_equal(zmq_setsockopt(named, ZMQ_ROUTING_ID, long_name, sizeof long_name), 0);
    assert_int_equal(zmq_connect(stranger, endpoint_address(router)), 0);
    assert_int_equal(zmq_connect(named, endpoint_address(router)), 0);
    assert_int_equal(zmq_send(named, "from a long name", 16, 0), 16);
    for (int i = 0; i < 3; i++)
        assert_int_equal(zmq_send(stranger, "two", 3, i < 2 ? ZMQ_SNDMORE : 0), 3);
    assert_int_equal(zmq_send(stranger, "one", 3, 0), 3);
    recv_wait(router, &f, "one");

    char *large = calloc(1, PROTO_FRAME_MAX + 1);
    assert_int_equal(zmq_send(stranger, large, PROTO_FRAME_MAX, 0), PROTO_FRAME_MAX);
    recv_some(router, &f);
    assert_int_equal(f.data.len, PROTO_FRAME_MAX);
    assert_int_equal(zmq_send(stranger, large, PROTO_FRAME_MAX + 1, 0), PROTO_FRAME_MAX + 1);
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, endpoint_address(router)), 0);
    endpoint_send_wait(dealer, "others go on");
    recv_wait(router, &f, "others go on");
    free(large);
    int zero = 0;
    zmq_setsockopt(stranger, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(named, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(stranger);
    zmq_close(named);
    zmq_ctx_term(context);
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* A message that is sent while the old connection ends may be lost with it. */
static void send_until_it_comes(struct endpoint *from, struct endpoint *to) {
    struct wait_item item = {.endpoint = to, .want = ENDPOINT_IN};
    struct frame f = FRAME_INIT;
    uint64_t end = clock_ms() + PATIENCE_MS;
    int err = ERR_AGAIN;
    while (err == ERR_AGAIN && clock_ms() < end) {
        endpoint_send_wait(from, "still here");
        assert_int_equal(endpoint_wait(&item, 1, 200), 0);
        err = endpoint_recv(to, &f);
    }
    assert_int_equal(err, 0);
    assert_true(slice_equal(f.data, slice_of("still here")));
    frame_release(&f);
}

/* "libzmq gives a connection up for ever when its other end breaks the protocol": we do not. */
static void test_connects_again_after_nonsense(void **state) {
    (void)state;
    struct endpoint *dealer, *router;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char address[64], heard[256];
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, address), 0);
    int peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL";
    static const char ready[] = "\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0";
    static const char too_large[] = "\x02\0\0\0\x7f\0\0\0\0";
    assert_int_equal(write(peer, greeting, 64), 64);
    assert_int_equal(write(peer, ready, sizeof ready - 1), sizeof ready - 1);
    assert_int_equal(write(peer, too_large, sizeof too_large - 1), sizeof too_large - 1);
    while (read(peer, heard, sizeof heard) > 0)
        ; /* until it is closed */
    close(peer);
    close(listener);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, address), 0);
    send_until_it_comes(dealer, router);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* A peer that sends more than is read, and leaves. libzmq 4.3.4 with heartbeats ends the process when it is their time
 * next: "Assertion failed: !_io_error". */
static void fill_and_leave(void *stranger, struct endpoint *ours, const void *route, size_t route_len) {
    struct pollfd nothing = {.fd = -1};
    int zero = 0, last = 0;
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_LINGER, &zero, sizeof zero), 0);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_SNDTIMEO, &(int){200}, sizeof(int)), 0);
    static char message[1 << 16];
    for (int i = 0; i < 1000 && last >= 0; i++) {
        if (route_len)
            last = zmq_send(stranger, route, route_len, ZMQ_SNDMORE);
        if (last >= 0)
            last = zmq_send(stranger, message, sizeof message, 0);
    }
    assert_int_equal(last, -1); /* all queues are full */
    zmq_close(stranger);
    assert_int_equal(poll(&nothing, 1, 5000), 0); /* longer than any heartbeat */
    struct frame f = FRAME_INIT;
    recv_some(ours, &f);
    frame_release(&f);
}

static void test_a_full_queue_and_a_peer_that_left(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    char route[256], text[16];
    void *context = zmq_ctx_new(), *stranger = zmq_socket(context, ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_SNDHWM, &(int){1}, sizeof(int)), 0);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_connect(stranger, endpoint_address(router)), 0);
    fill_and_leave(stranger, router, NULL, 0);
    endpoint_close(&router);

    stranger = zmq_socket(context, ZMQ_ROUTER);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_SNDHWM, &(int){1}, sizeof(int)), 0);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_ROUTER_MANDATORY, &(int){1}, sizeof(int)), 0);
    assert_int_equal(zmq_bind(stranger, "ipc://impostor"), 0);
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, "ipc://impostor"), 0);
    endpoint_send_wait(dealer, "hello");
    int len = zmq_recv(stranger, route, sizeof route, 0);
    assert_true(len > 0 && zmq_recv(stranger, text, sizeof text, 0) == 5);
    fill_and_leave(stranger, dealer, route, (size_t)len);
    endpoint_close(&dealer);
    frame_release(&f);
    zmq_ctx_term(context);
}

/* ---- load ---- */

#define LOAD 20000
#define LOAD_BUDGET 100 /* receives per wake-up: fewer than the waiting ones, the case that can stall */

struct sender {
    char address[128];
    int count;
};

/* Its own context and thread: the endpoints of this program are not for threads. */
static void *send_load(void *arg) {
    struct sender *s = arg;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_connect(socket, s->address);
    for (int i = 0; i < s->count; i++)
        zmq_send(socket, &i, sizeof i, 0);
    char reply[16];
    zmq_recv(socket, reply, sizeof reply, 0);
    zmq_close(socket);
    zmq_ctx_term(context);
    return NULL;
}

/* FACTS: one that skips looking at the events before it sleeps stalls at 20,000 messages. */
static void drain_load(const char *address) {
    struct endpoint *router;
    struct frame f = FRAME_INIT;
    struct sender sender = {.count = LOAD};
    pthread_t thread;
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, address), 0);
    snprintf(sender.address, sizeof sender.address, "%s", endpoint_address(router));
    assert_int_equal(pthread_create(&thread, NULL, send_load, &sender), 0);
    int got = 0;
    struct kept_peer peer = {.len = 0};
    while (got < LOAD) {
        struct wait_item items[2] = {{.endpoint = router, .want = ENDPOINT_IN}, {.fd = -1, .want = ENDPOINT_IN}};
        assert_int_equal(endpoint_wait(items, 1, PATIENCE_MS), 0);
        assert_int_equal(items[0].ready, ENDPOINT_IN); /* a stall would end here */
        for (int i = 0; i < LOAD_BUDGET && endpoint_recv(router, &f) == 0; i++) {
            int number;
            assert_int_equal(f.data.len, sizeof number);
            memcpy(&number, f.data.ptr, sizeof number);
            assert_int_equal(number, got);
            got++;
            peer_keep(&peer, &f);
        }
    }
    assert_int_equal(endpoint_send(router, peer.id, peer.len, slice_of("enough")), 0);
    pthread_join(thread, NULL);
    frame_release(&f);
    endpoint_close(&router);
}

static void test_drain_under_load_over_ipc(void **state) {
    (void)state;
    drain_load("ipc://load");
}

static void test_drain_under_load_over_tcp(void **state) {
    (void)state;
    drain_load("tcp://127.0.0.1:*");
}

/* The same with endpoint_fd and poll(2), as the uploader's loop does: endpoint_events last before sleeping. */
static void test_drain_by_descriptor(void **state) {
    (void)state;
    struct endpoint *router;
    struct frame f = FRAME_INIT;
    struct sender sender = {.count = LOAD};
    pthread_t thread;
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, "ipc://load-fd"), 0);
    snprintf(sender.address, sizeof sender.address, "%s", endpoint_address(router));
    assert_int_equal(pthread_create(&thread, NULL, send_load, &sender), 0);
    int got = 0;
    struct kept_peer peer = {.len = 0};
    while (got < LOAD) {
        for (int i = 0; i < LOAD_BUDGET && endpoint_recv(router, &f) == 0; i++) {
            got++;
            peer_keep(&peer, &f);
        }
        struct pollfd p = {.fd = endpoint_fd(router), .events = POLLIN};
        bool more = endpoint_events(router) & ENDPOINT_IN;
        if (!more && got < LOAD)
            assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    }
    assert_int_equal(endpoint_send(router, peer.id, peer.len, slice_of("enough")), 0);
    pthread_join(thread, NULL);
    frame_release(&f);
    endpoint_close(&router);
}

/* ---- waiting ---- */

static void test_wait_mixes_endpoints_and_descriptors(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    struct frame f = FRAME_INIT;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    endpoint_pair_open(ENDPOINT_ROUTER, ENDPOINT_DEALER, "ipc://mixed", &router, &dealer);
    assert_true(endpoint_wait_for(dealer, ENDPOINT_OUT));
    struct wait_item items[] = {{.endpoint = router, .want = ENDPOINT_IN},
                                {.endpoint = dealer, .want = 0},
                                {.fd = pipe_fds[0], .want = ENDPOINT_IN}};
    items[0].ready = items[1].ready = items[2].ready = 3;
    assert_int_equal(endpoint_wait(items, 3, 0), 0);
    assert_int_equal(items[0].ready | items[1].ready | items[2].ready, 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(endpoint_wait(items, 3, PATIENCE_MS), 0);
    assert_int_equal(items[2].ready, ENDPOINT_IN);
    assert_int_equal(items[0].ready | items[1].ready, 0);
    endpoint_send_wait(dealer, "x");
    assert_true(endpoint_wait_for(router, ENDPOINT_IN));
    assert_int_equal(endpoint_wait(items, 3, PATIENCE_MS), 0); /* both, although the fd alone would end the wait */
    assert_int_equal(items[0].ready, ENDPOINT_IN);
    assert_int_equal(items[2].ready, ENDPOINT_IN);
    close(pipe_fds[1]);
    close(pipe_fds[0]);
    frame_release(&f);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* More items than fit on the stack, and the limit of time. */
static void test_wait_for_many(void **state) {
    (void)state;
    enum { COUNT = 100 };
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    struct wait_item items[COUNT];
    for (int i = 0; i < COUNT; i++)
        items[i] = (struct wait_item){.fd = pipe_fds[0], .want = ENDPOINT_IN};
    uint64_t start = clock_ms();
    assert_int_equal(endpoint_wait(items, COUNT, 30), 0);
    assert_true(clock_ms() - start >= 29);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(endpoint_wait(items, COUNT, -1), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(items[i].ready, ENDPOINT_IN);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* "endpoint_shutdown_all waits for it" */
static void test_flush_lets_a_goodbye_leave(void **state) {
    (void)state;
    void *context = zmq_ctx_new(), *server = zmq_socket(context, ZMQ_ROUTER);
    assert_int_equal(zmq_bind(server, "ipc://goodbye"), 0);
    struct endpoint *dealer;
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, "ipc://goodbye"), 0);
    endpoint_send_wait(dealer, "bye");
    endpoint_close_flush(&dealer, 1000);
    endpoint_shutdown_all();
    endpoint_shutdown_all(); /* twice is safe */
    char bytes[16];
    int patience = PATIENCE_MS;
    zmq_setsockopt(server, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_true(zmq_recv(server, bytes, sizeof bytes, 0) > 0);
    assert_int_equal(zmq_recv(server, bytes, sizeof bytes, 0), 3);
    assert_memory_equal(bytes, "bye", 3);
    zmq_close(server);
    zmq_ctx_term(context);
}

static int end_context(void **state) {
    (void)state;
    endpoint_shutdown_all();
    return 0;
}

#define TEST(test) cmocka_unit_test_teardown(test, end_context)

UNIT_MAIN(TEST(test_converse_over_ipc), TEST(test_converse_over_tcp), TEST(test_wildcard_is_resolved),
          TEST(test_second_bind_is_busy), TEST(test_a_deserted_socket_is_taken_over), TEST(test_bad_addresses),
          TEST(test_vanished_peer_is_not_found), TEST(test_few_waiting_bytes_are_no_back_pressure),
          TEST(test_unconnected_dealer_says_again), TEST(test_stalled_pull_swallows_little),
          TEST(test_bad_frames_are_dropped), TEST(test_connects_again_after_nonsense),
          TEST(test_a_full_queue_and_a_peer_that_left), TEST(test_drain_under_load_over_ipc),
          TEST(test_drain_under_load_over_tcp), TEST(test_drain_by_descriptor),
          TEST(test_wait_mixes_endpoints_and_descriptors), TEST(test_wait_for_many),
          TEST(test_flush_lets_a_goodbye_leave))
