/* How many jobs an uploader takes: slots, jobs claimed ahead, results that wait, and the request limits. */
#include "unit.h"
#include "uploader/http/http_internal.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

static uint32_t free_slots(void) {
    return capacity_free_slots(up(), JOB_PUT);
}

static void test_slots_are_those_of_the_settings_within_the_descriptors(void **state) {
    (void)state;
    up()->slots_max = 5;
    assert_int_equal(capacity_slots_first(up()), WORLD_SLOTS);
    capacity_set_given(up(), 4);
    assert_int_equal(up()->limiter.limit, 4);
    capacity_set_given(up(), 9);
    assert_int_equal(up()->limiter.limit, 5);
    capacity_set_given(up(), 0);
    assert_int_equal(up()->limiter.limit, WORLD_SLOTS);
    up()->slots_max = 1;
    assert_int_equal(capacity_slots_first(up()), 1);
}

static void test_idle_connections_need_descriptors(void **state) {
    (void)state;
    up()->slots_max = WORLD_SLOTS + 9;
    assert_int_equal(capacity_idle_connections(up()), WORLD_SLOTS + 8);
    up()->slots_max = WORLD_SLOTS + 8;
    assert_int_equal(capacity_idle_connections(up()), WORLD_SLOTS);
}

static void test_slots_and_jobs_ahead_are_free(void **state) {
    (void)state;
    struct job jobs[3] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2), world_job(JOB_PUT, 3)};
    assert_int_equal(free_slots(), WORLD_SLOTS + 1);
    world_grant(&jobs[0]);
    assert_int_equal(free_slots(), WORLD_SLOTS);
    world_grant(&jobs[1]);
    world_grant(&jobs[2]);
    assert_int_equal(free_slots(), 0);
}

static void test_a_draining_uploader_has_no_free_slot(void **state) {
    (void)state;
    up()->draining = true;
    assert_int_equal(free_slots(), 0);
}

static void test_too_many_results_without_an_answer_stop_the_claims(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_end_done(world_run(&put));
    size_t count = up()->reports.count;
    up()->reports.count = REPORTS_CLAIM_MAX - 1;
    assert_true(free_slots() > 0);
    up()->reports.count = REPORTS_CLAIM_MAX;
    assert_int_equal(free_slots(), 0);
    up()->reports.count = count;
}

/* --- the request limits --- */

static void brake(double rate) {
    struct job put = world_job(JOB_PUT, 1);
    token_bucket_set(&job_endpoint(up(), &put)->starts, rate, 1500, clock_ns());
}

static void test_a_request_limit_lowers_the_free_slots(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    limiter_set_limit(&up()->limiter, 10);
    brake(2000); /* two requests a second: those of a second and one */
    assert_int_equal(free_slots(), 3);
    job_endpoint(up(), &put)->starts.tokens = TOKENS_PER_REQUEST;
    world_run(&put); /* a running transfer has made its request */
    assert_int_equal(free_slots(), 3);
}

static void test_a_high_request_limit_leaves_the_slots(void **state) {
    (void)state;
    brake(1e6);
    assert_int_equal(free_slots(), WORLD_SLOTS + 1);
}

static void test_a_request_far_in_the_future_is_not_claimed_for(void **state) {
    (void)state;
    brake(1); /* one in 1000 s */
    assert_int_equal(free_slots(), 0);
}

static void test_a_directory_has_no_request_limit(void **state) {
    (void)state;
    brake(1);
    assert_int_equal(free_slots(), WORLD_SLOTS + 1);
}

/* --- fewer slots --- */

static void lower_slots(uint32_t slots) {
    const struct msg_beat beat = {.limits = true, .slots = slots};
    fleet_limits_apply(up(), &beat);
    capacity_trim(up());
}

static void test_fewer_slots_give_back_the_newest_waiting_jobs(void **state) {
    (void)state;
    struct job jobs[4] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2), world_job(JOB_PUT, 3), world_job(JOB_PUT, 4)};
    up()->last_kind = JOB_PUT;
    for (int i = 0; i < 4; i++)
        world_grant(&jobs[i]);
    lower_slots(1); /* one slot and one job ahead */
    assert_int_equal(tasks_count(&up()->tasks), 2);
    assert_non_null(world_find(&jobs[0]));
    assert_non_null(world_find(&jobs[1]));
    assert_int_equal(up()->releases.count, 2);
    assert_int_equal(world_released()->why, WHY_FULL_SLOTS);
    assert_false(up()->over_capacity);
}

static void test_jobs_within_the_capacity_stay(void **state) {
    (void)state;
    struct job jobs[2] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2)};
    up()->last_kind = JOB_PUT;
    world_grant(&jobs[0]);
    world_grant(&jobs[1]);
    lower_slots(1);
    assert_int_equal(tasks_count(&up()->tasks), 2);
}

static void test_running_transfers_go_on_with_fewer_slots(void **state) {
    (void)state;
    struct job jobs[4] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2), world_job(JOB_PUT, 3), world_job(JOB_PUT, 4)};
    up()->last_kind = JOB_PUT;
    limiter_set_limit(&up()->limiter, 4);
    for (int i = 0; i < 4; i++)
        world_run(&jobs[i]);
    lower_slots(1);
    assert_int_equal(tasks_count(&up()->tasks), 4);
    assert_int_equal(uploader_world.cancelled, 0);
}

static void test_later_grants_are_trimmed_as_well(void **state) {
    (void)state;
    struct job jobs[4] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2), world_job(JOB_PUT, 3), world_job(JOB_PUT, 4)};
    limiter_set_limit(&up()->limiter, 4);
    world_offer(jobs, 4, NULL);
    world_flush();
    lower_slots(1);
    assert_int_equal(tasks_count(&up()->tasks), 4); /* their claims are on the way */
    assert_true(up()->over_capacity);
    while (!list_is_empty(&up()->tasks.lists[TASK_ASKED]))
        transfers_grant(up(), list_entry(up()->tasks.lists[TASK_ASKED].next, struct task_entry, node), up()->now_ms,
                        WORLD_LEASE_MS, 0);
    capacity_trim(up());
    assert_int_equal(tasks_count(&up()->tasks), 2);
    assert_false(up()->over_capacity);
}

static void test_more_slots_give_nothing_back(void **state) {
    (void)state;
    struct job jobs[4] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2), world_job(JOB_PUT, 3), world_job(JOB_PUT, 4)};
    for (int i = 0; i < 4; i++)
        world_grant(&jobs[i]);
    up()->over_capacity = false;
    lower_slots(3);
    assert_int_equal(up()->releases.count, 0);
}

/* --- slots by the time of a reply --- */

#define NEVER UINT64_MAX

static uint64_t waiting_us; /* of the oldest request */

uint64_t __wrap_http_waiting_us(const struct http *h);
uint64_t __wrap_http_waiting_us(const struct http *h) {
    (void)h;
    return waiting_us;
}

/* --slots auto, in the next millisecond, with a store that takes so long. */
static uint64_t follow(uint64_t reply_us) {
    uint64_t wake_ms = NEVER;
    uploader_world.settings.slots = 0;
    up()->auto_slots.window = AUTO_SLOTS_MAX; /* as after many replies */
    up()->http->reply_us[0] = reply_us;
    up()->now_ms++;
    capacity_follow(up(), &wake_ms);
    return wake_ms;
}

static void test_auto_starts_with_the_least_number(void **state) {
    (void)state;
    uploader_world.settings.slots = 0;
    assert_int_equal(capacity_slots_first(up()), AUTO_SLOTS_FEW);
    up()->slots_max = 3;
    assert_int_equal(capacity_slots_first(up()), 3);
}

static void test_small_files_get_more_slots(void **state) {
    (void)state;
    auto_slots_start(&up()->auto_slots, 4096);
    assert_int_equal(follow(200), NEVER);
    assert_int_equal(up()->limiter.limit, AUTO_SLOTS_FEW_SMALL);
    assert_int_equal(up()->slots_why, SLOTS_NEAR);
    assert_true(up()->heartbeat_wanted);
}

static void test_slots_grow_in_steps(void **state) {
    (void)state;
    follow(200); /* the first raise */
    uint32_t before = up()->limiter.limit;
    up()->now_ms += 4;
    follow(1000000); /* 5 ms later */
    assert_int_equal(up()->limiter.limit, before + 64);
    follow(1000000);
    assert_int_equal(up()->limiter.limit, before + 64);
    up()->now_ms += 2;
    follow(1000000);
    assert_int_equal(up()->limiter.limit, before + 64);
    follow(1000000);
    assert_int_equal(up()->limiter.limit, before + 128);
}

static void test_the_number_is_computed_once_a_millisecond(void **state) {
    (void)state;
    uint64_t wake_ms = NEVER;
    follow(200);
    uint32_t before = up()->limiter.limit;
    up()->slots_grown_ms = 0;
    up()->http->reply_us[0] = 1000000;
    capacity_follow(up(), &wake_ms);
    assert_int_equal(up()->limiter.limit, before);
}

static void test_a_slightly_smaller_number_is_left_alone(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_run(&put);
    double work_us = auto_slots_work_us(&up()->auto_slots);
    follow((uint64_t)(work_us * 39)); /* 60 slots */
    assert_in_range(up()->limiter.limit, 58, 61);
    uint32_t before = up()->limiter.limit;
    follow((uint64_t)(work_us * 29)); /* 45 */
    assert_int_equal(up()->limiter.limit, before);
    follow((uint64_t)(work_us * 19)); /* 30 */
    assert_in_range(up()->limiter.limit, 28, 31);
    assert_true(up()->over_capacity);
}

static void test_a_slightly_larger_number_is_left_alone(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_run(&put);
    double work_us = auto_slots_work_us(&up()->auto_slots);
    follow((uint64_t)(work_us * 39));
    uint32_t before = up()->limiter.limit;
    up()->slots_grown_ms = 0;
    follow((uint64_t)(work_us * 41));
    assert_int_equal(up()->limiter.limit, before);
    follow((uint64_t)(work_us * 49)); /* 75 */
    assert_in_range(up()->limiter.limit, 73, 76);
}

static void test_seven_tenths_are_left_alone(void **state) {
    (void)state;
    limiter_set_limit(&up()->limiter, 20);
    up()->auto_slots.work_us = 100;
    follow(866); /* 14 slots */
    assert_int_equal(up()->limiter.limit, 20);
    follow(800);
    assert_int_equal(up()->limiter.limit, 13);
}

static void test_without_a_reply_the_oldest_request_counts(void **state) {
    (void)state;
    waiting_us = 0;
    assert_int_equal(follow(0), NEVER); /* no request waits */
    auto_slots_start(&up()->auto_slots, 4096);
    waiting_us = 3000;
    up()->slots_grown_ms = 0;
    uint64_t wake_ms = follow(0);
    assert_int_equal(wake_ms, up()->now_ms + 2);
    assert_int_equal(up()->limiter.limit, AUTO_SLOTS_FEW_SMALL);
    up()->slots_grown_ms = 0;
    waiting_us = 5000; /* 2 ms more than this host may take by itself */
    follow(0);
    assert_in_range(up()->limiter.limit, 45, 52);
    waiting_us = 80000;
    wake_ms = follow(0);
    assert_int_equal(wake_ms, up()->slots_grown_ms + 5); /* for the next step */
    up()->slots_grown_ms = 0;
    limiter_set_limit(&up()->limiter, 256);
    wake_ms = follow(0);
    assert_int_equal(wake_ms, up()->now_ms + 10); /* less often, the longer it lasts */
    assert_int_equal(follow(300), NEVER);
    waiting_us = 0;
}

static void test_a_rest_does_not_count_as_work(void **state) {
    (void)state;
    up()->auto_slots.cpu_ns = up()->auto_slots.jobs = 7;
    follow(300);
    assert_int_equal(up()->auto_slots.cpu_ns + up()->auto_slots.jobs, 0);
    struct job put = world_job(JOB_PUT, 1);
    world_run(&put);
    up()->auto_slots.cpu_ns = up()->auto_slots.jobs = 7;
    follow(300);
    assert_int_equal(up()->auto_slots.cpu_ns + up()->auto_slots.jobs, 14);
}

static void test_a_number_that_is_set_overrides_auto(void **state) {
    (void)state;
    follow(1000000);
    capacity_set_given(up(), 3);
    assert_int_equal(up()->limiter.limit, 3);
    assert_int_equal(up()->slots_why, SLOTS_GIVEN);
    up()->slots_grown_ms = 0;
    follow(1000000);
    assert_int_equal(up()->limiter.limit, 3);
    capacity_set_given(up(), 0);
    assert_int_equal(up()->limiter.limit, 3);
    follow(1000000);
    assert_int_equal(up()->limiter.limit, 3 + 64);
}

static bool lowers_slots(struct task_result r) {
    struct job put = world_job(JOB_PUT, 1);
    r.outcome = OUTCOME_FAILED;
    r.transient = true;
    world_end(world_run(&put), &r);
    return up()->auto_slots.trouble_ms != 0;
}

static void test_a_broken_connection_lowers_the_slots(void **state) {
    (void)state;
    assert_true(lowers_slots((struct task_result){.broken = true}));
}

static void test_a_refusal_lowers_the_slots(void **state) {
    (void)state;
    assert_true(lowers_slots((struct task_result){.throttled = true}));
}

static void test_other_failures_do_not_lower_the_slots(void **state) {
    (void)state;
    assert_false(lowers_slots((struct task_result){.never_connected = true}));
    struct job put = world_job(JOB_PUT, 2);
    world_end_done(world_run(&put));
    assert_int_equal(up()->auto_slots.trouble_ms, 0);
}

static void test_a_timeout_does_not_lower_the_slots(void **state) {
    (void)state;
    assert_false(lowers_slots((struct task_result){.timed_out = true}));
}

static void test_a_lost_producer_does_not_lower_the_slots(void **state) {
    (void)state;
    assert_false(lowers_slots((struct task_result){.source_lost = true}));
}

static void test_expired_credentials_do_not_lower_the_slots(void **state) {
    (void)state;
    assert_false(lowers_slots((struct task_result){.credentials_expired = true}));
}

static void test_slow_grants_are_claimed_further_ahead(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = tasks_add(&up()->tasks, &put, false);
    transfers_grant(up(), e, up()->now_ms - 80, WORLD_LEASE_MS, 0);
    assert_true(up()->pace.grant_ms == 10); /* an eighth of it */
}

UNIT_MAIN(WORLD_TEST(test_slow_grants_are_claimed_further_ahead),
          WORLD_TEST(test_slots_are_those_of_the_settings_within_the_descriptors),
          WORLD_TEST(test_idle_connections_need_descriptors), WORLD_TEST(test_slots_and_jobs_ahead_are_free),
          WORLD_TEST(test_a_draining_uploader_has_no_free_slot),
          WORLD_TEST(test_too_many_results_without_an_answer_stop_the_claims),
          WORLD_S3_TEST(test_a_request_limit_lowers_the_free_slots),
          WORLD_S3_TEST(test_a_high_request_limit_leaves_the_slots),
          WORLD_S3_TEST(test_a_request_far_in_the_future_is_not_claimed_for),
          WORLD_TEST(test_a_directory_has_no_request_limit),
          WORLD_TEST(test_fewer_slots_give_back_the_newest_waiting_jobs),
          WORLD_TEST(test_jobs_within_the_capacity_stay), WORLD_TEST(test_running_transfers_go_on_with_fewer_slots),
          WORLD_TEST(test_later_grants_are_trimmed_as_well), WORLD_TEST(test_more_slots_give_nothing_back),
          WORLD_TEST(test_auto_starts_with_the_least_number), WORLD_S3_TEST(test_small_files_get_more_slots),
          WORLD_S3_TEST(test_slots_grow_in_steps), WORLD_S3_TEST(test_the_number_is_computed_once_a_millisecond),
          WORLD_S3_TEST(test_a_slightly_smaller_number_is_left_alone),
          WORLD_S3_TEST(test_a_slightly_larger_number_is_left_alone), WORLD_S3_TEST(test_seven_tenths_are_left_alone),
          WORLD_S3_TEST(test_without_a_reply_the_oldest_request_counts),
          WORLD_S3_TEST(test_a_rest_does_not_count_as_work), WORLD_S3_TEST(test_a_number_that_is_set_overrides_auto),
          WORLD_S3_TEST(test_a_broken_connection_lowers_the_slots), WORLD_S3_TEST(test_a_refusal_lowers_the_slots),
          WORLD_S3_TEST(test_other_failures_do_not_lower_the_slots),
          WORLD_S3_TEST(test_a_timeout_does_not_lower_the_slots),
          WORLD_S3_TEST(test_a_lost_producer_does_not_lower_the_slots),
          WORLD_S3_TEST(test_expired_credentials_do_not_lower_the_slots))
