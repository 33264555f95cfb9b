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
          TEST(test_entries_are_reused_after_a_minute), TEST(test_it_finds_any_stores_limit))
