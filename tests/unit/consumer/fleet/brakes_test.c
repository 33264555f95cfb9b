/* The brake of one store endpoint, with given times, and against a simulated store. */
#include "unit.h"

#include "consumer/fleet/brakes.h"
#include <math.h>
#include <stdlib.h>

static struct brakes brakes;
static struct fleet_brake *b;
static uint64_t now;

static int setup(void **state) {
    (void)state;
    bool reused;
    memset(&brakes, 0, sizeof brakes);
    now = 100000;
    b = brakes_get(&brakes, slice_of("http://store"), now, &reused);
    return b && !reused ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    brakes_release(&brakes);
    return 0;
}

/* ms milliseconds at a rate of accepted requests, some of which waited for the brake. */
static void serve(uint64_t ms, unsigned rate, bool waited) {
    for (uint64_t end = now + ms; now < end; now += 10) {
        unsigned due = (unsigned)((now + 10) * rate / 1000 - now * rate / 1000);
        assert_false(brake_note(b, due, 0, 0, waited, now));
    }
}

static void assert_near(double value, double wanted) {
    if (fabs(value - wanted) > wanted * 0.15 + 0.01)
        fail_msg("%.2f, wanted about %.2f", value, wanted);
}

static void test_a_refusal_cuts_to_the_accepted_rate(void **state) {
    (void)state;
    serve(5000, 200, false);
    assert_false(b->on);
    assert_near(brake_served(b, now), 200);
    assert_true(brake_note(b, 0, 3, 0, false, now));
    assert_true(b->on && !b->doubling);
    assert_near(brake_limit(b, now), 140);
}

static void test_one_cut_a_second(void **state) {
    (void)state;
    serve(5000, 100, false);
    assert_true(brake_note(b, 0, 1, 0, false, now));
    double limit = brake_limit(b, now);
    for (uint64_t end = now + BRAKE_WINDOW_MS; now < end; now += 100)
        assert_int_equal(brake_note(b, 7, 10, 0, true, now), now >= b->changed_ms + BRAKE_WINDOW_MS);
    assert_near(limit, 70);
    assert_true(brake_note(b, 0, 1, 0, true, now));
    assert_near(brake_limit(b, now), 0.7 * 70);
    assert_int_equal(b->refused, 12 + 90);
}

static void test_the_way_back_is_a_cubic(void **state) {
    (void)state;
    serve(5000, 100, false);
    assert_true(brake_note(b, 0, 1, 0, false, now));
    uint64_t cut = now;
    double last = brake_limit(b, cut);
    for (uint64_t t = 0; t <= 3 * BRAKE_BACK_MS; t += 50) { /* the limit never falls */
        assert_true(brake_limit(b, cut + t) >= last);
        last = brake_limit(b, cut + t);
    }
    assert_near(brake_limit(b, cut + BRAKE_BACK_MS), 100);
    double half = brake_limit(b, cut + BRAKE_BACK_MS / 2), probe = brake_limit(b, cut + BRAKE_BACK_MS * 3 / 2);
    assert_true(half > 93 && half < 97 + 15 &&
                probe < half * 1.15); /* fast at first, slow around the rate of the cut */
    assert_near(brake_limit(b, cut + 2 * BRAKE_BACK_MS), 130);
    assert_true(brake_limit(b, cut + 100 * BRAKE_BACK_MS) < 1e9);
}

static void test_it_is_never_less_than_one_a_second(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++, now += BRAKE_WINDOW_MS) /* the store accepts no request */
        (void)brake_note(b, 0, 5, 0, true, now);
    assert_true(b->on && brake_limit(b, now) >= 0.7 * BRAKE_FLOOR);
}

static void test_the_limit_of_a_new_store_doubles_until_a_refusal(void **state) {
    (void)state;
    serve(200, 100, false);
    assert_true(brake_note(b, 0, 5, 0, false, now));
    assert_true(b->doubling);
    double first = brake_limit(b, now);
    assert_near(brake_limit(b, now + 1000), 4 * first);
    serve(1500, 60, true);
    assert_true(brake_note(b, 0, 1, 0, true, now));
    assert_false(b->doubling);
}

static void test_a_pause_is_for_all_uploaders_and_bounded(void **state) {
    (void)state;
    assert_true(brake_note(b, 0, 1, 3000, false, now));
    assert_int_equal(brake_pause_ms(b, now + 1000), 2000);
    now += 10;
    assert_false(brake_note(b, 0, 1, 2990, false, now)); /* the same pause, reported by another uploader */
    now += 10;
    assert_true(brake_note(b, 0, 1, UINT32_MAX, false, now));
    assert_int_equal(brake_pause_ms(b, now), BRAKE_PAUSE_MAX_MS);
    assert_int_equal(brake_pause_ms(b, now + BRAKE_PAUSE_MAX_MS), 0);
}

static void test_it_ends_when_no_request_waits(void **state) {
    (void)state;
    serve(5000, 100, false);
    assert_true(brake_note(b, 0, 1, 0, false, now));
    uint64_t cut = now;
    serve(9000, 50, true);
    assert_false(brake_tick(b, now));
    serve(4900, 50, false);
    assert_false(brake_tick(b, now)); /* a request waited less than 5 s ago */
    serve(200, 50, false);
    assert_true(now > cut + BRAKE_CALM_MS);
    assert_true(brake_tick(b, now));
    assert_false(b->on);
    assert_false(brake_tick(b, now));
}

static void test_entries_are_reused_after_a_minute(void **state) {
    (void)state;
    bool reused;
    char name[32];
    for (unsigned i = 1; i < BRAKES_MAX; i++) {
        snprintf(name, sizeof name, "http://store%u", i);
        assert_non_null(brakes_get(&brakes, slice_of(name), now, &reused));
        assert_false(reused);
    }
    assert_null(brakes_get(&brakes, slice_of("http://other"), now + 1000, &reused));
    (void)brake_note(b, 0, 1, 0, false, now); /* a brake that is on keeps its entry */
    assert_non_null(brakes_get(&brakes, slice_of("http://other"), now + 61000, &reused));
    assert_true(reused);
    assert_ptr_equal(brakes_get(&brakes, slice_of("http://store"), now + 61000, &reused), b);
    assert_false(reused);
}

/* ---- boundaries ---- */

/* Counts are kept for 100 ms each. The last second has the slot of now and the nine before it. */
static void test_the_accepted_rate_is_that_of_the_last_second(void **state) {
    (void)state;
    now += 10000;
    assert_false(brake_note(b, 10, 0, 0, false, now - 1000));
    assert_false(brake_note(b, 20, 0, 0, false, now - 900));
    assert_false(brake_note(b, 7, 0, 0, false, now));
    assert_true(brake_served(b, now) == 27 * 1000.0 / 900);
    assert_true(brake_served(b, now + 99) == 27 * 1000.0 / 999);
    assert_true(brake_served(b, now + 100) == 7 * 1000.0 / 900);
}

static void test_few_requests_are_counted_over_three_seconds(void **state) {
    (void)state;
    now += 10000;
    assert_false(brake_note(b, 100, 0, 0, false, now - 2900));
    assert_false(brake_note(b, 4, 0, 0, false, now));
    assert_true(brake_served(b, now) == 104 * 1000.0 / 2900);
    assert_false(brake_note(b, 1, 0, 0, false, now));
    assert_true(brake_served(b, now) == 5 * 1000.0 / 900);
}

/* The time since its first use counts, and at least 200 ms. */
static void test_the_rate_of_a_new_store_is_not_underestimated(void **state) {
    (void)state;
    assert_false(brake_note(b, 10, 0, 0, false, now));
    assert_true(brake_served(b, now) == 10 * 1000.0 / 200);
    assert_true(brake_served(b, now + 300) == 10 * 1000.0 / 300);
}

static void test_a_store_is_new_for_two_seconds(void **state) {
    (void)state;
    struct fleet_brake copy = *b;
    assert_true(brake_note(&copy, 0, 1, 0, false, now + 1999));
    assert_true(copy.doubling);
    assert_true(brake_note(b, 0, 1, 0, false, now + 2000));
    assert_false(b->doubling);
}

/* Reports accepted and refused requests 2 s after a cut. True: the limit was cut. */
static bool cut_by(uint64_t served, uint64_t refused) {
    bool reused;
    brakes_release(&brakes);
    now = 100000;
    b = brakes_get(&brakes, slice_of("http://store"), now, &reused);
    serve(5000, 100, false);
    assert_true(brake_note(b, 0, 1, 0, false, now));
    now += 2000;
    double before = brake_limit(b, now);
    assert_true(brake_note(b, served, refused, 0, true, now));
    return brake_limit(b, now) < before * 0.9;
}

static void test_few_refusals_hold_the_limit(void **state) {
    (void)state;
    assert_false(cut_by(90, 1));
    assert_false(cut_by(95, 5)); /* one in twenty */
    assert_true(cut_by(90, 5));
}

static void test_a_pause_that_is_hardly_longer_is_the_same(void **state) {
    (void)state;
    assert_true(brake_note(b, 0, 1, 3000, false, now));
    assert_false(brake_note(b, 0, 0, 3100, false, now));
    assert_int_equal(brake_pause_ms(b, now), 3100);
    assert_true(brake_note(b, 0, 0, 3201, false, now));
    assert_int_equal(brake_pause_ms(b, now), 3201);
    assert_false(brake_note(b, 0, 0, 500, false, now)); /* a shorter one ends nothing */
    assert_int_equal(brake_pause_ms(b, now), 3201);
}

static void test_a_pause_without_a_refusal_is_ignored(void **state) {
    (void)state;
    assert_false(brake_note(b, 5, 0, 3000, false, now));
    assert_int_equal(brake_pause_ms(b, now), 0);
}

static void test_a_refusal_keeps_the_brake_on_for_ten_seconds(void **state) {
    (void)state;
    assert_true(brake_note(b, 0, 1, 0, false, now));
    assert_false(brake_tick(b, now + BRAKE_CALM_MS - 1));
    assert_true(brake_tick(b, now + BRAKE_CALM_MS));
}

static void test_a_wait_keeps_the_brake_on_for_five_seconds(void **state) {
    (void)state;
    assert_true(brake_note(b, 0, 1, 0, false, now));
    now += BRAKE_CALM_MS;
    assert_false(brake_note(b, 1, 0, 0, true, now));
    assert_false(brake_tick(b, now + BRAKE_FREE_MS - 1));
    assert_true(brake_tick(b, now + BRAKE_FREE_MS));
}

static void test_a_pause_keeps_the_brake_on(void **state) {
    (void)state;
    assert_true(brake_note(b, 0, 1, 20000, false, now));
    assert_false(brake_tick(b, now + 19999));
    assert_true(brake_tick(b, now + 20000));
}

static void test_the_entry_unused_for_longest_is_reused(void **state) {
    (void)state;
    bool reused;
    char name[32];
    for (unsigned i = 1; i < BRAKES_MAX; i++) {
        snprintf(name, sizeof name, "http://store%u", i);
        assert_non_null(brakes_get(&brakes, slice_of(name), now + 100 - i, &reused));
    }
    (void)brake_note(b, 1, 0, 0, false, now + 50000); /* the first entry is in use */
    uint64_t oldest = now + 100 - (BRAKES_MAX - 1);
    assert_null(brakes_get(&brakes, slice_of("http://other"), oldest + 59999, &reused));
    struct fleet_brake *other = brakes_get(&brakes, slice_of("http://other"), oldest + 60000, &reused);
    assert_ptr_equal(other, &brakes.items[BRAKES_MAX - 1]);
    assert_true(reused);
    other = brakes_get(&brakes, slice_of("http://another"), oldest + 70000, &reused);
    assert_ptr_equal(other, &brakes.items[BRAKES_MAX - 2]);
}

/* A fleet that always wants more and learns of refusals 50 ms late, and a store that accepts
 * `takes` requests a second with bursts of a fifth of that. */
static void run_against(double takes) {
    double tokens = 0, owed = 0, served = 0, refused = 0, told_served = 0, told_refused = 0, all = 0, refused_all = 0;
    uint64_t start = now;
    for (uint64_t t = 0; t < 40000; t++, now++) {
        double depth = takes / 5 > 2 ? takes / 5 : 2;
        tokens = tokens + takes / 1000 < depth ? tokens + takes / 1000 : depth;
        owed += (b->on ? brake_limit(b, now) : takes * 20) / 1000;
        /* the reports are not in step */
        while (owed >= 1 || (owed > 0 && (double)rand() / RAND_MAX < owed)) {
            owed--;
            if (tokens >= 1)
                tokens--, served++, all += t >= 5000;
            else
                refused++, refused_all += t >= 5000;
        }
        if (t % 50)
            continue;
        (void)brake_note(b, (uint64_t)(served - told_served), (uint64_t)(refused - told_refused), 0, true, now);
        told_served = served;
        told_refused = refused;
    }
    printf("takes %g a second: %.1f%% of that, %.1f%% refused\n", takes, all / takes / 35 * 100,
           refused_all / (all + refused_all) * 100);
    bool few = takes <= 10; /* at such a rate a single request is a large share */
    assert_true(all >= (few ? 0.7 : 0.8) * takes * 35);
    assert_true(refused_all <= (few ? 0.2 : 0.06) * (all + refused_all));
    assert_true(now == start + 40000);
}

static void test_it_finds_any_stores_limit(void **state) {
    const double takes[] = {3, 10, 50, 300, 2000};
    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
        run_against(takes[i]);
        (void)teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_a_refusal_cuts_to_the_accepted_rate), TEST(test_one_cut_a_second),
          TEST(test_the_way_back_is_a_cubic), TEST(test_it_is_never_less_than_one_a_second),
          TEST(test_the_limit_of_a_new_store_doubles_until_a_refusal),
          TEST(test_a_pause_is_for_all_uploaders_and_bounded), TEST(test_it_ends_when_no_request_waits),
          TEST(test_entries_are_reused_after_a_minute), TEST(test_the_accepted_rate_is_that_of_the_last_second),
          TEST(test_few_requests_are_counted_over_three_seconds),
          TEST(test_the_rate_of_a_new_store_is_not_underestimated), TEST(test_a_store_is_new_for_two_seconds),
          TEST(test_few_refusals_hold_the_limit), TEST(test_a_pause_that_is_hardly_longer_is_the_same),
          TEST(test_a_pause_without_a_refusal_is_ignored), TEST(test_a_refusal_keeps_the_brake_on_for_ten_seconds),
          TEST(test_a_wait_keeps_the_brake_on_for_five_seconds), TEST(test_a_pause_keeps_the_brake_on),
          TEST(test_the_entry_unused_for_longest_is_reused), TEST(test_it_finds_any_stores_limit))
