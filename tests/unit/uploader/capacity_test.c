/* How many jobs an uploader takes: slots, jobs claimed ahead, results that wait, and the request limits. */
#include "unit.h"
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
    assert_int_equal(capacity_slots(up(), 0), WORLD_SLOTS);
    assert_int_equal(capacity_slots(up(), 4), 4);
    assert_int_equal(capacity_slots(up(), 9), 5);
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

UNIT_MAIN(WORLD_TEST(test_slots_are_those_of_the_settings_within_the_descriptors),
          WORLD_TEST(test_idle_connections_need_descriptors), WORLD_TEST(test_slots_and_jobs_ahead_are_free),
          WORLD_TEST(test_a_draining_uploader_has_no_free_slot),
          WORLD_TEST(test_too_many_results_without_an_answer_stop_the_claims),
          WORLD_S3_TEST(test_a_request_limit_lowers_the_free_slots),
          WORLD_S3_TEST(test_a_high_request_limit_leaves_the_slots),
          WORLD_S3_TEST(test_a_request_far_in_the_future_is_not_claimed_for),
          WORLD_TEST(test_a_directory_has_no_request_limit),
          WORLD_TEST(test_fewer_slots_give_back_the_newest_waiting_jobs),
          WORLD_TEST(test_jobs_within_the_capacity_stay), WORLD_TEST(test_running_transfers_go_on_with_fewer_slots),
          WORLD_TEST(test_later_grants_are_trimmed_as_well), WORLD_TEST(test_more_slots_give_nothing_back))
