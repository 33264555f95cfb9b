#include "fetch_fixture.h"

#include "insecure.h"

struct endpoint *producer;
struct fetches *fetches;
struct source *source;
static struct frame frame;
struct msg question;
struct source_ref planned;
static uint8_t asker[16];
static size_t asker_len;
uint64_t now_ms;
const struct id128 journal = {{1}}, self = {{2}}, upload = {{3}}, other = {{4}};
char bytes[10 * PIECE + 100], got[10 * PIECE + 100];

int open_at(struct source **s, const char *address, uint64_t offset, uint64_t length, bool ahead) {
    struct fetch_range range = {.address = slice_of(address),
                                .upload = upload,
                                .file = &planned,
                                .offset = offset,
                                .length = length,
                                .checksum_first = ahead};
    return fetch_open(s, fetches, &range, now_ms);
}

void open_range(uint64_t length, bool ahead) {
    assert_int_equal(open_at(&source, endpoint_address(producer), OFFSET, length, ahead), 0);
}

int fetch_fixture_setup(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 11 + i / 255);
    now_ms = clock_ms();
    asker_len = 0;
    assert_int_equal(endpoint_open(&producer, ENDPOINT_DATA, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(fetches_new(&fetches, &journal, &self), 0);
    return 0;
}

int fetch_fixture_teardown(void **state) {
    (void)state;
    source_close(&source);
    fetches_destroy(&fetches);
    frame_release(&frame);
    endpoint_close(&producer);
    endpoint_shutdown_all();
    return 0;
}

/* Receives the next FETCH into `question`. False: none came for wait_ms. */
bool asked(int wait_ms) {
    uint64_t end = clock_ms() + (uint64_t)wait_ms;
    while (endpoint_recv(producer, &frame)) {
        if (clock_ms() > end)
            return false;
        fetches_send(fetches, now_ms);
        struct wait_item item = {.endpoint = producer, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, 2), 0);
    }
    assert_int_equal(msg_decode(frame.data, &question), 0);
    assert_int_equal(question.type, MSG_FETCH);
    assert_true(id_equal(&question.journal, &journal) && id_equal(&question.fetch.upload, &upload));
    memcpy(asker, frame.peer, frame.peer_len);
    asker_len = frame.peer_len;
    return true;
}

void expect_question(uint64_t position, uint64_t credit) {
    assert_true(asked(PATIENCE_MS));
    assert_int_equal(question.fetch.offset, OFFSET);
    assert_int_equal(question.fetch.position, position);
    assert_int_equal(question.fetch.credit, credit);
}

void send_bytes(struct slice text) {
    assert_int_equal(endpoint_send(producer, asker, asker_len, text), 0);
}

void send_data(uint64_t number, struct msg_data d, const struct id128 *of) {
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_DATA, .journal = *of, .sender = other, .number = number, .data = d};
    assert_int_equal(msg_encode(&m, &out), 0);
    send_bytes(buf_slice(&out));
    buf_release(&out);
}

void send_answer(struct msg_data d) {
    send_data(question.number, d, &journal);
}

struct msg_data piece(enum data_state state, uint64_t from, size_t len) {
    return (struct msg_data){.state = state,
                             .position = from,
                             .crc = crc32c_add(0, bytes + from, len),
                             .bytes = slice_make(bytes + from, len)};
}

/* Handles messages until the source is ready, at most for wait_ms. */
bool ready(int wait_ms) {
    uint64_t end = clock_ms() + (uint64_t)wait_ms;
    while (!source_is_ready(source) && clock_ms() < end) {
        (void)fetches_recv(fetches, now_ms);
        usleep(500);
    }
    return source_is_ready(source);
}

void settle(void) {
    uint64_t end = clock_ms() + 50;
    while (clock_ms() < end) {
        (void)fetches_recv(fetches, now_ms);
        usleep(500);
    }
}
