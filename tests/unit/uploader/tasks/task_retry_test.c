/* A failed attempt: the next one here, a release for another uploader, or the end of the job. */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

static struct job job(void) {
    return world_job(JOB_PUT, 1);
}

static struct task_entry *run(void) {
    struct job put = job();
    return world_run(&put);
}

static struct store_endpoint *store(void) {
    struct job put = job();
    return job_endpoint(up(), &put);
}

static const struct task_result transient = {.outcome = OUTCOME_FAILED, .transient = true, .error = "500 Oops"};

/* --- another attempt --- */

static void test_a_failed_attempt_waits_with_its_slot(void **state) {
    (void)state;
    struct task_entry *e = run();
    up()->tick_ms = UINT64_MAX;
    world_end(e, &transient);
    assert_int_equal(e->state, TASK_BACKOFF);
    assert_int_equal(up()->limiter.active, 1);
    assert_in_range(e->again_ms, up()->now_ms, up()->now_ms + 1000);
    assert_int_equal(up()->retries, 1);
    assert_null(e->task.source); /* it is checked again before the next attempt */
    assert_int_equal(up()->tick_ms, up()->now_ms);
    assert_string_equal(store()->failure, "500 Oops");
}

static void test_a_long_wait_gives_the_job_back(void **state) {
    (void)state;
    struct task_result r = transient;
    r.retry_after_ms = 20000;
    r.throttled = true;
    world_end(run(), &r);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(world_released()->why, WHY_BACKOFF);
    assert_int_equal(world_released()->after_ms, 20000);
    assert_int_equal(up()->retries, 1);
}

static void test_new_credentials_make_three_retries_free(void **state) {
    (void)state;
    struct task_result r = transient;
    r.credentials_expired = true;
    struct task_entry *e = run();
    for (int i = 0; i < 3; i++) {
        world_end(e, &r);
        assert_int_equal(e->again_ms, up()->now_ms);
        assert_int_equal(up()->budget.tokens, RETRY_TOKENS);
        transfers_tick(up());
    }
    world_end(e, &r);
    assert_true(up()->budget.tokens < RETRY_TOKENS);
}

static void test_the_drain_gives_a_failed_attempt_back(void **state) {
    (void)state;
    struct task_entry *e = run();
    up()->draining = true;
    world_end(e, &transient);
    assert_int_equal(world_released()->why, WHY_DRAIN);
    assert_int_equal(up()->retries, 0);
}

static void test_an_endpoint_without_room_in_the_table_gives_the_job_back(void **state) {
    (void)state;
    struct task_entry *e = run();
    char name[32];
    store_endpoints_release(&up()->endpoints);
    for (int i = 0; i < STORE_ENDPOINTS_MAX; i++) {
        snprintf(name, sizeof name, "http://%d", i);
        assert_non_null(store_endpoints_get(&up()->endpoints, slice_of(name)));
    }
    world_end(e, &transient);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
    assert_true(slice_equal(world_released()->detail, slice_of("500 Oops")));
}

static void test_a_failed_own_abort_is_forgotten(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct report r = {.result = {.ref = begin.ref, .target = begin.target, .handle = slice_of("lost")}};
    transfers_abort_own(up(), &r);
    transfers_start(up());
    world_end(list_entry(up()->tasks.lists[TASK_RUNNING].next, struct task_entry, node), &transient);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(up()->releases.count, 0);
}

/* --- the end --- */

static const char *error_of_report(void) {
    static char text[600];
    struct result r = world_reported();
    snprintf(text, sizeof text, "%.*s", (int)r.error.len, r.error.ptr);
    return text;
}

static void outage(uint64_t retry_for_ms) {
    struct task_entry *e = run();
    uploader_world.settings.retry_for_ms = retry_for_ms;
    store()->connected = true;
    store()->failing_ms = up()->now_ms - retry_for_ms;
    world_end(e, &transient);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(world_reported().outcome, OUTCOME_FAILED);
    assert_int_equal(world_reported().class, FAIL_OUTAGE);
    assert_int_equal(world_reported().own, OWN_NO);
}

static void test_an_outage_ends_the_job_after_retry_for(void **state) {
    (void)state;
    outage(600000);
    assert_string_equal(error_of_report(), "no success for 10 min: 500 Oops");
}

static void test_an_outage_of_one_minute(void **state) {
    (void)state;
    outage(60000);
    assert_string_equal(error_of_report(), "no success for 1 min: 500 Oops");
}

static void test_an_outage_of_seconds(void **state) {
    (void)state;
    outage(90000);
    assert_string_equal(error_of_report(), "no success for 90 s: 500 Oops");
}

static void test_an_outage_of_less_than_a_minute(void **state) {
    (void)state;
    outage(0);
    assert_string_equal(error_of_report(), "no success for 0 s: 500 Oops");
}

/* Beside jobs that succeed at the same endpoint. */
static void test_a_job_that_always_fails_ends_after_retry_for(void **state) {
    (void)state;
    uint64_t tries = 0;
    for (; up()->reports.count == 0; tries++) {
        struct job put = job();
        struct task_entry *e = world_find(&put) ? world_find(&put) : world_run(&put);
        e->lease.deadline_ms = up()->now_ms + WORLD_LEASE_MS;
        world_end(e, &transient);
        store_endpoint_success(store(), up()->now_ms);
        store()->retry_until_ms = 0;
        up()->now_ms += 120000;
        e = world_find(&put);
        if (e)
            e->lease.deadline_ms = up()->now_ms + WORLD_LEASE_MS;
        transfers_tick(up());
        assert_true(tries < 20);
    }
    assert_int_equal(tries, 6); /* from the first failure on: 10 min */
    assert_int_equal(world_reported().class, FAIL_OUTAGE);
}

static void test_throttled_requests_do_not_end_a_job(void **state) {
    (void)state;
    struct job put = job();
    struct task_result r = transient;
    r.throttled = true;
    for (int i = 0; i < 12; i++) {
        struct task_entry *e = world_find(&put) ? world_find(&put) : world_run(&put);
        world_end(e, &r);
        store_endpoint_success(store(), up()->now_ms);
        store()->retry_until_ms = store()->throttled_until_ms = 0;
        up()->now_ms += 120000;
        e = world_find(&put);
        if (e)
            e->lease.deadline_ms = up()->now_ms + WORLD_LEASE_MS;
        transfers_tick(up());
    }
    assert_int_equal(up()->reports.count, 0);
}

static void test_an_endpoint_that_was_never_reached_ends_the_job(void **state) {
    (void)state;
    struct task_entry *e = run();
    struct task_result r = transient;
    r.never_connected = true;
    store()->trying_ms = up()->now_ms - RETRY_UNREACHED_MS;
    world_end(e, &r);
    assert_int_equal(world_reported().class, FAIL_UNREACHABLE);
    assert_int_equal(world_reported().own, OWN_MAYBE);
    assert_string_equal(error_of_report(), "cannot connect to " WORLD_STORE ": 500 Oops");
}

/* --- troubles of this host --- */

static void test_an_unreached_endpoint_is_left_to_another_uploader(void **state) {
    (void)state;
    struct slice location = slice_of(WORLD_STORE);
    struct task_result r = transient;
    r.never_connected = true;
    struct task_entry *e = run();
    world_end(e, &r);
    assert_int_equal(up()->troubles.count, 1);
    assert_int_equal(e->state, TASK_BACKOFF); /* no other uploader serves it */
    (void)troubles_relieve(&up()->troubles, &location, 1);
    up()->now_ms = e->again_ms;
    transfers_tick(up());
    assert_int_equal(world_released()->why, WHY_NOT_HERE);
    assert_int_equal(world_released()->own, OWN_MAYBE);
}

static void test_the_first_unreached_attempt_leaves_at_once_when_another_uploader_exists(void **state) {
    (void)state;
    struct slice location = slice_of(WORLD_STORE);
    struct task_result r = transient;
    r.never_connected = true;
    struct task_entry *e = run();
    troubles_note_declined(&up()->troubles, location, "not under a --root", up()->now_ms);
    (void)troubles_relieve(&up()->troubles, &location, 1);
    world_end(e, &r);
    assert_int_equal(world_released()->why, WHY_NOT_HERE);
    assert_int_equal(up()->retries, 0);
}

static void fail_with_own(enum own_failure own) {
    const struct task_result r = {.outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403", .own = own};
    world_end(run(), &r);
}

static void test_a_sure_failure_takes_the_host_out(void **state) {
    (void)state;
    up()->heartbeat_wanted = false;
    fail_with_own(OWN_SURE);
    assert_non_null(troubles_block(&up()->troubles, slice_of(WORLD_STORE), up()->now_ms));
    assert_int_equal(world_reported().own, OWN_SURE);
    assert_true(up()->heartbeat_wanted);
}

static void test_a_recent_success_shows_that_the_host_is_right(void **state) {
    (void)state;
    store()->success_ms = up()->now_ms - 59999;
    fail_with_own(OWN_SURE);
    assert_null(troubles_block(&up()->troubles, slice_of(WORLD_STORE), up()->now_ms));
    assert_int_equal(world_reported().own, OWN_MAYBE);
}

static void test_an_old_success_shows_nothing(void **state) {
    (void)state;
    store()->success_ms = up()->now_ms - 60000;
    fail_with_own(OWN_SURE);
    assert_int_equal(world_reported().own, OWN_SURE);
}

static void test_a_doubtful_failure_stays_doubtful(void **state) {
    (void)state;
    fail_with_own(OWN_MAYBE);
    assert_int_equal(world_reported().own, OWN_MAYBE);
}

/* --- no byte moved for a lease time --- */

static void stall(struct task_entry *e) {
    task_retry_stalled(up(), &e);
    assert_null(e);
}

static void test_a_stalled_transfer_is_given_back(void **state) {
    (void)state;
    uint32_t tokens = up()->budget.tokens;
    stall(run());
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
    assert_int_equal(uploader_world.cancelled, 1);
    assert_int_equal(up()->retries, 1);
    assert_int_equal(tokens - up()->budget.tokens, 10); /* as after a timeout */
}

static void test_a_stalled_transfer_with_a_long_wait_is_given_back_for_it(void **state) {
    (void)state;
    up()->budget.tokens = 0;
    uint32_t longest_ms = 0;
    for (int i = 0; i < 20; i++) {
        stall(run());
        store()->retry_until_ms = 0;
        uint32_t after_ms = up()->releases.items[i].after_ms;
        longest_ms = after_ms > longest_ms ? after_ms : longest_ms;
        up()->trials = (struct trials){.count = 0};
    }
    assert_true(longest_ms > WORLD_LEASE_MS / 2);
    assert_int_equal(up()->retries, 20);
}

static void test_a_store_that_stalls_for_retry_for_ends_the_job(void **state) {
    (void)state;
    struct task_entry *e = run();
    e->sent_bytes = 100;
    e->task.moved_bytes = 30;
    store()->connected = true;
    store()->failing_ms = up()->now_ms - 600000;
    stall(e);
    assert_int_equal(world_reported().class, FAIL_OUTAGE);
    assert_int_equal(world_reported().sent_bytes, 130);
    assert_int_equal(up()->sent_bytes, 30);
    assert_int_equal(uploader_world.cancelled, 1);
    assert_string_equal(error_of_report(), "no success for 10 min: no byte moved for a lease time");
    assert_int_equal(up()->limiter.active, 0);
}

static void test_a_stalled_own_abort_ends(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct report r = {.result = {.ref = begin.ref, .target = begin.target, .handle = slice_of("lost")}};
    transfers_abort_own(up(), &r);
    transfers_start(up());
    stall(list_entry(up()->tasks.lists[TASK_RUNNING].next, struct task_entry, node));
    assert_int_equal(up()->releases.count, 0);
    assert_int_equal(up()->retries, 0);
}

UNIT_MAIN(WORLD_S3_TEST(test_a_failed_attempt_waits_with_its_slot), WORLD_S3_TEST(test_a_long_wait_gives_the_job_back),
          WORLD_S3_TEST(test_new_credentials_make_three_retries_free),
          WORLD_S3_TEST(test_the_drain_gives_a_failed_attempt_back),
          WORLD_S3_TEST(test_an_endpoint_without_room_in_the_table_gives_the_job_back),
          WORLD_S3_TEST(test_a_failed_own_abort_is_forgotten),
          WORLD_S3_TEST(test_an_outage_ends_the_job_after_retry_for), WORLD_S3_TEST(test_an_outage_of_one_minute),
          WORLD_S3_TEST(test_an_outage_of_seconds), WORLD_S3_TEST(test_an_outage_of_less_than_a_minute),
          WORLD_S3_TEST(test_a_job_that_always_fails_ends_after_retry_for),
          WORLD_S3_TEST(test_throttled_requests_do_not_end_a_job),
          WORLD_S3_TEST(test_an_endpoint_that_was_never_reached_ends_the_job),
          WORLD_S3_TEST(test_an_unreached_endpoint_is_left_to_another_uploader),
          WORLD_S3_TEST(test_the_first_unreached_attempt_leaves_at_once_when_another_uploader_exists),
          WORLD_S3_TEST(test_a_sure_failure_takes_the_host_out),
          WORLD_S3_TEST(test_a_recent_success_shows_that_the_host_is_right),
          WORLD_S3_TEST(test_an_old_success_shows_nothing), WORLD_S3_TEST(test_a_doubtful_failure_stays_doubtful),
          WORLD_S3_TEST(test_a_stalled_transfer_is_given_back),
          WORLD_S3_TEST(test_a_stalled_transfer_with_a_long_wait_is_given_back_for_it),
          WORLD_S3_TEST(test_a_store_that_stalls_for_retry_for_ends_the_job),
          WORLD_S3_TEST(test_a_stalled_own_abort_ends))
