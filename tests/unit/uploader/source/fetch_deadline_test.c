/* The deadlines of a fetched source: repeated requests, and the end when its producer is silent or does not know it. */
#include "fetch_fixture.h"

static void test_after_a_silence_it_asks_again_from_its_position(void **state) {
    (void)state;
    open_range(LENGTH, false);
    fetch_run(source, now_ms);
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

static void test_the_next_deadline_is_the_next_request_or_the_end(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms), now_ms + LEASE_MS / 5);
    now_ms += LEASE_MS * 3 / 5 - 1;
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms), now_ms + 1);
}

static void test_patience_has_bounds_for_any_lease(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    assert_int_equal(fetches_tick(fetches, 10, now_ms), now_ms + 50);
    assert_int_equal(fetches_tick(fetches, 1000000, now_ms), now_ms + 2000);
    now_ms += 99;
    fetches_tick(fetches, 10, now_ms);
    assert_false(source_is_ready(source));
    now_ms += FETCH_PATIENCE_MAX_MS - 100;
    fetches_tick(fetches, 1000000, now_ms);
    assert_false(source_is_ready(source));
    now_ms++;
    fetches_tick(fetches, 1000000, now_ms);
    assert_true(source_is_ready(source));
}

static void test_an_unknown_upload_is_asked_for_again_and_given_up(void **state) {
    (void)state;
    char why[200];
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    send_answer((struct msg_data){.state = DATA_UNKNOWN});
    settle();
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms + 499), now_ms + 500);
    now_ms += 500;
    fetches_tick(fetches, LEASE_MS, now_ms);
    expect_question(0, PIECE);
    send_answer((struct msg_data){.state = DATA_UNKNOWN}); /* the time counts from the first one */
    settle();
    now_ms += 1499;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_false(source_is_ready(source));
    now_ms++;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_int_equal(fetch_problem(source, why, sizeof why), ERR_UNREACHABLE);
    assert_non_null(strstr(why, "has no such file in its plan"));
}

static void test_an_upload_that_is_planned_again_is_not_given_up(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    send_answer((struct msg_data){.state = DATA_UNKNOWN});
    settle();
    now_ms += 500;
    send_answer((struct msg_data){.state = DATA_WAITING});
    settle();
    now_ms += 1500;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_false(source_is_ready(source));
}

static void test_a_producer_that_serves_other_files_is_not_silent(void **state) {
    (void)state;
    struct source *other_file = NULL;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    assert_int_equal(open_at(&other_file, endpoint_address(producer), OFFSET, LENGTH, false), 0);
    expect_question(0, PIECE);
    now_ms += 5000;
    send_answer((struct msg_data){.state = DATA_WAITING, .position = 1});
    settle();
    now_ms += LEASE_MS * 3 / 5 - 1;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_false(source_is_ready(source));
    now_ms++;
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_true(source_is_ready(source));
    source_close(&other_file);
}

static void test_patience_starts_when_bytes_are_expected_again(void **state) {
    (void)state;
    open_range(LENGTH, false);
    expect_question(0, PIECE);
    send_answer(piece(DATA_BYTES, 0, PIECE));
    assert_true(ready(PATIENCE_MS));
    now_ms += 100ull * LEASE_MS;
    assert_true(fetches_tick(fetches, LEASE_MS, now_ms) > now_ms + LEASE_MS); /* the reader is next */
    fetch_run(source, now_ms);
    expect_question(PIECE, FETCH_WINDOW);
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms), now_ms + LEASE_MS / 5);
    assert_int_equal(fetch_problem(source, got, sizeof got), 0);
}

UNIT_MAIN(FETCH_TEST(test_after_a_silence_it_asks_again_from_its_position),
          FETCH_TEST(test_a_silent_producer_is_given_up),
          FETCH_TEST(test_a_source_that_expects_nothing_is_not_given_up),
          FETCH_TEST(test_a_producer_that_does_not_know_it),
          FETCH_TEST(test_the_next_deadline_is_the_next_request_or_the_end),
          FETCH_TEST(test_patience_has_bounds_for_any_lease),
          FETCH_TEST(test_an_unknown_upload_is_asked_for_again_and_given_up),
          FETCH_TEST(test_an_upload_that_is_planned_again_is_not_given_up),
          FETCH_TEST(test_a_producer_that_serves_other_files_is_not_silent),
          FETCH_TEST(test_patience_starts_when_bytes_are_expected_again))
