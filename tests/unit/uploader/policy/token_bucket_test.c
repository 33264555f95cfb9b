#include "unit.h"

#include "uploader/policy/token_bucket.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)

/* Takes as much as it can in so many turns of so many milliseconds; returns the sum. */
static uint64_t drain(struct token_bucket *b, uint64_t from_ns, unsigned turns, uint64_t turn_ms, uint64_t *largest) {
    uint64_t sum = 0;
    for (unsigned i = 1; i <= turns; i++) {
        uint64_t got = token_bucket_take(b, UINT64_MAX >> 1, token_bucket_piece(b), from_ns + i * turn_ms * MS_NS);
        sum += got;
        if (largest && got > *largest)
            *largest = got;
    }
    return sum;
}

static void test_without_a_limit_everything_passes(void **state) {
    (void)state;
    struct token_bucket b = {0};
    assert_int_equal(token_bucket_take(&b, 12345, 1, 1), 12345);
    assert_int_equal(token_bucket_level(&b, 1), UINT64_MAX);
    assert_int_equal(token_bucket_due_ns(&b, 1000, 77), 77);
    token_bucket_set_bytes(&b, 1000000, 0);
    token_bucket_set_bytes(&b, 0, 1);
    assert_int_equal(token_bucket_take(&b, 99, 99, 2), 99);
    assert_false(b.refused);
}

static void test_ten_seconds_give_ten_times_the_rate(void **state) {
    (void)state;
    const uint64_t rates[] = {10, 1024, 10000, 3333333, 1250000000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        for (uint64_t turn_ms = 1; turn_ms <= 50; turn_ms += 7) {
            struct token_bucket b = {0};
            token_bucket_set_bytes(&b, rates[i], SECOND_NS);
            uint64_t sum = drain(&b, SECOND_NS, (unsigned)(10000 / turn_ms), turn_ms, NULL);
            uint64_t turns = 10000 / turn_ms;
            double wanted = (double)rates[i] * (double)(turns * turn_ms) / 1000;
            assert_true((double)sum <= wanted + 1);
            assert_true((double)sum >= wanted * 0.95 - (double)token_bucket_piece(&b));
        }
}

static void test_a_burst_is_a_tenth_of_a_second(void **state) {
    (void)state;
    struct token_bucket b = {0};
    uint64_t largest = 0;
    token_bucket_set_bytes(&b, 1000000, 0);
    drain(&b, 3600 * SECOND_NS, 100, 20, &largest); /* after an idle hour */
    assert_int_equal(largest, 100000);
}

static void test_a_new_limit_starts_empty_and_a_changed_one_continues(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set_bytes(&b, 1000, 5 * SECOND_NS);
    assert_int_equal(token_bucket_take(&b, 1000, 1, 5 * SECOND_NS), 0);
    assert_true(b.refused);
    for (unsigned i = 1; i <= 100; i++) /* set again every 10 ms, without any effect on the sum */
        token_bucket_set_bytes(&b, i % 2 ? 1001 : 1000, 5 * SECOND_NS + i * 10 * MS_NS);
    assert_int_equal(token_bucket_take(&b, 1000, 1, 6 * SECOND_NS), 100);
    token_bucket_set_bytes(&b, 100, 7 * SECOND_NS);
    assert_int_equal(token_bucket_level(&b, 7 * SECOND_NS), 10); /* no more than its own depth */
}

static void test_the_due_time_of_tokens_is_known(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set(&b, 500, 1000, 0); /* half a request a second */
    assert_int_equal(token_bucket_take(&b, 1000, 1000, SECOND_NS), 0);
    uint64_t due_ns = token_bucket_due_ns(&b, 1000, SECOND_NS);
    assert_in_range(due_ns, 2 * SECOND_NS, 2 * SECOND_NS + MS_NS);
    assert_int_equal(token_bucket_take(&b, 1000, 1000, due_ns - MS_NS), 0);
    assert_int_equal(token_bucket_take(&b, 1000, 1000, due_ns), 1000);
}

static void test_tokens_given_back_can_be_taken_again(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set_bytes(&b, 1000, 0);
    assert_int_equal(token_bucket_take(&b, 80, 1, SECOND_NS), 80);
    token_bucket_give_back(&b, 30);
    assert_int_equal(token_bucket_level(&b, SECOND_NS), 50);
    token_bucket_give_back(&b, 1000);
    assert_int_equal(token_bucket_level(&b, SECOND_NS), 100);
}

/* A caller waits, and the process pauses for 0.2 s in each second. */
static void test_missed_tokens_are_made_up_for(void **state) {
    (void)state;
    struct token_bucket b = {0};
    uint64_t sum = 0, largest = 0;
    token_bucket_set_bytes(&b, 1000000, 0);
    for (uint64_t ms = 20; ms <= 10000; ms += ms % 1000 == 700 ? 200 : 20) {
        uint64_t got = token_bucket_take(&b, UINT64_MAX >> 1, token_bucket_piece(&b), ms * MS_NS);
        sum += got;
        largest = got > largest ? got : largest;
    }
    assert_in_range(sum, 9500000, 10000000);
    assert_int_equal(largest, 100000);
}

static void test_exactly_the_tokens_that_are_there_can_be_taken(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set(&b, 1000, 1000, 0);
    assert_int_equal(token_bucket_due_ns(&b, 500, SECOND_NS / 2), SECOND_NS / 2);
    assert_int_equal(token_bucket_take(&b, 500, 500, SECOND_NS / 2), 500);
    assert_false(b.refused);
    assert_int_equal(token_bucket_level(&b, SECOND_NS / 2), 0);
    assert_int_equal(token_bucket_take(&b, 500, 500, SECOND_NS / 2), 0);
    assert_true(b.refused);
}

static void test_at_the_due_time_the_tokens_are_there_for_any_rate(void **state) {
    (void)state;
    for (unsigned rate = 1; rate < 200; rate++) {
        struct token_bucket b = {0};
        token_bucket_set(&b, rate, 100, 0);
        assert_int_equal(token_bucket_take(&b, 1, 1, token_bucket_due_ns(&b, 1, 0)), 1);
    }
}

static void test_less_than_the_least_can_be_taken_when_less_is_wanted(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set(&b, 1000, 1000, 0);
    assert_int_equal(token_bucket_take(&b, 5, 100, 5 * MS_NS), 5);
}

static uint64_t take_after_a_pause(struct token_bucket *b, uint64_t now_ns) {
    (void)token_bucket_take(b, 1000, 1, now_ns);
    return token_bucket_take(b, 1000, 1, now_ns + SECOND_NS / 20);
}

static void test_only_waiting_callers_make_up_for_missed_tokens(void **state) {
    (void)state;
    struct token_bucket waiting = {0}, satisfied = {0};
    token_bucket_set(&waiting, 1000, 100, 0);
    token_bucket_set(&satisfied, 1000, 100, 0);
    assert_int_equal(token_bucket_take(&waiting, 1000, 1, SECOND_NS / 20), 50);
    assert_int_equal(token_bucket_take(&satisfied, 50, 1, SECOND_NS / 20), 50); /* all it wanted */
    assert_int_equal(take_after_a_pause(&satisfied, 2 * SECOND_NS), 50);
    assert_int_equal(take_after_a_pause(&waiting, 2 * SECOND_NS), 60); /* a fifth more */
}

static void test_a_limit_that_is_set_again_owes_nothing(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set(&b, 1000, 100, 0);
    (void)token_bucket_take(&b, 1000, 1, SECOND_NS / 20);
    (void)token_bucket_take(&b, 1000, 1, 2 * SECOND_NS);
    token_bucket_set(&b, 0, 0, 2 * SECOND_NS);
    token_bucket_set(&b, 1000, 100, 3 * SECOND_NS);
    assert_int_equal(token_bucket_level(&b, 3 * SECOND_NS), 0);
    assert_int_equal(token_bucket_take(&b, 1000, 1, 3 * SECOND_NS + SECOND_NS / 20), 50);
}

static void test_small_rates_have_room_for_two_bytes(void **state) {
    (void)state;
    struct token_bucket b = {0};
    token_bucket_set_bytes(&b, 10, 0);
    assert_int_equal(token_bucket_level(&b, 10 * SECOND_NS), 2);
    assert_int_equal(token_bucket_piece(&b), 1);
    token_bucket_set_bytes(&b, 1000, 0);
    assert_int_equal(token_bucket_piece(&b), 20);
}

UNIT_MAIN(cmocka_unit_test(test_without_a_limit_everything_passes),
          cmocka_unit_test(test_ten_seconds_give_ten_times_the_rate),
          cmocka_unit_test(test_a_burst_is_a_tenth_of_a_second),
          cmocka_unit_test(test_a_new_limit_starts_empty_and_a_changed_one_continues),
          cmocka_unit_test(test_missed_tokens_are_made_up_for), cmocka_unit_test(test_the_due_time_of_tokens_is_known),
          cmocka_unit_test(test_tokens_given_back_can_be_taken_again),
          cmocka_unit_test(test_exactly_the_tokens_that_are_there_can_be_taken),
          cmocka_unit_test(test_at_the_due_time_the_tokens_are_there_for_any_rate),
          cmocka_unit_test(test_less_than_the_least_can_be_taken_when_less_is_wanted),
          cmocka_unit_test(test_only_waiting_callers_make_up_for_missed_tokens),
          cmocka_unit_test(test_a_limit_that_is_set_again_owes_nothing),
          cmocka_unit_test(test_small_rates_have_room_for_two_bytes))
