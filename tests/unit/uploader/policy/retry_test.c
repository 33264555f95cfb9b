#include "unit.h"

#include "uploader/policy/retry.h"

static const struct retry_limits limits = {.retry_for_ms = 600000, .lease_ms = 10000};

struct world {
    struct store_endpoints endpoints;
    struct store_endpoint *endpoint;
    struct retry_budget budget;
    uint64_t random_state;
};

static void setup(struct world *w) {
    *w = (struct world){.random_state = 42};
    retry_budget_init(&w->budget);
    w->endpoint = store_endpoints_get(&w->endpoints, slice_of("https://s3.example"));
    assert_non_null(w->endpoint);
}

static struct retry_decision decide(struct world *w, struct retry_failure f, uint64_t now_ms) {
    return retry_decide(w->endpoint, &w->budget, &f, &limits, now_ms, &w->random_state);
}

static void test_wait_is_full_jitter(void **state) {
    (void)state;
    static const uint32_t bounds[] = {0, 1000, 2000, 4000, 8000, 16000, 20000, 20000};
    uint64_t random_state = 7;
    for (uint32_t n = 1; n < 8; n++) {
        enum { DRAWS = 20000 };
        uint32_t quarter[4] = {0}, most = 0;
        double sum = 0;
        for (int i = 0; i < DRAWS; i++) {
            uint32_t wait_ms = retry_wait_ms(n, &random_state);
            assert_in_range(wait_ms, 0, bounds[n]);
            quarter[wait_ms < bounds[n] ? (uint64_t)wait_ms * 4 / bounds[n] : 3]++;
            sum += wait_ms;
            most = wait_ms > most ? wait_ms : most;
        }
        /* uniform: the mean is half the bound, and each quarter gets a quarter of the draws; 5 standard deviations: 1.8 % */
        assert_true(sum / DRAWS > bounds[n] * 0.49 && sum / DRAWS < bounds[n] * 0.51);
        assert_true(most > bounds[n] * 0.99);
        for (int i = 0; i < 4; i++)
            assert_in_range(quarter[i], DRAWS / 4 * 93 / 100, DRAWS / 4 * 107 / 100);
    }
}

static void test_many_failures_do_not_overflow_the_wait(void **state) {
    (void)state;
    uint64_t random_state = 7;
    assert_in_range(retry_wait_ms(64, &random_state), 0, RETRY_WAIT_MAX_MS);
    assert_in_range(retry_wait_ms(UINT32_MAX, &random_state), 0, RETRY_WAIT_MAX_MS);
}

static void test_budget_costs_and_refills(void **state) {
    (void)state;
    struct retry_budget b;
    retry_budget_init(&b);
    for (int i = 0; i < 100; i++)
        assert_true(retry_budget_take(&b, false));
    assert_false(retry_budget_take(&b, false));
    retry_budget_refill(&b, 2); /* a retry that succeeds returns its cost */
    assert_false(retry_budget_take(&b, true));
    assert_true(retry_budget_take(&b, false));
    for (int i = 0; i < 9; i++)
        retry_budget_refill(&b, 1);
    assert_false(retry_budget_take(&b, true));
    retry_budget_refill(&b, 1);
    assert_true(retry_budget_take(&b, true)); /* 10 */
    assert_int_equal(b.tokens, 0);
    for (int i = 0; i < 10000; i++)
        retry_budget_refill(&b, 2);
    assert_int_equal(b.tokens, RETRY_TOKENS);
}

static void test_empty_budget_slows_retries_and_never_gives_up(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    w.budget.tokens = 0;
    uint64_t sum = 0;
    for (int i = 0; i < 1000; i++) {
        struct retry_decision d = decide(&w, (struct retry_failure){.failures = 1}, 2000);
        assert_true(d.action == RETRY_AGAIN || d.action == RETRY_RELEASE);
        sum += d.wait_ms;
    }
    assert_true(sum / 1000 > 9000); /* as after many failures: 10 s on average, not half a second */
    store_endpoints_release(&w.endpoints);
}

static void test_short_wait_keeps_the_lease_long_wait_gives_it_back(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    bool again = false, released = false;
    for (int i = 0; i < 90; i++) {
        w.endpoint->retry_until_ms = 0;
        struct retry_decision d = decide(&w, (struct retry_failure){.failures = 4}, 2000);
        if (d.action == RETRY_AGAIN) {
            again = true;
            assert_in_range(d.wait_ms, 0, 5000);
            assert_false(store_endpoint_is_paused(w.endpoint, 2000));
        } else {
            released = true;
            assert_int_equal(d.action, RETRY_RELEASE);
            assert_in_range(d.wait_ms, 5001, 8000);
            assert_true(store_endpoint_is_paused(w.endpoint, 2000 + d.wait_ms - 1));
            assert_false(store_endpoint_is_paused(w.endpoint, 2000 + d.wait_ms));
        }
    }
    assert_true(again && released);
    store_endpoints_release(&w.endpoints);
}

static void test_retry_after_is_a_minimum(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    struct retry_decision d = decide(&w, (struct retry_failure){.failures = 1, .retry_after_ms = 3000}, 2000);
    assert_int_equal(d.action, RETRY_AGAIN);
    assert_int_equal(d.wait_ms, 3000);
    d = decide(&w, (struct retry_failure){.failures = 1, .retry_after_ms = 30000}, 2000);
    assert_int_equal(d.action, RETRY_RELEASE);
    assert_int_equal(d.wait_ms, 30000);
    d = decide(&w, (struct retry_failure){.failures = 1, .retry_after_ms = UINT32_MAX}, 2000);
    assert_in_range(d.wait_ms, 1, 300000); /* the pause a store asks for has a limit */
    store_endpoints_release(&w.endpoints);
}

static void test_throttling_pauses_the_endpoint(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    struct retry_failure f = {.failures = 1, .throttled = true, .retry_after_ms = 2000};
    struct retry_decision d = decide(&w, f, 5000);
    assert_int_equal(d.action, RETRY_AGAIN);
    assert_true(store_endpoint_is_paused(w.endpoint, 6999));
    assert_false(store_endpoint_is_paused(w.endpoint, 7000));
    store_endpoints_release(&w.endpoints);
}

/* Rule 14: the fleet's request limit replaces the pause of this uploader; they do not add up. */
static void test_the_fleets_limit_replaces_the_own_pause(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    struct retry_failure f = {.failures = 1, .throttled = true};
    (void)decide(&w, f, 5000);
    f.failures = 5;
    uint64_t until = store_endpoint_paused_until_ms(w.endpoint, 5000);
    token_bucket_set(&w.endpoint->starts, 5000, 1500, 1); /* set a moment later */
    assert_false(store_endpoint_is_paused(w.endpoint, 5001));
    f.fleet_limited = true;
    for (int i = 0; i < 50; i++) {
        struct retry_decision d = decide(&w, f, 6000);
        assert_int_equal(d.action, RETRY_AGAIN);
        assert_in_range(d.wait_ms, 0, 1000); /* as after the first failure */
        assert_false(store_endpoint_is_paused(w.endpoint, 6000));
    }
    w.endpoint->fleet_pause_until_ms = 9000; /* except while the fleet pauses */
    assert_int_equal(store_endpoint_paused_until_ms(w.endpoint, 6000), 9000);
    token_bucket_set(&w.endpoint->starts, 0, 0, 2);
    assert_int_equal(store_endpoint_is_paused(w.endpoint, 5000), until != 0);
    f.retry_after_ms = 3000; /* a pause that the store asks for is kept and reported in any case */
    struct retry_decision d = decide(&w, f, 20000);
    assert_int_equal(d.wait_ms >= 3000, true);
    assert_int_equal(w.endpoint->store_pause_until_ms, 23000);
    store_endpoints_release(&w.endpoints);
}

static void test_outage_counts_from_the_first_failure_after_a_success(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_attempt(w.endpoint, 1000);
    store_endpoint_success(w.endpoint, 1100);
    /* an hour without an attempt is no outage */
    store_endpoint_attempt(w.endpoint, 3600000);
    struct retry_failure f = {.failures = 1};
    assert_int_equal(decide(&w, f, 3600100).action, RETRY_AGAIN);
    assert_int_not_equal(decide(&w, f, 3600100 + 599999).action, RETRY_OUTAGE);
    assert_int_equal(decide(&w, f, 3600100 + 600000).action, RETRY_OUTAGE);
    store_endpoint_success(w.endpoint, 3600100 + 600001);
    assert_int_equal(decide(&w, f, 3600100 + 600002).action, RETRY_AGAIN);
    store_endpoints_release(&w.endpoints);
}

static void test_never_reached_gives_up_after_ten_seconds(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_attempt(w.endpoint, 1000);
    struct retry_failure f = {.failures = 5, .never_connected = true};
    for (int i = 0; i < 50; i++) /* no wait is so long that the end comes too late */
        assert_int_equal(decide(&w, f, 10999).action, RETRY_AGAIN);
    assert_int_equal(decide(&w, f, 11000).action, RETRY_UNREACHABLE);
    store_endpoints_release(&w.endpoints);
}

static void test_never_reached_is_no_outage_with_a_short_limit(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    const struct retry_limits brief = {.retry_for_ms = 1000, .lease_ms = 10000};
    struct retry_failure f = {.failures = 5, .never_connected = true};
    store_endpoint_attempt(w.endpoint, 1000);
    assert_int_equal(retry_decide(w.endpoint, &w.budget, &f, &brief, 1000, &w.random_state).action, RETRY_AGAIN);
    assert_int_equal(retry_decide(w.endpoint, &w.budget, &f, &brief, 2000, &w.random_state).action, RETRY_UNREACHABLE);
    f.never_connected = false;
    assert_int_equal(retry_decide(w.endpoint, &w.budget, &f, &brief, 2001, &w.random_state).action, RETRY_OUTAGE);
    store_endpoints_release(&w.endpoints);
}

static void test_a_long_transfer_that_breaks_is_no_outage(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_attempt(w.endpoint, 1000);
    assert_int_not_equal(decide(&w, (struct retry_failure){.failures = 1}, 1000 + 700000).action, RETRY_OUTAGE);
    store_endpoints_release(&w.endpoints);
}

static void test_an_idle_hour_after_a_failure_is_no_outage(void **state) {
    (void)state;
    struct world w;
    struct retry_failure f = {.failures = 1};
    setup(&w);
    store_endpoint_attempt(w.endpoint, 1000);
    assert_int_not_equal(decide(&w, f, 2000).action, RETRY_OUTAGE); /* released, then done by another uploader */
    store_endpoint_attempt(w.endpoint, 3600000);
    assert_int_not_equal(decide(&w, f, 3601000).action, RETRY_OUTAGE);
    assert_int_equal(decide(&w, f, 3601000 + 600000).action, RETRY_OUTAGE);
    store_endpoints_release(&w.endpoints);
}

static void test_an_endpoint_reached_once_has_an_outage(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_attempt(w.endpoint, 1000);
    decide(&w, (struct retry_failure){.failures = 1}, 1001); /* connected, a 500 */
    struct retry_failure f = {.failures = 1, .never_connected = true};
    assert_int_not_equal(decide(&w, f, 60000).action, RETRY_UNREACHABLE);
    assert_int_equal(decide(&w, f, 601001).action, RETRY_OUTAGE);
    store_endpoints_release(&w.endpoints);
}

static void test_a_retry_with_new_credentials_is_free(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    struct retry_decision d = decide(&w, (struct retry_failure){.failures = 9, .credentials_expired = true}, 2000);
    assert_int_equal(d.action, RETRY_AGAIN);
    assert_int_equal(d.wait_ms, 0);
    assert_int_equal(w.budget.tokens, RETRY_TOKENS);
    store_endpoints_release(&w.endpoints);
}

static void test_before_a_failure_there_is_no_wait(void **state) {
    (void)state;
    uint64_t random_state = 7;
    for (int i = 0; i < 10; i++)
        assert_int_equal(retry_wait_ms(0, &random_state), 0);
}

static void test_a_wait_of_half_a_lease_keeps_the_lease(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    struct retry_failure f = {.failures = 1, .retry_after_ms = limits.lease_ms / 2};
    assert_int_equal(decide(&w, f, 2000).action, RETRY_AGAIN);
    f.retry_after_ms++;
    assert_int_equal(decide(&w, f, 2000).action, RETRY_RELEASE);
    store_endpoints_release(&w.endpoints);
}

static void test_only_throttling_pauses_the_other_jobs(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    (void)decide(&w, (struct retry_failure){.failures = 1, .retry_after_ms = 2000}, 5000);
    assert_int_equal(w.endpoint->store_pause_until_ms, 0);
    assert_int_equal(w.endpoint->throttled_until_ms, 0);
    assert_int_equal(w.endpoint->again_ms, 7000);
    store_endpoints_release(&w.endpoints);
}

static void test_without_a_fleet_limit_throttled_waits_grow(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    uint32_t longest_ms = 0;
    for (int i = 0; i < 40; i++) {
        struct retry_decision d = decide(&w, (struct retry_failure){.failures = 5, .throttled = true}, 5000);
        longest_ms = d.wait_ms > longest_ms ? d.wait_ms : longest_ms;
    }
    assert_true(longest_ms > 8000);
    store_endpoints_release(&w.endpoints);
}

static void test_under_a_fleet_limit_other_failures_wait_longer(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    uint32_t longest_ms = 0;
    for (int i = 0; i < 40; i++) {
        struct retry_decision d = decide(&w, (struct retry_failure){.failures = 5, .fleet_limited = true}, 5000);
        longest_ms = d.wait_ms > longest_ms ? d.wait_ms : longest_ms;
    }
    assert_true(longest_ms > 8000);
    assert_int_equal(w.endpoint->throttled_until_ms, 0);
    store_endpoints_release(&w.endpoints);
}

static void test_a_longer_pause_is_not_shortened(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    store_endpoint_success(w.endpoint, 1000);
    (void)decide(&w, (struct retry_failure){.failures = 1, .throttled = true, .retry_after_ms = 30000}, 5000);
    (void)decide(&w, (struct retry_failure){.failures = 1, .throttled = true, .retry_after_ms = 6000}, 5000);
    assert_int_equal(w.endpoint->store_pause_until_ms, 35000);
    assert_int_equal(w.endpoint->retry_until_ms, 35000);
    store_endpoints_release(&w.endpoints);
}

static void test_a_success_after_one_attempt_refills_one_token(void **state) {
    (void)state;
    struct retry_budget b = {.tokens = 10};
    retry_budget_refill(&b, 1);
    assert_int_equal(b.tokens, 11);
    retry_budget_refill(&b, 2);
    assert_int_equal(b.tokens, 16);
}

/* The attempt started before the success of another job. */
static void test_a_failure_after_a_success_starts_the_time_again(void **state) {
    (void)state;
    struct world w;
    setup(&w);
    assert_int_equal(decide(&w, (struct retry_failure){.failures = 1, .never_connected = true}, 50000).action,
                     RETRY_AGAIN);
    assert_int_equal(w.endpoint->trying_ms, 50000);
    store_endpoints_release(&w.endpoints);
}

UNIT_MAIN(cmocka_unit_test(test_wait_is_full_jitter), cmocka_unit_test(test_many_failures_do_not_overflow_the_wait),
          cmocka_unit_test(test_budget_costs_and_refills),
          cmocka_unit_test(test_empty_budget_slows_retries_and_never_gives_up),
          cmocka_unit_test(test_short_wait_keeps_the_lease_long_wait_gives_it_back),
          cmocka_unit_test(test_retry_after_is_a_minimum), cmocka_unit_test(test_throttling_pauses_the_endpoint),
          cmocka_unit_test(test_the_fleets_limit_replaces_the_own_pause),
          cmocka_unit_test(test_outage_counts_from_the_first_failure_after_a_success),
          cmocka_unit_test(test_never_reached_gives_up_after_ten_seconds),
          cmocka_unit_test(test_never_reached_is_no_outage_with_a_short_limit),
          cmocka_unit_test(test_a_long_transfer_that_breaks_is_no_outage),
          cmocka_unit_test(test_an_idle_hour_after_a_failure_is_no_outage),
          cmocka_unit_test(test_an_endpoint_reached_once_has_an_outage),
          cmocka_unit_test(test_a_retry_with_new_credentials_is_free),
          cmocka_unit_test(test_before_a_failure_there_is_no_wait),
          cmocka_unit_test(test_a_wait_of_half_a_lease_keeps_the_lease),
          cmocka_unit_test(test_only_throttling_pauses_the_other_jobs),
          cmocka_unit_test(test_without_a_fleet_limit_throttled_waits_grow),
          cmocka_unit_test(test_under_a_fleet_limit_other_failures_wait_longer),
          cmocka_unit_test(test_a_longer_pause_is_not_shortened),
          cmocka_unit_test(test_a_success_after_one_attempt_refills_one_token),
          cmocka_unit_test(test_a_failure_after_a_success_starts_the_time_again))
