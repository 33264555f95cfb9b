/* The consumer's limits for an uploader, and the numbers that HEARTBEAT carries for them (rule 14). */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

static void apply(const struct msg_beat *beat) {
    struct msg_beat b = *beat;
    b.limits = true;
    fleet_limits_apply(up(), &b);
}

static struct store_endpoint *store(void) {
    struct job put = world_job(JOB_PUT, 1);
    struct store_endpoint *e = job_endpoint(up(), &put);
    assert_non_null(e);
    return e;
}

static void apply_brake(uint64_t rate_milli, uint32_t pause_ms) {
    struct brake brake = {.endpoint = slice_of(WORLD_STORE), .rate_milli = rate_milli, .pause_ms = pause_ms};
    apply(&(struct msg_beat){.brakes = &brake, .brake_count = 1});
}

/* --- bytes --- */

static void test_the_smaller_byte_limit_is_in_force(void **state) {
    (void)state;
    assert_int_equal(up()->bucket.rate, 0);
    apply(&(struct msg_beat){.bwlimit = 5000});
    assert_int_equal(up()->bucket.rate, 5000);
    uploader_world.settings.bwlimit = 3000;
    apply(&(struct msg_beat){.bwlimit = 4000});
    assert_int_equal(up()->bucket.rate, 3000);
    apply(&(struct msg_beat){.bwlimit = 2000});
    assert_int_equal(up()->bucket.rate, 2000);
    apply(&(struct msg_beat){.bwlimit = 0});
    assert_int_equal(up()->bucket.rate, 3000); /* its own limit stays */
}

static void test_a_beat_without_limits_changes_nothing(void **state) {
    (void)state;
    apply(&(struct msg_beat){.slots = 5, .bwlimit = 5000});
    fleet_limits_apply(up(), &(struct msg_beat){.slots = 9, .bwlimit = 9});
    assert_int_equal(up()->bucket.rate, 5000);
    assert_int_equal(up()->limiter.limit, 5);
}

/* --- slots --- */

static void test_new_slots_are_reported_at_once(void **state) {
    (void)state;
    up()->heartbeat_wanted = false;
    up()->tick_ms = up()->now_ms + 500;
    apply(&(struct msg_beat){.slots = WORLD_SLOTS});
    assert_false(up()->heartbeat_wanted);
    apply(&(struct msg_beat){.slots = WORLD_SLOTS + 3});
    assert_true(up()->heartbeat_wanted);
    assert_int_equal(up()->tick_ms, up()->now_ms); /* jobs can start now */
    assert_false(up()->over_capacity);
    apply(&(struct msg_beat){.slots = WORLD_SLOTS});
    assert_true(up()->over_capacity);
}

/* --- requests --- */

static void test_a_brake_limits_the_requests_to_its_store(void **state) {
    (void)state;
    apply_brake(1000, 0); /* one a second, and none at the beginning */
    uint64_t again_ms = fleet_limits_start_ms(up(), store());
    assert_in_range(again_ms, up()->now_ms + 900, up()->now_ms + 1001);
    assert_true(fleet_limits_is_braking(up(), store()));
    struct slice other = slice_of("http://other");
    assert_false(fleet_limits_is_braking(up(), store_endpoints_get(&up()->endpoints, other)));
}

static void test_a_brake_lets_one_request_through_at_a_time(void **state) {
    (void)state;
    apply_brake(1000, 0);
    store()->starts.tokens = TOKENS_PER_REQUEST;
    assert_int_equal(fleet_limits_start_ms(up(), store()), 0);
    assert_true(fleet_limits_start_ms(up(), store()) > up()->now_ms);
}

/* The bucket of the store's requests has so many tokens, also a while later. */
static void fill(double tokens) {
    store()->starts.tokens = tokens;
    store()->starts.at_ns = clock_ns() + (uint64_t)1000 * 1000 * 1000 * 1000;
}

static void test_a_request_that_is_due_at_once_is_asked_for_in_the_next_millisecond(void **state) {
    (void)state;
    apply_brake(1000 * 1000, 0);
    fill(TOKENS_PER_REQUEST - 1); /* a microsecond early */
    assert_int_equal(fleet_limits_start_ms(up(), store()), up()->now_ms + 1);
}

static void test_jobs_are_claimed_for_a_request_within_a_quarter_of_the_lease(void **state) {
    (void)state;
    apply_brake(1000, 0);
    fill(TOKENS_PER_REQUEST - 1000.0 * WORLD_LEASE_MS / 4 / 1000);
    assert_int_equal(fleet_limits_request_room(up()), 2);
    fill(TOKENS_PER_REQUEST - 1000.0 * WORLD_LEASE_MS / 4 / 1000 - 1);
    assert_int_equal(fleet_limits_request_room(up()), 0);
}

static void test_a_request_within_half_a_lease_keeps_its_job(void **state) {
    (void)state;
    struct job near = world_job(JOB_PUT, 1), far = world_job(JOB_PUT, 2);
    apply_brake(1000, 0);
    fill(TOKENS_PER_REQUEST - 1000.0 * (WORLD_LEASE_MS / 2.0 - 1) / 1000);
    struct task_entry *e = world_grant(&near);
    transfers_start(up());
    assert_int_equal(e->state, TASK_BACKOFF);
    fill(TOKENS_PER_REQUEST - 1000.0 * (WORLD_LEASE_MS / 2.0) / 1000);
    world_grant(&far);
    transfers_start(up());
    assert_null(world_find(&far));
    assert_int_equal(world_released()->why, WHY_BACKOFF);
}

static void test_jobs_of_more_stores_than_are_counted_start(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    char name[32];
    for (int i = 0; i < STORE_ENDPOINTS_MAX; i++) {
        snprintf(name, sizeof name, "http://s%d", i);
        assert_non_null(store_endpoints_get(&up()->endpoints, slice_of(name)));
    }
    assert_null(job_endpoint(up(), &put));
    world_end_done(world_run(&put));
    assert_int_equal(world_reported().outcome, OUTCOME_DONE);
}

static void test_a_slow_brake_still_lets_single_requests_through(void **state) {
    (void)state;
    apply_brake(1000, 0);
    assert_int_equal(store()->starts.depth, TOKENS_PER_REQUEST * 3 / 2); /* more than a tenth of a second */
    apply_brake(20000, 0);
    assert_int_equal(store()->starts.depth, 2000);
}

static void test_a_brake_with_rate_zero_stays_a_brake(void **state) {
    (void)state;
    apply_brake(0, 0);
    assert_true(store()->starts.rate > 0);
    assert_true(fleet_limits_start_ms(up(), store()) > up()->now_ms + 100000);
}

static void test_a_brake_can_pause_the_store(void **state) {
    (void)state;
    apply_brake(1000, 700);
    assert_int_equal(store_endpoint_paused_until_ms(store(), up()->now_ms), up()->now_ms + 700);
    apply_brake(1000, 0);
    assert_false(store_endpoint_is_paused(store(), up()->now_ms));
}

static void test_a_brake_that_the_consumer_no_longer_names_ends(void **state) {
    (void)state;
    struct brake brakes[2] = {{.endpoint = slice_of("http://a"), .rate_milli = 1000, .pause_ms = 700},
                              {.endpoint = slice_of("http://b"), .rate_milli = 1000, .pause_ms = 700}};
    apply(&(struct msg_beat){.brakes = brakes, .brake_count = 2});
    up()->tick_ms = up()->now_ms + 500;
    apply(&(struct msg_beat){.brakes = brakes, .brake_count = 2});
    assert_int_equal(up()->tick_ms, up()->now_ms + 500); /* nothing ended */
    apply(&(struct msg_beat){.brakes = &brakes[1], .brake_count = 1});
    struct store_endpoint *a = store_endpoints_get(&up()->endpoints, slice_of("http://a"));
    assert_false(fleet_limits_is_braking(up(), a));
    assert_false(store_endpoint_is_paused(a, up()->now_ms));
    assert_int_equal(up()->tick_ms, up()->now_ms); /* jobs that waited for it may start */
    struct store_endpoint *b = store_endpoints_get(&up()->endpoints, slice_of("http://b"));
    assert_true(fleet_limits_is_braking(up(), b));
    assert_true(store_endpoint_is_paused(b, up()->now_ms));
}

static void test_a_throttled_pause_of_an_unlimited_store_is_kept(void **state) {
    (void)state;
    store()->throttled_until_ms = up()->now_ms + 700;
    apply(&(struct msg_beat){.slots = 0});
    assert_true(store_endpoint_is_paused(store(), up()->now_ms));
}

static void test_the_slowest_store_decides_about_claims(void **state) {
    (void)state;
    struct brake brakes[3] = {{.endpoint = slice_of("http://a"), .rate_milli = 8000},
                              {.endpoint = slice_of("http://b"), .rate_milli = 3000},
                              {.endpoint = slice_of("http://c"), .rate_milli = 5000}};
    assert_int_equal(fleet_limits_request_room(up()), UINT32_MAX);
    apply(&(struct msg_beat){.brakes = brakes, .brake_count = 3});
    assert_int_equal(fleet_limits_request_room(up()), 4); /* three in a second, and one */
}

/* --- reports --- */

static void end_attempt(const struct task_result *r) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_find(&put) ? world_find(&put) : tasks_add(&up()->tasks, &put, false);
    assert_non_null(e);
    e->task.result = *r;
    fleet_limits_count_attempt(up(), e);
}

static void test_requests_that_reached_the_store_are_counted(void **state) {
    (void)state;
    up()->heartbeat_wanted = false;
    end_attempt(&(struct task_result){.outcome = OUTCOME_DONE});
    assert_int_equal(store()->served, 1);
    end_attempt(&(struct task_result){.outcome = OUTCOME_FAILED, .never_connected = true});
    end_attempt(&(struct task_result){.outcome = OUTCOME_FAILED, .timed_out = true});
    assert_int_equal(store()->served, 1);
    assert_false(up()->heartbeat_wanted);
    end_attempt(&(struct task_result){.outcome = OUTCOME_FAILED, .throttled = true});
    assert_int_equal(store()->served, 1);
    assert_int_equal(store()->throttles, 1);
    assert_true(up()->heartbeat_wanted); /* the consumer divides the requests again */
}

static size_t report(struct endpoint_use uses[PROTO_ENDPOINTS_MAX]) {
    return fleet_limits_report(up(), uses);
}

static void test_the_use_of_each_store_is_reported(void **state) {
    (void)state;
    struct endpoint_use uses[PROTO_ENDPOINTS_MAX];
    assert_int_equal(report(uses), 0);
    store();
    assert_int_equal(report(uses), 0); /* no request yet */
    end_attempt(&(struct task_result){.outcome = OUTCOME_DONE});
    store_endpoints_get(&up()->endpoints, slice_of(""))->served = 5; /* directories have no limits */
    store()->store_pause_until_ms = up()->now_ms + 300;
    assert_int_equal(report(uses), 1);
    assert_true(slice_equal(uses[0].endpoint, slice_of(WORLD_STORE)));
    assert_int_equal(uses[0].served, 1);
    assert_int_equal(uses[0].throttles, 0);
    assert_int_equal(uses[0].pause_ms, 300);
    assert_false(uses[0].throttled);
    up()->now_ms += 301;
    report(uses);
    assert_int_equal(uses[0].pause_ms, 0);
}

static void test_a_store_that_only_throttled_is_reported(void **state) {
    (void)state;
    struct endpoint_use uses[PROTO_ENDPOINTS_MAX];
    end_attempt(&(struct task_result){.outcome = OUTCOME_FAILED, .throttled = true});
    assert_int_equal(report(uses), 1);
    assert_int_equal(uses[0].throttles, 1);
}

static void test_a_request_that_waited_is_reported_once(void **state) {
    (void)state;
    struct endpoint_use uses[PROTO_ENDPOINTS_MAX];
    apply_brake(1000, 0);
    (void)fleet_limits_start_ms(up(), store());
    assert_int_equal(report(uses), 1);
    assert_true(uses[0].throttled);
    fleet_limits_reported(up());
    assert_int_equal(report(uses), 0);
}

static void test_waiting_bytes_ask_for_one_heartbeat(void **state) {
    (void)state;
    up()->heartbeat_wanted = false;
    fleet_limits_watch(up());
    assert_false(up()->heartbeat_wanted);
    token_bucket_wait(&up()->bucket);
    fleet_limits_watch(up());
    assert_true(up()->heartbeat_wanted);
    up()->heartbeat_wanted = false;
    fleet_limits_watch(up());
    assert_false(up()->heartbeat_wanted);
    world_flush();
    assert_true(world_sent(MSG_HEARTBEAT, 0)->heartbeat.throttled);
    assert_false(up()->bucket.refused);
    token_bucket_wait(&up()->bucket); /* the last HEARTBEAT said so */
    fleet_limits_watch(up());
    assert_false(up()->heartbeat_wanted);
    world_flush();
    world_flush();
    assert_false(world_sent(MSG_HEARTBEAT, 0)->heartbeat.throttled);
    token_bucket_wait(&up()->bucket);
    fleet_limits_watch(up());
    assert_true(up()->heartbeat_wanted);
}

UNIT_MAIN(WORLD_TEST(test_the_smaller_byte_limit_is_in_force), WORLD_TEST(test_a_beat_without_limits_changes_nothing),
          WORLD_TEST(test_new_slots_are_reported_at_once), WORLD_S3_TEST(test_a_brake_limits_the_requests_to_its_store),
          WORLD_S3_TEST(test_a_brake_lets_one_request_through_at_a_time),
          WORLD_S3_TEST(test_a_request_that_is_due_at_once_is_asked_for_in_the_next_millisecond),
          WORLD_S3_TEST(test_jobs_are_claimed_for_a_request_within_a_quarter_of_the_lease),
          WORLD_S3_TEST(test_a_request_within_half_a_lease_keeps_its_job),
          WORLD_S3_TEST(test_jobs_of_more_stores_than_are_counted_start),
          WORLD_S3_TEST(test_a_slow_brake_still_lets_single_requests_through),
          WORLD_S3_TEST(test_a_brake_with_rate_zero_stays_a_brake), WORLD_S3_TEST(test_a_brake_can_pause_the_store),
          WORLD_S3_TEST(test_a_brake_that_the_consumer_no_longer_names_ends),
          WORLD_S3_TEST(test_a_throttled_pause_of_an_unlimited_store_is_kept),
          WORLD_S3_TEST(test_the_slowest_store_decides_about_claims),
          WORLD_S3_TEST(test_requests_that_reached_the_store_are_counted),
          WORLD_S3_TEST(test_the_use_of_each_store_is_reported),
          WORLD_S3_TEST(test_a_store_that_only_throttled_is_reported),
          WORLD_S3_TEST(test_a_request_that_waited_is_reported_once),
          WORLD_S3_TEST(test_waiting_bytes_ask_for_one_heartbeat))
