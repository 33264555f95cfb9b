/* The uploader's side of FETCH; the test plays the producer: the requests, and the accepted answers. */
#include "fetch_fixture.h"

static void test_the_bytes_are_those_the_producer_read(void **state) {
    (void)state;
    open_range(LENGTH, false);
    fetch_run(source, now_ms);
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
    send_bytes(slice_of("garbage"));
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

static void test_an_answer_of_another_producer_is_dropped(void **state) {
    (void)state;
    struct endpoint *first = producer;
    struct source *second = NULL;
    open_range(1000, false);
    expect_question(0, 1000);
    uint64_t number = question.number;
    assert_int_equal(endpoint_open(&producer, ENDPOINT_DATA, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(open_at(&second, endpoint_address(producer), OFFSET, 500, false), 0);
    expect_question(0, 500);
    send_data(number, piece(DATA_UNCHANGED, 0, 1000), &journal);
    send_answer(piece(DATA_UNCHANGED, 0, 500)); /* arrives after it */
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    while (!source_is_ready(second)) {
        (void)fetches_recv(fetches, now_ms);
        assert_true(clock_ms() < end_ms);
    }
    assert_false(source_is_ready(source));
    source_close(&second);
    endpoint_close(&producer);
    producer = first;
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
        assert_int_equal(open_at(&many[i], address, 0, 1, false), 0);
    }
    assert_int_equal(open_at(&source, endpoint_address(producer), 0, 1, false), ERR_LIMIT);
    source_close(&many[7]);
    open_range(1, false); /* replaces the idle one */
    struct pollfd fds[FETCH_CONNECTIONS_MAX];
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

/* --- answers --- */

static void test_the_first_announced_checksum_counts(void **state) {
    (void)state;
    uint32_t crc;
    open_range(1000, true);
    expect_question(0, 1000);
    send_answer((struct msg_data){.state = DATA_AHEAD, .crc = 77});
    send_answer((struct msg_data){.state = DATA_AHEAD, .crc = 78});
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    assert_true(source_announced_crc(source, &crc));
    assert_int_equal(crc, 77);
}

static void test_bytes_without_the_checksum_ahead_do_not_start_a_transfer(void **state) {
    (void)state;
    open_range(1000, true);
    expect_question(0, 1000);
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    assert_false(fetch_is_primed(source));
    send_answer((struct msg_data){.state = DATA_AHEAD, .crc = 77});
}

static void test_a_small_file_starts_with_all_its_bytes(void **state) {
    (void)state;
    open_range(PIECE, false);
    expect_question(0, PIECE);
    send_answer(piece(DATA_BYTES, 0, PIECE / 2));
    assert_true(ready(PATIENCE_MS));
    assert_false(fetch_is_primed(source));
    send_answer(piece(DATA_UNCHANGED, PIECE / 2, PIECE / 2));
    settle();
    assert_true(fetch_is_primed(source));
}

static void test_a_larger_file_starts_with_its_first_bytes(void **state) {
    (void)state;
    open_range(PIECE + 1, false);
    fetch_run(source, now_ms);
    expect_question(0, PIECE + 1);
    send_answer(piece(DATA_BYTES, 0, PIECE / 2));
    assert_true(ready(PATIENCE_MS));
    assert_true(fetch_is_primed(source));
}

static void test_the_producers_progress_only_grows(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    send_answer((struct msg_data){.state = DATA_WAITING, .position = 77});
    send_answer((struct msg_data){.state = DATA_WAITING, .position = 50});
    settle();
    assert_int_equal(source_progress(source), 77);
    send_answer(piece(DATA_BYTES, 0, 100));
    settle();
    assert_int_equal(source_progress(source), 177);
}

static void test_a_long_reason_is_cut(void **state) {
    (void)state;
    static char text[301], why[400];
    memset(text, 'x', sizeof text - 1);
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer((struct msg_data){.state = DATA_UNREADABLE, .why = slice_of(text)});
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(fetch_problem(source, why, sizeof why), ERR_IO);
    assert_int_equal(strlen(why), 199);
}

static void test_answers_after_a_failure_change_nothing(void **state) {
    (void)state;
    char why[100];
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer((struct msg_data){.state = DATA_CHANGED, .why = slice_of("size changed")});
    send_answer((struct msg_data){.state = DATA_UNREADABLE, .why = slice_of("later")});
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    settle();
    assert_int_equal(fetch_problem(source, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "size changed");
    assert_int_equal(fetches_bytes(fetches), 0);
    assert_int_equal(source_rewind(source, 0), 0); /* it is there already */
    assert_int_equal(source_read(source, got, 1), ERR_CHANGED);
}

static void test_a_failed_source_cannot_be_rewound(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer(piece(DATA_BYTES, 0, 500));
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 500), 500);
    send_answer((struct msg_data){.state = DATA_CHANGED, .why = slice_of("size changed")});
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_rewind(source, 0), ERR_CHANGED);
}

static void test_bytes_are_read_across_pieces(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer(piece(DATA_BYTES, 0, 300));
    send_answer(piece(DATA_BYTES, 300, 300));
    send_answer(piece(DATA_UNCHANGED, 600, 400));
    settle();
    assert_int_equal(source_read(source, got, 450), 450);
    assert_int_equal(source_read(source, got + 450, 1000), 550);
    assert_memory_equal(got, bytes, 1000);
    assert_int_equal(source_crc(source), crc32c_add(0, bytes, 1000));
    assert_true(source_is_ready(source));
}

static void test_damage_is_found_before_the_last_byte_of_a_piece(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    struct msg_data d = piece(DATA_BYTES, 0, 600);
    d.crc ^= 1;
    send_answer(d);
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 599), 599);
    assert_int_equal(source_read(source, got, 1), ERR_DAMAGED);
}

/* --- requests --- */

static void test_a_source_that_is_closed_before_its_first_request_asks_nothing(void **state) {
    (void)state;
    open_range(LENGTH, false);
    source_close(&source);
    open_range(1000, false);
    expect_question(0, 1000);
    assert_false(question.fetch.cancel);
}

static void test_a_source_that_was_read_to_its_end_is_not_cancelled(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer(piece(DATA_UNCHANGED, 0, 1000));
    assert_true(ready(PATIENCE_MS));
    source_close(&source);
    open_range(500, false);
    expect_question(0, 500);
    assert_false(question.fetch.cancel);
}

static void test_each_request_is_sent_once(void **state) {
    (void)state;
    struct source *second = NULL;
    open_range(1000, false);
    expect_question(0, 1000);
    assert_int_equal(open_at(&second, endpoint_address(producer), OFFSET, 500, false), 0);
    expect_question(0, 500);
    fetches_send(fetches, now_ms);
    source_close(&second);
    assert_true(asked(PATIENCE_MS)); /* not the first one again */
    assert_true(question.fetch.cancel);
}

static void test_a_range_that_is_granted_to_its_end_is_not_asked_for_again(void **state) {
    (void)state;
    open_range(1000, false);
    expect_question(0, 1000);
    send_answer(piece(DATA_BYTES, 0, 500));
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 500), 500);
    assert_false(asked(50));
}

static void test_more_is_asked_for_when_half_of_the_window_is_free(void **state) {
    (void)state;
    enum { HALF = FETCH_WINDOW / 2 };
    open_range(LENGTH, false);
    fetch_run(source, now_ms);
    expect_question(0, FETCH_WINDOW);
    for (uint64_t at = 0; at < HALF; at += PIECE)
        send_answer(piece(DATA_BYTES, at, PIECE));
    for (ssize_t n, sum = 0; sum < HALF; sum += n) {
        assert_true(ready(PATIENCE_MS));
        n = source_read(source, got, sizeof got);
        assert_true(n > 0);
    }
    expect_question(HALF, FETCH_WINDOW + HALF);
}

static void test_a_request_that_waits_wakes_the_loop(void **state) {
    (void)state;
    struct pollfd fds[FETCH_CONNECTIONS_MAX];
    size_t count = 0;
    uint64_t wake_ms = UINT64_MAX;
    open_range(1000, false);
    (void)fetches_wait(fetches, fds, &count, now_ms, &wake_ms);
    assert_int_equal(count, 1);
    assert_int_equal(wake_ms, now_ms + 20);
    expect_question(0, 1000);
    assert_false(fetches_wait(fetches, fds, &count, now_ms, &wake_ms));
    send_answer(piece(DATA_BYTES, 0, 500));
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    do {
        count = 0;
        assert_true(clock_ms() < end_ms);
    } while (!fetches_wait(fetches, fds, &count, now_ms, &wake_ms)); /* a message is there */
    assert_true(fetches_recv(fetches, now_ms));
    assert_false(fetches_recv(fetches, now_ms));
}

UNIT_MAIN(FETCH_TEST(test_the_bytes_are_those_the_producer_read),
          FETCH_TEST(test_the_last_byte_waits_until_the_file_is_unchanged), FETCH_TEST(test_the_checksum_comes_ahead),
          FETCH_TEST(test_a_damaged_piece_is_detected), FETCH_TEST(test_an_answer_of_another_producer_is_dropped),
          FETCH_TEST(test_pieces_not_asked_for_are_dropped), FETCH_TEST(test_rewinding_fetches_again),
          FETCH_TEST(test_closing_in_the_middle_cancels), FETCH_TEST(test_length_zero_only_asks),
          FETCH_TEST(test_idle_sockets_are_closed_and_limited), cmocka_unit_test(test_addresses_in_offers),
          FETCH_TEST(test_the_first_announced_checksum_counts),
          FETCH_TEST(test_bytes_without_the_checksum_ahead_do_not_start_a_transfer),
          FETCH_TEST(test_a_small_file_starts_with_all_its_bytes),
          FETCH_TEST(test_a_larger_file_starts_with_its_first_bytes),
          FETCH_TEST(test_the_producers_progress_only_grows), FETCH_TEST(test_a_long_reason_is_cut),
          FETCH_TEST(test_answers_after_a_failure_change_nothing), FETCH_TEST(test_a_failed_source_cannot_be_rewound),
          FETCH_TEST(test_bytes_are_read_across_pieces),
          FETCH_TEST(test_damage_is_found_before_the_last_byte_of_a_piece),
          FETCH_TEST(test_a_source_that_is_closed_before_its_first_request_asks_nothing),
          FETCH_TEST(test_a_source_that_was_read_to_its_end_is_not_cancelled),
          FETCH_TEST(test_each_request_is_sent_once),
          FETCH_TEST(test_a_range_that_is_granted_to_its_end_is_not_asked_for_again),
          FETCH_TEST(test_more_is_asked_for_when_half_of_the_window_is_free),
          FETCH_TEST(test_a_request_that_waits_wakes_the_loop))
