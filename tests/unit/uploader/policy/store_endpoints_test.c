#include "unit.h"

#include "uploader/policy/store_endpoints.h"
#include <stdio.h>

static struct store_endpoints all;

static int tear_down(void **state) {
    (void)state;
    store_endpoints_release(&all);
    return 0;
}

static struct store_endpoint *get(const char *name) {
    struct store_endpoint *e = store_endpoints_get(&all, slice_of(name));
    assert_non_null(e);
    return e;
}

static void test_endpoints_are_separate_and_limited(void **state) {
    (void)state;
    store_endpoint_success(get("https://s3.example"), 5);
    assert_int_equal(get("")->success_ms, 0);
    assert_int_equal(get("https://s3.example")->success_ms, 5);
    char name[32];
    for (int i = 2; i < STORE_ENDPOINTS_MAX; i++) {
        snprintf(name, sizeof name, "http://%d", i);
        get(name);
    }
    assert_null(store_endpoints_get(&all, slice_of("http://one.too.many")));
}

static void test_the_longest_pause_counts(void **state) {
    (void)state;
    struct store_endpoint *e = get("https://s3.example");
    assert_false(store_endpoint_is_paused(e, 1000));
    e->retry_until_ms = 3000;
    e->throttled_until_ms = 4000;
    assert_int_equal(store_endpoint_paused_until_ms(e, 1000), 4000);
    assert_false(store_endpoint_is_paused(e, 4000));
    token_bucket_set(&e->starts, 5000, 1500, 1); /* rule 14: the fleet's pause replaces that of a throttled request */
    assert_int_equal(store_endpoint_paused_until_ms(e, 1000), 3000);
    e->fleet_pause_until_ms = 9000;
    assert_int_equal(store_endpoint_paused_until_ms(e, 1000), 9000);
}

static void test_the_longest_outage_is_reported_until_it_is_idle(void **state) {
    (void)state;
    char text[STORE_OUTAGE_SIZE];
    get("http://a");
    *get("http://b") =
        (struct store_endpoint){.name = get("http://b")->name, .failing_ms = 2000, .again_ms = 5000, .failure = "503"};
    *get("") =
        (struct store_endpoint){.name = get("")->name, .failing_ms = 1000, .again_ms = 1000, .failure = "no space"};
    assert_int_equal(store_endpoints_outage_ms(&all, 6000, text), 5000);
    assert_string_equal(text, "no space");
    store_endpoint_success(get(""), 6000);
    assert_int_equal(store_endpoints_outage_ms(&all, 6000, text), 4000);
    assert_string_equal(text, "http://b: 503");
    assert_int_equal(store_endpoints_outage_ms(&all, 5001 + STORE_ENDPOINT_IDLE_MS, text), 0);
    assert_string_equal(text, "");
}

static void test_of_outages_since_the_same_time_the_first_is_reported(void **state) {
    (void)state;
    char text[STORE_OUTAGE_SIZE];
    for (int i = 0; i < 2; i++) {
        struct store_endpoint *e = get(i == 0 ? "http://a" : "http://b");
        e->failing_ms = e->again_ms = 1000;
        snprintf(e->failure, sizeof e->failure, "503");
    }
    assert_int_equal(store_endpoints_outage_ms(&all, 1500, text), 500);
    assert_string_equal(text, "http://a: 503");
}

static void test_an_attempt_after_an_idle_time_ends_the_outage(void **state) {
    (void)state;
    struct store_endpoint *e = get("http://a");
    e->failing_ms = 1000;
    e->again_ms = 2000;
    store_endpoint_attempt(e, 2000 + STORE_ENDPOINT_IDLE_MS);
    assert_int_equal(e->failing_ms, 1000);
    store_endpoint_attempt(e, 2001 + STORE_ENDPOINT_IDLE_MS);
    assert_int_equal(e->failing_ms, 0);
}

static void test_the_first_attempt_since_a_success_counts(void **state) {
    (void)state;
    struct store_endpoint *e = get("http://a");
    store_endpoint_attempt(e, 1000);
    store_endpoint_attempt(e, 2000);
    assert_int_equal(e->trying_ms, 1000);
    store_endpoint_success(e, 3000);
    assert_true(e->connected);
    store_endpoint_attempt(e, 4000);
    assert_int_equal(e->trying_ms, 4000);
}

static void test_an_outage_lasts_until_the_end_of_its_idle_time(void **state) {
    (void)state;
    char text[STORE_OUTAGE_SIZE];
    struct store_endpoint *e = get("http://a");
    e->failing_ms = e->again_ms = 1000;
    assert_int_equal(store_endpoints_outage_ms(&all, 1000, text), 0); /* no failure that is shown */
    snprintf(e->failure, sizeof e->failure, "503");
    assert_int_equal(store_endpoints_outage_ms(&all, 1000, text), 1); /* it just began */
    assert_int_equal(store_endpoints_outage_ms(&all, 1000 + STORE_ENDPOINT_IDLE_MS, text), STORE_ENDPOINT_IDLE_MS);
    assert_int_equal(store_endpoints_outage_ms(&all, 1001 + STORE_ENDPOINT_IDLE_MS, text), 0);
}

static void test_a_pause_ends_at_its_time(void **state) {
    (void)state;
    struct store_endpoint *e = get("http://a");
    e->throttled_until_ms = 4000;
    assert_true(store_endpoint_is_paused(e, 3999));
    assert_false(store_endpoint_is_paused(e, 4000));
}

UNIT_MAIN(cmocka_unit_test_teardown(test_endpoints_are_separate_and_limited, tear_down),
          cmocka_unit_test_teardown(test_the_longest_pause_counts, tear_down),
          cmocka_unit_test_teardown(test_the_longest_outage_is_reported_until_it_is_idle, tear_down),
          cmocka_unit_test_teardown(test_of_outages_since_the_same_time_the_first_is_reported, tear_down),
          cmocka_unit_test_teardown(test_an_attempt_after_an_idle_time_ends_the_outage, tear_down),
          cmocka_unit_test_teardown(test_the_first_attempt_since_a_success_counts, tear_down),
          cmocka_unit_test_teardown(test_an_outage_lasts_until_the_end_of_its_idle_time, tear_down),
          cmocka_unit_test_teardown(test_a_pause_ends_at_its_time, tear_down))
