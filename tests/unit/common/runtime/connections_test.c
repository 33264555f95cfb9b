/* The limits of one socket: its number of connections, and the bytes that were received and not read. */
#include "capture.h"
#include "runtime/connections.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/log.h"
#include "unit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#define PATIENCE_MS 20000
#define FEWEST 4       /* connections that are allowed when almost no descriptor is free */
#define SILENT_MS 2000 /* a client that sent nothing for so long is closed first */
#define UNREAD_MAX 1000000
#define SCANS_MS 300 /* time for several scans */

static void *context, *router;
static struct connections *c;
static struct sockaddr_in address;
static char endpoint[64];
static struct capture said;
static uint64_t unread_max;
static uint64_t stopped_ms; /* the result of clock_ms; 0: the time */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void) {
    return stopped_ms ? stopped_ms : __real_clock_ms();
}

static uint64_t real_ms(void) {
    return clock_ns() / 1000000;
}

/* A router with the fewest connections, or with many. */
static void open_router(bool few, bool clients_talk_first) {
    struct connections_options o = {.context = context,
                                    .socket = router,
                                    .address = endpoint,
                                    .tcp = true,
                                    .binds = true,
                                    .clients_talk_first = clients_talk_first,
                                    .unread_max = unread_max};
    struct rlimit limit, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = limit.rlim_cur < 65536 ? limit.rlim_cur : 65536;
    low.rlim_cur = low.rlim_cur - descriptors_free() + 10;
    if (few)
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(connections_new(&c, &o), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(zmq_bind(router, "tcp://127.0.0.1:*"), 0);
    size_t size = sizeof endpoint;
    assert_int_equal(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
}

static int setup(void **state) {
    (void)state;
    int none = 0;
    stopped_ms = 0;
    unread_max = UNREAD_MAX;
    log_setup("test", LOG_WARN, false);
    context = zmq_ctx_new();
    router = zmq_socket(context, ZMQ_ROUTER);
    return zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof none);
}

static int teardown(void **state) {
    (void)state;
    connections_destroy(&c);
    zmq_close(router);
    zmq_ctx_shutdown(context);
    return 0;
}

/* A client that sends nothing, not even a greeting. */
static int silent_client(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* A client that connects once. */
static void *talking_client(void) {
    int none = 0, never = -1;
    void *s = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(s, ZMQ_RECONNECT_IVL, &never, sizeof never);
    assert_int_equal(zmq_connect(s, endpoint), 0);
    return s;
}

static void service_until(size_t count) {
    uint64_t end = real_ms() + PATIENCE_MS;
    for (connections_service(c, false); connections_count(c) != count; connections_service(c, false)) {
        assert_true(real_ms() < end);
        poll(NULL, 0, 1);
    }
}

static void service_for(uint64_t ms) {
    for (uint64_t end = real_ms() + ms; real_ms() < end; poll(NULL, 0, 1))
        connections_service(c, false);
}

/* Waits for the end of the connection. */
static void assert_closed(int fd) {
    char bytes[128];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t end = real_ms() + PATIENCE_MS;
    ssize_t n = 1;
    while (n > 0) { /* perhaps a greeting; then the end */
        assert_true(real_ms() < end);
        connections_service(c, false);
        if (poll(&p, 1, 1) == 1)
            n = read(fd, bytes, sizeof bytes);
    }
    assert_int_equal(n, 0);
}

static void assert_open(int fd) {
    char bytes[128];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        ;
    assert_int_equal(n, -1);
}

/* The next message; returns the descriptor of its connection. */
static int receive(char *text, size_t size) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    uint64_t end = real_ms() + PATIENCE_MS;
    while (zmq_msg_recv(&part, router, ZMQ_DONTWAIT) < 0) { /* its sender */
        assert_true(real_ms() < end);
        connections_service(c, false);
        poll(NULL, 0, 1);
    }
    assert_true(zmq_msg_recv(&part, router, 0) >= 0);
    size_t len = zmq_msg_size(&part) < size ? zmq_msg_size(&part) : size;
    memcpy(text, zmq_msg_data(&part), len);
    int fd = zmq_msg_get(&part, ZMQ_SRCFD);
    connections_service(c, false);
    connections_count_taken(c, fd, zmq_msg_size(&part));
    zmq_msg_close(&part);
    return fd;
}

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

static void test_the_newest_connection_beyond_the_limit_is_closed(void **state) {
    (void)state;
    int fds[FEWEST + 2];
    open_router(true, true);
    for (size_t i = 0; i < FEWEST; i++) {
        fds[i] = silent_client();
        service_until(i + 1);
    }
    capture_begin(&said, STDERR_FILENO);
    for (size_t i = FEWEST; i < FEWEST + 2; i++) {
        fds[i] = silent_client();
        assert_closed(fds[i]);
    }
    capture_end(&said);
    assert_int_equal(count_of(said.text, "the limit of 4 connections is reached"), 1); /* not for each */
    assert_int_equal(connections_count(c), FEWEST);
    for (size_t i = 0; i < FEWEST + 2; i++) {
        if (i < FEWEST)
            assert_open(fds[i]);
        close(fds[i]);
    }
    service_until(0);
    assert_false(connections_are_watched(c));
}

static void test_the_oldest_client_that_never_talked_is_closed_first(void **state) {
    (void)state;
    char text[8];
    open_router(true, true);
    void *talks = talking_client();
    assert_int_equal(zmq_send(talks, "hello", 5, 0), 5);
    receive(text, sizeof text);
    int first = silent_client();
    service_until(2);
    int second = silent_client();
    service_until(3);
    service_for(SILENT_MS + 100);
    int third = silent_client();
    service_until(4);
    capture_begin(&said, STDERR_FILENO);
    int fourth = silent_client();
    assert_closed(first);
    capture_end(&said);
    assert_open(second);
    assert_open(third);
    assert_open(fourth);
    assert_int_equal(zmq_send(talks, "again", 5, 0), 5);
    receive(text, sizeof text);
    assert_memory_equal(text, "again", 5);
    int fds[] = {first, second, third, fourth};
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    zmq_close(talks);
}

/* A client of a PUSH socket sends nothing. */
static void test_silence_is_no_reason_where_clients_do_not_talk(void **state) {
    (void)state;
    int fds[FEWEST];
    open_router(true, false);
    for (size_t i = 0; i < FEWEST; i++) {
        fds[i] = silent_client();
        service_until(i + 1);
    }
    service_for(SILENT_MS + 100);
    capture_begin(&said, STDERR_FILENO);
    int newest = silent_client();
    assert_closed(newest);
    capture_end(&said);
    close(newest);
    for (size_t i = 0; i < FEWEST; i++) {
        assert_open(fds[i]);
        close(fds[i]);
    }
}

static void send_bytes(void *s, size_t bytes) {
    static char message[10000];
    for (; bytes; bytes -= sizeof message)
        assert_int_equal(zmq_send(s, message, sizeof message, 0), sizeof message);
}

static void test_the_connections_with_most_unread_bytes_are_closed(void **state) {
    (void)state;
    open_router(false, true);
    void *light = talking_client(), *heavy = talking_client(), *heaviest = talking_client();
    service_until(3);
    send_bytes(light, 100000);
    send_bytes(heavy, 500000);
    service_for(SCANS_MS);
    assert_int_equal(connections_count(c), 3); /* within the limit */
    capture_begin(&said, STDERR_FILENO);
    send_bytes(heaviest, 800000);
    service_until(1); /* until half of the limit is free */
    service_for(SCANS_MS);
    capture_end(&said);
    assert_int_equal(connections_count(c), 1);
    assert_int_equal(count_of(said.text, "messages arrive faster than they can be read"), 1);
    assert_int_equal(zmq_send(light, "", 0, 0), 0); /* it is connected */
    zmq_close(light);
    zmq_close(heavy);
    zmq_close(heaviest);
}

static void test_bytes_that_are_read_count_no_more(void **state) {
    (void)state;
    char text[8];
    open_router(false, true);
    void *client = talking_client();
    for (int i = 0; i < 20; i++) {
        send_bytes(client, 300000);
        for (int k = 0; k < 30; k++)
            receive(text, sizeof text);
        connections_service(c, true);
    }
    service_for(SCANS_MS);
    assert_int_equal(connections_count(c), 1);
    send_bytes(client, 900000);
    service_for(SCANS_MS);
    assert_int_equal(connections_count(c), 1);
    zmq_close(client);
}

static bool has_key(const struct curve_key *key) {
    return key->text[0] != '\0';
}

static void test_connections_without_a_trusted_key_are_closed(void **state) {
    (void)state;
    char text[8];
    struct curve_key key = {"k"};
    open_router(false, true);
    void *talks = talking_client();
    assert_int_equal(zmq_send(talks, "hello", 5, 0), 5);
    int fd = receive(text, sizeof text), silent = silent_client();
    connections_set_key(c, fd, &key);
    connections_set_key(c, -1, &key);
    connections_count_taken(c, -1, 5);
    connections_set_key(c, 1000000, &key);
    connections_count_taken(c, 1000000, 5);
    service_until(2);
    assert_true(connections_are_watched(c));
    connections_close_unless(c, has_key);
    assert_int_equal(connections_count(c), 1);
    assert_closed(silent);
    assert_int_equal(zmq_send(talks, "again", 5, 0), 5);
    assert_int_equal(receive(text, sizeof text), fd);
    close(silent);
    zmq_close(talks);
}

/* A client that leaves is news only where its handshake can fail. */
static void test_a_client_that_leaves_is_not_logged_without_keys(void **state) {
    (void)state;
    open_router(false, true);
    capture_begin(&said, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        int fd = silent_client();
        service_until(1);
        close(fd);
        service_until(0);
    }
    assert_string_equal(capture_end(&said), "");
}

static void close_one_too_many(void) {
    int fd = silent_client();
    assert_closed(fd);
    close(fd);
}

static void test_a_limit_that_stays_reached_is_logged_once_a_minute(void **state) {
    (void)state;
    int fds[FEWEST];
    stopped_ms = 1000;
    open_router(true, false);
    capture_begin(&said, STDERR_FILENO);
    for (size_t i = 0; i < FEWEST; i++) {
        fds[i] = silent_client();
        service_until(i + 1);
    }
    static const struct {
        uint64_t now_ms;
        size_t logged;
    } steps[] = {{1000, 1}, {60999, 1}, {61000, 2}, {120999, 2}, {121000, 3}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        stopped_ms = steps[i].now_ms;
        close_one_too_many();
        capture_end(&said);
        size_t logged = count_of(said.text, "\n");
        capture_begin(&said, STDERR_FILENO);
        assert_int_equal(logged, steps[i].logged - (i ? steps[i - 1].logged : 0));
    }
    capture_end(&said);
    for (size_t i = 0; i < FEWEST; i++)
        close(fds[i]);
}

static void test_a_client_is_silent_after_two_seconds_without_a_message(void **state) {
    (void)state;
    int fds[FEWEST];
    stopped_ms = 1000;
    open_router(true, true);
    for (size_t i = 0; i < FEWEST; i++) {
        fds[i] = silent_client();
        service_until(i + 1);
    }
    capture_begin(&said, STDERR_FILENO);
    stopped_ms += SILENT_MS - 1;
    close_one_too_many(); /* the newest one */
    stopped_ms += 1;
    int newest = silent_client();
    assert_closed(fds[0]); /* the oldest one */
    capture_end(&said);
    assert_open(newest);
    close(newest);
    for (size_t i = 0; i < FEWEST; i++)
        close(fds[i]);
}

static void test_unread_bytes_are_counted_every_50_ms(void **state) {
    (void)state;
    stopped_ms = 1000;
    open_router(false, true);
    void *client = talking_client();
    service_until(1); /* and counted now */
    send_bytes(client, 1200000);
    stopped_ms += 49;
    service_for(SCANS_MS);
    assert_int_equal(connections_count(c), 1);
    stopped_ms += 1;
    capture_begin(&said, STDERR_FILENO);
    service_until(0);
    capture_end(&said);
    zmq_close(client);
}

/* A message of 255 bytes is the longest one with the short framing. */
static void test_the_framing_of_each_message_is_counted(void **state) {
    (void)state;
    static char message[255];
    char text[8];
    unread_max = 100000;
    open_router(false, true);
    void *client = talking_client();
    for (int n = 0; n < 6000; n++) {
        assert_int_equal(zmq_send(client, message, sizeof message, 0), sizeof message);
        receive(text, sizeof text);
    }
    assert_int_equal(connections_count(c), 1);
    capture_begin(&said, STDERR_FILENO);
    send_bytes(client, 120000);
    service_until(0);
    capture_end(&said);
    zmq_close(client);
}

/* Its message may be longer than any that is accepted. */
static void test_an_unread_message_counts_also_when_others_were_read(void **state) {
    (void)state;
    open_router(false, true);
    void *client = talking_client();
    service_until(1);
    send_bytes(client, 1200000);
    capture_begin(&said, STDERR_FILENO);
    uint64_t end = real_ms() + PATIENCE_MS;
    for (connections_service(c, true); connections_count(c); connections_service(c, true)) {
        assert_true(real_ms() < end);
        poll(NULL, 0, 1);
    }
    capture_end(&said);
    zmq_close(client);
}

static void test_one_message_that_was_read_excuses_no_others(void **state) {
    (void)state;
    char text[8];
    open_router(false, true);
    void *client = talking_client();
    assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
    receive(text, sizeof text);
    send_bytes(client, 1200000);
    capture_begin(&said, STDERR_FILENO);
    service_until(0);
    capture_end(&said);
    zmq_close(client);
}

/* On other sockets the kernel does not count bytes. */
static void test_only_tcp_connections_are_watched(void **state) {
    (void)state;
    struct connections_options o = {.context = context, .socket = router, .address = "ipc", .binds = true};
    assert_int_equal(connections_new(&c, &o), 0);
    assert_int_equal(zmq_bind(router, "ipc://unwatched"), 0);
    strcpy(endpoint, "ipc://unwatched");
    void *client = talking_client();
    service_until(1);
    assert_false(connections_are_watched(c));
    zmq_close(client);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
UNIT_MAIN(TEST(test_the_newest_connection_beyond_the_limit_is_closed),
          TEST(test_the_oldest_client_that_never_talked_is_closed_first),
          TEST(test_silence_is_no_reason_where_clients_do_not_talk),
          TEST(test_the_connections_with_most_unread_bytes_are_closed), TEST(test_bytes_that_are_read_count_no_more),
          TEST(test_connections_without_a_trusted_key_are_closed),
          TEST(test_a_client_that_leaves_is_not_logged_without_keys),
          TEST(test_a_limit_that_stays_reached_is_logged_once_a_minute),
          TEST(test_a_client_is_silent_after_two_seconds_without_a_message),
          TEST(test_unread_bytes_are_counted_every_50_ms), TEST(test_the_framing_of_each_message_is_counted),
          TEST(test_an_unread_message_counts_also_when_others_were_read),
          TEST(test_one_message_that_was_read_excuses_no_others), TEST(test_only_tcp_connections_are_watched))
