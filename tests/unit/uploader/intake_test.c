/* A turn of the uploader reads a bounded number of messages: a consumer that sends without a pause must not keep it from
 * its transfers. The test plays the consumer in the same thread. */
#include "unit.h"

#include "system/clock.h"
#include "system/log.h"
#include "uploader/uploader_internal.h"

#define SENT 300
#define READ_A_TURN 256
#define PATIENCE_MS 20000

static struct endpoint *router;
static struct frame frame;
static uint8_t peer[16];
static size_t peer_len;
static struct uploader u;

static void send_to_uploader(struct msg *m) {
    struct buf out = BUF_INIT;
    memset(m->journal.b, 0x4a, sizeof m->journal.b);
    memset(m->sender.b, 0xc0, sizeof m->sender.b);
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(router, peer, peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void answer_hello(void) {
    struct msg hello, welcome = {.type = MSG_WELCOME, .welcome = {.epoch = 1, .lease_ms = 10000}};
    while (endpoint_recv(router, &frame) == 0) {
        assert_int_equal(msg_decode(frame.data, &hello), 0);
        memcpy(peer, frame.peer, sizeof peer);
        peer_len = frame.peer_len;
        welcome.number = hello.number;
        if (hello.type == MSG_HELLO)
            send_to_uploader(&welcome);
        msg_release(&hello);
    }
}

static int setup(void **state) {
    struct session_options o = {.role = ROLE_UPLOADER, .consumer = "ipc://intake", .slots = 1};
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    struct msg *m;
    (void)state;
    log_setup("test", LOG_ERROR, false);
    if (endpoint_open(&router, ENDPOINT_ROUTER, "ipc://intake") || session_new(&u.session, &o))
        return -1;
    while (!session_is_connected(u.session) && clock_ms() < end_ms) {
        uint64_t deadline_ms = UINT64_MAX;
        if (session_step(u.session, clock_ms(), &deadline_ms))
            return -1;
        answer_hello();
        while (session_recv(u.session, &m) == 0)
            ;
    }
    return session_is_connected(u.session) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    session_destroy(&u.session);
    endpoint_close(&router);
    frame_release(&frame);
    endpoint_shutdown_all();
    return 0;
}

/* Sends the messages; returns how many the first turn read. Some of them may arrive only after it. */
static unsigned read_in_one_turn(void) {
    unsigned left = 0;
    struct msg *m;
    for (unsigned i = 0; i < SENT; i++) {
        struct msg ignored = {.type = MSG_RECORDS, .records.epoch = 1}; /* not for an uploader */
        send_to_uploader(&ignored);
    }
    struct wait_item item = {.endpoint = session_endpoint(u.session), .fd = -1, .want = ENDPOINT_IN};
    assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
    intake_messages(&u);
    struct msg last = {.type = MSG_RECORDS, .records.epoch = 2};
    send_to_uploader(&last);
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS;;) {
        assert_true(clock_ms() < end_ms);
        assert_int_equal(endpoint_wait(&item, 1, 100), 0);
        while (session_recv(u.session, &m) == 0) {
            if (m->type == MSG_RECORDS && m->records.epoch == 2)
                return SENT - left;
            left += m->type == MSG_RECORDS;
        }
    }
}

static void test_a_turn_reads_a_bounded_number_of_messages(void **state) {
    (void)state;
    unsigned most = 0;
    /* A turn ends earlier when the messages arrive more slowly than it reads. */
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; clock_ms() < end_ms && most < READ_A_TURN;) {
        unsigned count = read_in_one_turn();
        most = count > most ? count : most;
    }
    assert_int_equal(most, READ_A_TURN);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_a_turn_reads_a_bounded_number_of_messages, setup, teardown))
