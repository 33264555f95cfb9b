/* Rule 12: when a job is slow. The test gives the times. */
#include "unit.h"

#include "consumer/fleet/stragglers.h"

#define CHUNK ((uint64_t)8 << 20)
#define LEASE 10000

static struct stragglers fleet;

/* The usual time of a chunk. */
static void usual(uint64_t ms) {
    fleet = (struct stragglers){0};
    for (unsigned i = 0; i < STRAGGLER_TIMES; i++)
        stragglers_note(&fleet, CHUNK, ms);
}

static bool slow(uint64_t bytes, uint64_t age_ms, uint64_t still_ms) {
    struct straggler l = {.length = CHUNK, .bytes = bytes, .age_ms = age_ms, .still_ms = still_ms, .lease_ms = LEASE};
    return stragglers_is_slow(&fleet, &l);
}

static void test_the_usual_time_is_the_median_for_each_byte(void **state) {
    (void)state;
    fleet = (struct stragglers){0};
    assert_int_equal(stragglers_usual_ms(&fleet, CHUNK), 0);
    for (unsigned i = 0; i < 5; i++)
        stragglers_note(&fleet, CHUNK, i < 2 ? 60000 : 100);
    assert_in_range(stragglers_usual_ms(&fleet, CHUNK), 99, 101);
    assert_in_range(stragglers_usual_ms(&fleet, CHUNK / 2), 49, 51);
    for (unsigned i = 0; i < STRAGGLER_TIMES; i++) /* old times are forgotten */
        stragglers_note(&fleet, CHUNK / 2, 400);
    assert_in_range(stragglers_usual_ms(&fleet, CHUNK), 799, 801);
    stragglers_note(&fleet, 0, 5); /* an empty chunk is no sample */
    assert_in_range(stragglers_usual_ms(&fleet, CHUNK), 799, 801);
}

static void test_slow_when_the_rest_takes_longer_than_twice_the_usual_time_and_a_margin(void **state) {
    (void)state;
    usual(500);
    /* 1,500 ms old: with a third moved, 3,000 ms are left; with 3/7, 2,000 */
    assert_true(slow(CHUNK / 3, 1600, 0));
    assert_false(slow(CHUNK * 3 / 7 + (1 << 16), 1500, 0));
    assert_true(slow(0, 1500, 0));
    assert_false(slow(CHUNK, 60000, 0)); /* all bytes moved: only the third rule applies */
    assert_false(slow(CHUNK * 3, 60000, 0));
}

static void test_every_holder_has_the_usual_time_and_the_margin(void **state) {
    (void)state;
    usual(500);
    assert_false(slow(0, 500 + STRAGGLER_MARGIN_MS - 1, 500 + STRAGGLER_MARGIN_MS - 1));
    assert_true(slow(0, 500 + STRAGGLER_MARGIN_MS + 1, 0));
}

/* A holder with a slow record counts as slow at once; one that was fast gets the usual time. */
static void test_slow_by_the_pace_of_its_holder(void **state) {
    (void)state;
    usual(500);
    struct straggler l = {.length = CHUNK, .age_ms = 10, .lease_ms = LEASE};
    l.holder_ms_per_byte = 2100.0 / (double)CHUNK;
    assert_true(stragglers_is_slow(&fleet, &l));
    l.bytes = CHUNK / 10;
    assert_false(stragglers_is_slow(&fleet, &l));
    l.bytes = 0;
    l.holder_ms_per_byte = 1900.0 / (double)CHUNK;
    assert_false(stragglers_is_slow(&fleet, &l));
    fleet = (struct stragglers){0}; /* no recorded chunk to compare with */
    l.holder_ms_per_byte = 60000.0 / (double)CHUNK;
    assert_false(stragglers_is_slow(&fleet, &l));
}

static void test_no_byte_for_three_heartbeats(void **state) {
    (void)state;
    usual(100);
    assert_false(slow(CHUNK - 1, 60000, 2999));
    assert_true(slow(CHUNK - 1, 60000, 3000));
    assert_true(slow(CHUNK, 60000, 3000)); /* a response is awaited */
    usual(5000);
    assert_false(slow(CHUNK - 1, 60000, 9999)); /* usual for a store with slow responses */
    assert_true(slow(CHUNK - 1, 60000, 10000));
}

static void test_before_anything_was_recorded_only_stillness_counts(void **state) {
    (void)state;
    fleet = (struct stragglers){0};
    assert_false(slow(1, 9999, 2999));
    assert_true(slow(1, 9999, 3000));
}

static void test_short_leases_have_short_beats(void **state) {
    (void)state;
    fleet = (struct stragglers){0};
    struct straggler l = {.length = CHUNK, .age_ms = 1000, .still_ms = 749, .lease_ms = 1000};
    assert_false(stragglers_is_slow(&fleet, &l));
    l.still_ms = 750;
    assert_true(stragglers_is_slow(&fleet, &l));
}

/* The margin and two times the usual time are not slow yet. */
static void test_the_boundaries_of_slow(void **state) {
    (void)state;
    struct straggler l = {.length = 1000, .lease_ms = LEASE};
    fleet = (struct stragglers){0};
    stragglers_note(&fleet, 1000, 500);
    l.age_ms = 1500;
    l.bytes = 500;
    l.holder_ms_per_byte = 2;
    assert_false(stragglers_is_slow(&fleet, &l)); /* 1,500 ms for the rest */
    l.holder_ms_per_byte = 4;
    assert_false(stragglers_is_slow(&fleet, &l)); /* 2,000 ms by the pace of its holder */
    l.holder_ms_per_byte = 4.1;
    assert_true(stragglers_is_slow(&fleet, &l));
    l.holder_ms_per_byte = 0;
    l.age_ms = 2000;
    assert_false(stragglers_is_slow(&fleet, &l)); /* 2,000 ms at its rate */
    l.age_ms = 2010;
    assert_true(stragglers_is_slow(&fleet, &l));
}

/* The median of a full ring changes with the fourth chunk here, and is computed with every eighth. */
static void test_the_usual_time_follows_with_every_eighth_chunk(void **state) {
    (void)state;
    fleet = (struct stragglers){0};
    for (unsigned i = 0; i < STRAGGLER_TIMES; i++) {
        stragglers_note(&fleet, 1, i < 36 ? 10 : 20);
        assert_int_equal(stragglers_usual_ms(&fleet, 1), 10); /* at once, while the ring is not full */
    }
    for (unsigned i = 1; i <= 8; i++) {
        stragglers_note(&fleet, 1, 90);
        assert_int_equal(stragglers_usual_ms(&fleet, 1), i < 8 ? 10 : 20);
    }
}

UNIT_MAIN(cmocka_unit_test(test_the_usual_time_is_the_median_for_each_byte),
          cmocka_unit_test(test_slow_when_the_rest_takes_longer_than_twice_the_usual_time_and_a_margin),
          cmocka_unit_test(test_every_holder_has_the_usual_time_and_the_margin),
          cmocka_unit_test(test_slow_by_the_pace_of_its_holder), cmocka_unit_test(test_no_byte_for_three_heartbeats),
          cmocka_unit_test(test_before_anything_was_recorded_only_stillness_counts),
          cmocka_unit_test(test_short_leases_have_short_beats), cmocka_unit_test(test_the_boundaries_of_slow),
          cmocka_unit_test(test_the_usual_time_follows_with_every_eighth_chunk))
