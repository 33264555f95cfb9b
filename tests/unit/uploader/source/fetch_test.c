/* The uploader's side of FETCH; the test plays the producer: the requests, the accepted answers, and the fate of a source
 * when its producer is silent, wrong or gone. */
#include "insecure.h"
#include "pure/digest.h"
#include "pure/proto.h"
#include "system/clock.h"
#include "unit.h"
#include "uploader/source/fetch.h"
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define LEASE_MS 10000
#define PIECE PROTO_PIECE_MAX
#define LENGTH ((uint64_t)10 * PIECE + 100)
#define OFFSET 4096

static struct endpoint *producer;
static struct fetches *fetches;
static struct source *source;
static struct frame frame;
static struct msg question;
static uint8_t asker[16];
static size_t asker_len;
static uint64_t now_ms;
static const struct id128 journal = {{1}}, self = {{2}}, upload = {{3}}, other = {{4}};
static char bytes[10 * PIECE + 100], got[10 * PIECE + 100];

static void open_range(uint64_t length, bool ahead) {
    assert_int_equal(
        fetch_open(&source, fetches, slice_of(endpoint_address(producer)), &upload, OFFSET, length, ahead, now_ms), 0);
}

static int set_up(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 11 + i / 255);
    now_ms = clock_ms();
    asker_len = 0;
    assert_int_equal(endpoint_open(&producer, ENDPOINT_DATA, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(fetches_new(&fetches, &journal, &self), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    source_close(&source);
    fetches_destroy(&fetches);
    frame_release(&frame);
    endpoint_close(&producer);
    endpoint_shutdown_all();
    return 0;
}

/* Receives the next FETCH into `question`. False: none came for wait_ms. */
static bool asked(int wait_ms) {
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

static void expect_question(uint64_t position, uint64_t credit) {
    assert_true(asked(PATIENCE_MS));
    assert_int_equal(question.fetch.offset, OFFSET);
    assert_int_equal(question.fetch.position, position);
    assert_int_equal(question.fetch.credit, credit);
}

static void send_data(uint64_t number, struct msg_data d, const struct id128 *of) {
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_DATA, .journal = *of, .sender = other, .number = number, .data = d};
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_int_equal(endpoint_send(producer, asker, asker_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void send_answer(struct msg_data d) {
    send_data(question.number, d, &journal);
}

static struct msg_data piece(enum data_state state, uint64_t from, size_t len) {
    return (struct msg_data){.state = state,
                             .position = from,
                             .crc = crc32c_add(0, bytes + from, len),
                             .bytes = slice_make(bytes + from, len)};
}

/* Handles messages until the source is ready, at most for wait_ms. */
static bool ready(int wait_ms) {
    uint64_t end = clock_ms() + (uint64_t)wait_ms;
    while (!source_is_ready(source) && clock_ms() < end) {
        (void)fetches_recv(fetches, now_ms);
        usleep(500);
    }
    return source_is_ready(source);
}

static void settle(void) {
    uint64_t end = clock_ms() + 50;
    while (clock_ms() < end) {
        (void)fetches_recv(fetches, now_ms);
        usleep(500);
    }
}

static void test_the_bytes_are_those_the_producer_read(void **state) {
    (void)state;
    open_range(LENGTH, false);
    fetch_run(source);
    assert_false(source_is_ready(source));
    assert_int_equal(source_read(source, got, 10), ERR_AGAIN);
    expect_question(0, FETCH_WINDOW);
    uint64_t sent = 0, credit = FETCH_WINDOW, read = 0;
    while (read < LENGTH) {
        for (; sent < credit; sent += LENGTH - sent < PIECE ? LENGTH - sent : PIECE)
            send_answer(piece(LENGTH - sent <= PIECE ? DATA_UNCHANGED : DATA_BYTES, sent,
                              LENGTH - sent < PIECE ? (size_t)(LENGTH - sent) : PIECE));
        while (sent == credit && credit < LENGTH && asked(read == sent ? PATIENCE_MS : 0))
            credit = question.fetch.credit;
        if (sent < credit)
            continue;
        assert_true(ready(PATIENCE_MS));
        ssize_t n = source_read(source, got + read, 100000);
        assert_true(n > 0);
        read += (uint64_t)n;
        assert_true(sent - read <= FETCH_WINDOW + PIECE); /* the unread bytes are limited */
        assert_true(credit <= read + FETCH_WINDOW);
    }
    assert_memory_equal(got, bytes, LENGTH);
    assert_int_equal(source_crc(source), crc32c_add(0, bytes, LENGTH));
    assert_int_equal(source_read(source, got, 1), 0);
    char why[100];
    assert_int_equal(source_check(source, why, sizeof why), 0);
    assert_int_equal(fetches_bytes(fetches), LENGTH);
    assert_true(source_is_fetched(source));
}

static void test_the_last_byte_waits_until_the_file_is_unchanged(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer(piece(DATA_BYTES, 0, 1000));
    assert_false(ready(100));
    assert_false(fetch_is_primed(source));
    send_answer((struct msg_data){.state = DATA_CHANGED, .position = 1000, .why = slice_of("mtime moved\n")});
    assert_true(ready(PATIENCE_MS));
    char why[100];
    assert_int_equal(source_read(source, got, 1000), ERR_CHANGED);
    assert_int_equal(source_check(source, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "mtime moved?");
}

static void test_the_checksum_comes_ahead(void **state) {
    (void)state;
    uint32_t crc;
    open_range(1000, true);
    expect_question(0, 1000);
    assert_true(question.fetch.ahead);
    assert_false(source_announced_crc(source, &crc));
    send_answer((struct msg_data){.state = DATA_AHEAD, .crc = 77}); /* not the checksum of the following bytes */
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    assert_true(fetch_is_primed(source) && source_announced_crc(source, &crc));
    assert_int_equal(crc, 77);
    char why[100];
    assert_int_equal(source_read(source, got, 1000), 1000);
    assert_int_equal(source_check(source, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "its bytes differ between two readings");
}

static void test_a_damaged_piece_is_detected(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    struct msg_data d = piece(DATA_UNCHANGED, 0, 1000);
    d.crc ^= 1;
    send_answer(d);
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 1000), ERR_DAMAGED);
    assert_int_equal(source_read(source, got, 1000), ERR_DAMAGED);
}

static void test_pieces_not_asked_for_are_dropped(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE); /* without a slot: one piece */
    uint64_t number = question.number;
    send_data(number + 1, piece(DATA_BYTES, 0, 100), &journal);
    send_data(number, piece(DATA_BYTES, 0, 100), &other);
    send_answer(piece(DATA_BYTES, 100, 100));                                    /* a gap */
    send_answer((struct msg_data){.state = DATA_BYTES});                         /* no bytes */
    send_answer((struct msg_data){.state = DATA_UNCHANGED, .position = LENGTH}); /* the end without any bytes */
    send_answer((struct msg_data){.state = DATA_AHEAD, .crc = 1});               /* not asked for */
    assert_int_equal(endpoint_send(producer, asker, asker_len, slice_of("garbage")), 0);
    settle();
    assert_false(source_is_ready(source));
    send_answer(piece(DATA_BYTES, 0, PIECE));
    send_answer(piece(DATA_BYTES, 0, PIECE));     /* a repetition */
    send_answer(piece(DATA_BYTES, PIECE, PIECE)); /* more than the credit */
    assert_true(ready(PATIENCE_MS));
    settle();
    assert_int_equal(fetches_bytes(fetches), PIECE);
    assert_int_equal(source_read(source, got, sizeof got), PIECE);
    assert_memory_equal(got, bytes, PIECE);
}

static void test_after_a_silence_it_asks_again_from_its_position(void **state) {
    (void)state;
    open_range(LENGTH, false);
    fetch_run(source);
    expect_question(0, FETCH_WINDOW);
    uint64_t number = question.number;
    send_answer(piece(DATA_BYTES, 0, PIECE));
    assert_true(ready(PATIENCE_MS));
    assert_true(fetches_tick(fetches, LEASE_MS, now_ms) > now_ms);
    assert_false(asked(50));
    now_ms += LEASE_MS / 5;
    fetches_tick(fetches, LEASE_MS, now_ms);
    expect_question(PIECE, FETCH_WINDOW);
    assert_int_equal(question.number, number);
}

static void test_a_silent_producer_is_given_up(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    now_ms += LEASE_MS * 3 / 5 - 1;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_false(source_is_ready(source));
    now_ms += 1;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_true(source_is_ready(source) && fetch_is_primed(source));
    char why[200];
    assert_int_equal(source_read(source, got, 1), ERR_UNREACHABLE);
    assert_int_equal(fetch_problem(source, why, sizeof why), ERR_UNREACHABLE);
    assert_non_null(strstr(why, endpoint_address(producer)));
    assert_false(fetch_was_answered(source));
}

static void test_a_source_that_expects_nothing_is_not_given_up(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    send_answer(piece(DATA_BYTES, 0, PIECE)); /* the credit is used up: the reader is next */
    assert_true(ready(PATIENCE_MS));
    now_ms += 100ull * LEASE_MS;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_int_equal(source_read(source, got, PIECE), PIECE);
    assert_int_equal(source_read(source, got, PIECE), ERR_AGAIN);
}

static void test_a_producer_that_does_not_know_it(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    send_answer((struct msg_data){.state = DATA_UNKNOWN}); /* it may have restarted, and may plan the file again */
    settle();
    assert_false(source_is_ready(source));
    now_ms += 600;
    fetches_tick(fetches, LEASE_MS, now_ms);
    expect_question(0, PIECE);
    now_ms += 2000;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_int_equal(source_read(source, got, 1), ERR_UNREACHABLE);
    assert_true(fetch_was_answered(source));
}

static void test_rewinding_fetches_again(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    uint64_t number = question.number;
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 600), 600);
    assert_int_equal(source_rewind(source, 0), 0);
    assert_false(source_is_ready(source));
    expect_question(0, 1000);
    assert_true(question.number != number);
    send_data(number, piece(DATA_UNCHANGED, 0, 1000), &journal); /* of the transfer before the rewind */
    settle();
    assert_false(source_is_ready(source));
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 2000), 1000);
    assert_memory_equal(got, bytes, 1000);
    assert_int_equal(source_crc(source), crc32c_add(0, bytes, 1000));
}

static void test_closing_in_the_middle_cancels(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    source_close(&source);
    assert_true(asked(PATIENCE_MS));
    assert_true(question.fetch.cancel);
}

static void test_length_zero_only_asks(void **state) {
    (void)state;
    open_range(0, true);
    expect_question(0, 0);
    assert_false(question.fetch.ahead);
    assert_false(fetch_is_primed(source));
    send_answer((struct msg_data){.state = DATA_UNCHANGED});
    assert_true(ready(PATIENCE_MS));
    assert_true(fetch_is_primed(source));
    assert_int_equal(source_read(source, got, 1), 0);
}

static void test_idle_sockets_are_closed_and_limited(void **state) {
    (void)state;
    struct source *many[FETCH_CONNECTIONS_MAX + 1] = {NULL};
    char address[64];
    for (int i = 0; i < FETCH_CONNECTIONS_MAX; i++) {
        snprintf(address, sizeof address, "tcp://127.0.0.1:%d", 20000 + i);
        assert_int_equal(fetch_open(&many[i], fetches, slice_of(address), &upload, 0, 1, false, now_ms), 0);
    }
    assert_int_equal(fetch_open(&source, fetches, slice_of(endpoint_address(producer)), &upload, 0, 1, false, now_ms),
                     ERR_LIMIT);
    source_close(&many[7]);
    open_range(1, false); /* replaces the idle one */
    int fds[FETCH_CONNECTIONS_MAX];
    size_t count = 0;
    uint64_t wake_ms = UINT64_MAX;
    (void)fetches_wait(fetches, fds, &count, now_ms, &wake_ms);
    assert_int_equal(count, FETCH_CONNECTIONS_MAX);
    for (int i = 0; i < FETCH_CONNECTIONS_MAX; i++)
        source_close(&many[i]);
    source_close(&source);
    now_ms += FETCH_CONNECTION_IDLE_MS;
    fetches_tick(fetches, LEASE_MS, now_ms);
    count = 0;
    (void)fetches_wait(fetches, fds, &count, now_ms, &wake_ms);
    assert_int_equal(count, 0);
}

static void test_addresses_in_offers(void **state) {
    (void)state;
    static const struct {
        const char *data, *jobs, *address;
    } cases[] = {
        {"tcp://10.0.0.1:7702", "tcp://10.0.0.9:7700", "tcp://10.0.0.1:7702"},
        {"tcp://0.0.0.0:7702", "tcp://10.0.0.9:7700", "tcp://10.0.0.9:7702"},
        {"tcp://*:7702", "tcp://[fe80::1]:7700", "tcp://[fe80::1]:7702"},
        {"tcp://:7702", "tcp://10.0.0.2;host:7700", "tcp://host:7702"},
        {"tcp://[::]:7702", "ipc:///run/jobs", "tcp://127.0.0.1:7702"},
        {"", "tcp://10.0.0.9:7700", NULL},
        {"inproc://data", "tcp://10.0.0.9:7700", NULL},
        {"tcp://nothing", "tcp://10.0.0.9:7700", NULL},
        {"ipc:///there/is/no/such/socket", "ipc:///run/jobs", NULL},
    };
    char out[128], small[8];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(fetch_address(slice_of(cases[i].data), cases[i].jobs, out, sizeof out),
                         cases[i].address != NULL);
        if (cases[i].address)
            assert_string_equal(out, cases[i].address);
    }
    assert_false(fetch_address(slice_of("tcp://10.0.0.1:7702"), "tcp://a:1", small, sizeof small));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

UNIT_MAIN(TEST(test_the_bytes_are_those_the_producer_read), TEST(test_the_last_byte_waits_until_the_file_is_unchanged),
          TEST(test_the_checksum_comes_ahead), TEST(test_a_damaged_piece_is_detected),
          TEST(test_pieces_not_asked_for_are_dropped), TEST(test_after_a_silence_it_asks_again_from_its_position),
          TEST(test_a_silent_producer_is_given_up), TEST(test_a_source_that_expects_nothing_is_not_given_up),
          TEST(test_a_producer_that_does_not_know_it), TEST(test_rewinding_fetches_again),
          TEST(test_closing_in_the_middle_cancels), TEST(test_length_zero_only_asks),
          TEST(test_idle_sockets_are_closed_and_limited), cmocka_unit_test(test_addresses_in_offers))
