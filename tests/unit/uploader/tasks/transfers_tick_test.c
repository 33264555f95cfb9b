/* The deadlines of tasks: claims without an answer, leases, waits between attempts, and the request limit. */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

/* Ticks so many milliseconds from now; the next tick is due after the returned time. */
static uint64_t tick_after(uint64_t ms) {
    up()->now_ms += ms;
    uint64_t next_ms = transfers_tick(up());
    return next_ms == UINT64_MAX ? UINT64_MAX : next_ms - up()->now_ms;
}

/* --- claims --- */

static struct task_entry *asked(uint32_t times) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = tasks_add(&up()->tasks, &put, false);
    assert_non_null(e);
    e->asked_ms = up()->now_ms;
    e->ask_count = times;
    tasks_move(&up()->tasks, e, TASK_ASKED);
    return e;
}

static void test_a_claim_without_an_answer_is_sent_again_after_a_second(void **state) {
    (void)state;
    struct task_entry *e = asked(1);
    assert_int_equal(tick_after(999), 1);
    assert_int_equal(e->state, TASK_ASKED);
    assert_int_equal(tick_after(1), UINT64_MAX);
    assert_int_equal(e->state, TASK_WANTED);
}

static void test_the_third_claim_without_an_answer_is_the_last(void **state) {
    (void)state;
    struct task_entry *e = asked(2);
    tick_after(1000);
    assert_int_equal(e->state, TASK_WANTED);
    e->ask_count = 3;
    e->asked_ms = up()->now_ms;
    tasks_move(&up()->tasks, e, TASK_ASKED);
    tick_after(1000);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(up()->releases.count, 0);
}

/* --- leases --- */

static void test_a_lease_that_ends_in_the_queue_is_released(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put);
    assert_int_equal(tick_after(1), WORLD_LEASE_MS - 1);
    assert_int_equal(tick_after(WORLD_LEASE_MS - 2), 1);
    assert_non_null(world_find(&put));
    tick_after(1);
    assert_null(world_find(&put));
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
}

static void test_a_page_of_a_part_list_is_asked_for_again_after_a_second(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = world_grant(&finish);
    e->asked_ms = up()->now_ms;
    assert_int_equal(tick_after(0), 1000);
    e->lease.deadline_ms = up()->now_ms + 1000; /* the end of the lease is not later */
    assert_int_equal(tick_after(0), 1000);
    e->lease.deadline_ms = up()->now_ms + 400;
    assert_int_equal(tick_after(0), 400);
}

static void test_a_lease_that_ends_while_bytes_move_releases_the_job(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    assert_int_equal(tick_after(0), WORLD_LEASE_MS);
    e->task.moved_bytes = 5;
    uint64_t retries = up()->retries;
    tick_after(WORLD_LEASE_MS);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
    assert_true(slice_equal(world_released()->detail, slice_of("its lease ended")));
    assert_int_equal(uploader_world.cancelled, 1);
    assert_int_equal(up()->retries, retries); /* the consumer was silent; the store has not failed */
}

static void test_a_transfer_without_progress_counts_as_a_failure(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->lease.moved_ms = up()->now_ms - WORLD_LEASE_MS;
    e->lease.deadline_ms = up()->now_ms + 1;
    tick_after(1);
    assert_int_equal(up()->retries, 1);
    assert_true(slice_equal(world_released()->detail, slice_of("no byte moved for a lease time")));
}

static void test_bytes_that_are_checked_are_progress(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->task.checked_bytes = 5;
    e->task.moved_bytes = 5;
    transfers_note_progress(up(), e);
    assert_int_equal(e->lease.moved_bytes, 10);
    assert_int_equal(e->lease.moved_ms, up()->now_ms);
}

/* --- waits between attempts --- */

static struct task_entry *waiting(uint32_t wait_ms) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    tasks_move(&up()->tasks, e, TASK_BACKOFF);
    source_close(&e->task.source);
    e->again_ms = up()->now_ms + wait_ms;
    return e;
}

static void test_the_next_attempt_starts_after_its_wait(void **state) {
    (void)state;
    struct task_entry *e = waiting(300);
    assert_int_equal(tick_after(299), 1);
    assert_int_equal(e->state, TASK_BACKOFF);
    tick_after(1);
    assert_int_equal(e->state, TASK_RUNNING);
    assert_int_equal(uploader_world.started, 2);
}

static void test_a_lease_that_ends_before_the_next_attempt_releases_the_job(void **state) {
    (void)state;
    struct task_entry *e = waiting(3000);
    e->lease.deadline_ms = up()->now_ms + 100;
    assert_int_equal(tick_after(99), 1);
    tick_after(1);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
    assert_int_equal(uploader_world.cancelled, 0);
}

static void test_a_job_that_waits_goes_to_another_uploader_when_one_can_serve_it(void **state) {
    (void)state;
    waiting(3000);
    struct slice location = slice_of(uploader_world.file_url);
    const struct trouble_failure f = {.own = OWN_MAYBE, .class = FAIL_FULL, .error = "no space", .at_once = true};
    troubles_note(&up()->troubles, location, &f, up()->now_ms);
    tick_after(1);
    assert_int_equal(tasks_count(&up()->tasks), 1);
    (void)troubles_relieve(&up()->troubles, &location, 1);
    tick_after(1);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(world_released()->why, WHY_NOT_HERE);
}

static void test_many_tasks_are_checked_in_one_tick(void **state) {
    (void)state;
    for (uint8_t i = 1; i <= 3; i++) {
        struct job stat = world_job(JOB_STAT, i);
        world_grant(&stat);
    }
    tick_after(WORLD_LEASE_MS);
    assert_int_equal(up()->releases.count, 3);
}

/* --- the request limit (rule 14) --- */

static struct store_endpoint *store(void) {
    struct job put = world_job(JOB_PUT, 1);
    return job_endpoint(up(), &put);
}

static struct task_entry *start_at(double requests_a_second) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    token_bucket_set(&store()->starts, requests_a_second * TOKENS_PER_REQUEST, 1500, clock_ns());
    up()->tick_ms = UINT64_MAX;
    transfers_start(up());
    return up()->tasks.counts[TASK_BACKOFF] ? e : NULL;
}

static void test_a_start_beyond_the_request_limit_waits_with_its_slot(void **state) {
    (void)state;
    struct task_entry *e = start_at(1);
    assert_non_null(e);
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(up()->limiter.active, 1);
    assert_int_equal(e->again_ms, up()->now_ms + 50); /* the limit may be raised until then */
    assert_int_equal(up()->tick_ms, up()->now_ms + 50);
    store()->starts.tokens = TOKENS_PER_REQUEST;
    tick_after(50);
    assert_int_equal(e->state, TASK_RUNNING);
}

static void test_a_start_that_is_due_soon_waits_no_longer(void **state) {
    (void)state;
    struct task_entry *e = start_at(100);
    assert_in_range(e->again_ms, up()->now_ms + 1, up()->now_ms + 11);
}

static void test_a_task_that_waits_for_the_limit_is_looked_at_again(void **state) {
    (void)state;
    struct task_entry *e = start_at(1);
    assert_int_equal(tick_after(50), 50);
    assert_int_equal(e->state, TASK_BACKOFF);
}

static void test_a_start_that_is_due_too_late_for_its_lease_is_given_back(void **state) {
    (void)state;
    assert_null(start_at(0.1)); /* 10 s; half a lease is 5 s */
    assert_int_equal(world_released()->why, WHY_BACKOFF);
    assert_int_equal(world_released()->after_ms, 1000);
    assert_int_equal(up()->limiter.active, 0);
}

static void test_a_retry_that_is_due_too_late_for_its_lease_is_given_back(void **state) {
    (void)state;
    start_at(1);
    token_bucket_set(&store()->starts, 100, 1500, clock_ns());
    assert_int_equal(tick_after(50), UINT64_MAX);
    assert_int_equal(tasks_count(&up()->tasks), 0);
}

static void test_a_store_without_room_in_the_table_has_no_limit(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    char name[32];
    store_endpoints_release(&up()->endpoints);
    for (int i = 0; i < STORE_ENDPOINTS_MAX; i++) {
        snprintf(name, sizeof name, "http://%d", i);
        assert_non_null(store_endpoints_get(&up()->endpoints, slice_of(name)));
    }
    world_run(&put);
    assert_int_equal(uploader_world.started, 1);
}

static void test_without_a_limit_all_start(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_run(&put);
    assert_int_equal(uploader_world.started, 1);
}

UNIT_MAIN(WORLD_TEST(test_a_claim_without_an_answer_is_sent_again_after_a_second),
          WORLD_TEST(test_the_third_claim_without_an_answer_is_the_last),
          WORLD_TEST(test_a_lease_that_ends_in_the_queue_is_released),
          WORLD_TEST(test_a_page_of_a_part_list_is_asked_for_again_after_a_second),
          WORLD_TEST(test_a_lease_that_ends_while_bytes_move_releases_the_job),
          WORLD_TEST(test_a_transfer_without_progress_counts_as_a_failure),
          WORLD_TEST(test_bytes_that_are_checked_are_progress), WORLD_TEST(test_the_next_attempt_starts_after_its_wait),
          WORLD_TEST(test_a_lease_that_ends_before_the_next_attempt_releases_the_job),
          WORLD_TEST(test_a_job_that_waits_goes_to_another_uploader_when_one_can_serve_it),
          WORLD_TEST(test_many_tasks_are_checked_in_one_tick),
          WORLD_S3_TEST(test_a_start_beyond_the_request_limit_waits_with_its_slot),
          WORLD_S3_TEST(test_a_start_that_is_due_soon_waits_no_longer),
          WORLD_S3_TEST(test_a_task_that_waits_for_the_limit_is_looked_at_again),
          WORLD_S3_TEST(test_a_start_that_is_due_too_late_for_its_lease_is_given_back),
          WORLD_S3_TEST(test_a_retry_that_is_due_too_late_for_its_lease_is_given_back),
          WORLD_S3_TEST(test_a_store_without_room_in_the_table_has_no_limit),

          WORLD_S3_TEST(test_without_a_limit_all_start))
