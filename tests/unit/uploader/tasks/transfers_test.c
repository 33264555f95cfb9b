/* The life of a task: grant, start, success and failure. */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

static struct slice here(void) {
    return slice_of(uploader_world.file_url);
}

static struct task_entry *own_abort(void) {
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct report r = {.result = {.ref = begin.ref, .target = begin.target, .handle = slice_of("lost")}};
    transfers_abort_own(up(), &r);
    transfers_start(up());
    return list_entry(up()->tasks.lists[TASK_RUNNING].next, struct task_entry, node);
}

/* --- grants --- */

static struct task_entry *wanted(enum job_kind kind, uint8_t upload) {
    struct job j = world_job(kind, upload);
    struct task_entry *e = tasks_add(&up()->tasks, &j, false);
    assert_non_null(e);
    return e;
}

static void test_a_granted_job_waits_for_a_slot(void **state) {
    (void)state;
    struct task_entry *e = wanted(JOB_PUT, 1);
    e->asked_ms = 5;
    up()->tick_ms = UINT64_MAX;
    transfers_grant(up(), e, up()->now_ms - 10, WORLD_LEASE_MS, 77);
    assert_int_equal(e->state, TASK_QUEUED);
    assert_int_equal(e->lease.deadline_ms, up()->now_ms - 10 + WORLD_LEASE_MS);
    assert_int_equal(e->task.since_us, 77);
    assert_int_equal(e->asked_ms, 0);
    assert_int_equal(up()->limiter.pending, 1);
    assert_int_equal(up()->tick_ms, up()->now_ms); /* it has a deadline */
}

static void test_a_granted_finish_collects_its_parts(void **state) {
    (void)state;
    struct task_entry *e = wanted(JOB_FINISH, 1);
    transfers_grant(up(), e, up()->now_ms, WORLD_LEASE_MS, 0);
    assert_int_equal(e->state, TASK_PARTS);
    assert_int_equal(up()->limiter.pending, 0);
}

static void test_a_grant_whose_lease_is_over_is_released(void **state) {
    (void)state;
    transfers_grant(up(), wanted(JOB_PUT, 1), up()->now_ms - WORLD_LEASE_MS, WORLD_LEASE_MS, 0);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
}

static void test_a_grant_during_the_drain_is_released(void **state) {
    (void)state;
    up()->draining = true;
    transfers_grant(up(), wanted(JOB_PUT, 1), up()->now_ms, WORLD_LEASE_MS, 0);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(world_released()->why, WHY_DRAIN);
}

/* --- starts --- */

static void test_tasks_start_while_slots_are_free(void **state) {
    (void)state;
    for (uint8_t i = 1; i <= WORLD_SLOTS + 1; i++) {
        struct job put = world_job(JOB_PUT, i);
        world_grant(&put);
    }
    up()->transfer_started = false;
    transfers_start(up());
    assert_int_equal(uploader_world.started, WORLD_SLOTS);
    assert_int_equal(up()->tasks.counts[TASK_RUNNING], WORLD_SLOTS);
    assert_int_equal(up()->tasks.counts[TASK_QUEUED], 1);
    assert_true(up()->transfer_started);
}

static void test_a_started_attempt_begins_at_zero(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    e->task.moved_bytes = e->task.checked_bytes = 9;
    e->task.awaiting_reply = true;
    transfers_start(up());
    assert_int_equal(e->task.moved_bytes + e->task.checked_bytes, 0);
    assert_false(e->task.awaiting_reply);
    assert_int_equal(e->task.lease_deadline_ms, e->lease.deadline_ms);
    assert_int_equal(e->attempts, 1);
    assert_true(e->first_us > 0);
    assert_int_equal(job_endpoint(up(), &put)->trying_ms, up()->now_ms);
}

static void test_a_task_whose_lease_is_over_does_not_start(void **state) { /* rule 5 */
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put);
    up()->now_ms += WORLD_LEASE_MS;
    transfers_start(up());
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
}

static void test_a_task_for_a_paused_endpoint_does_not_start(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put);
    job_endpoint(up(), &put)->retry_until_ms = up()->now_ms + 1234;
    transfers_start(up());
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(world_released()->why, WHY_BACKOFF);
    assert_int_equal(world_released()->after_ms, 1234);
}

static void test_a_task_for_a_location_in_trouble_does_not_start(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct trouble_failure f = {.own = OWN_SURE, .class = FAIL_FULL, .error = "no space"};
    world_grant(&put);
    troubles_note(&up()->troubles, here(), &f, up()->now_ms);
    transfers_start(up());
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(world_released()->why, WHY_NOT_HERE);
}

static void test_a_changed_source_does_not_start(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put);
    assert_int_equal(truncate(uploader_world.source, 5), 0);
    transfers_start(up());
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(world_reported().class, FAIL_CHANGED);
}

/* The backend refuses to start. */
static struct task_entry *start_with(int err) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    uploader_world.start_error = err;
    transfers_start(up());
    assert_int_equal(e->state, TASK_ENDED);
    transfers_end(up());
    return world_find(&put);
}

static void test_a_denied_start_fails_the_job(void **state) {
    (void)state;
    assert_null(start_with(ERR_DENIED));
    assert_int_equal(world_reported().class, FAIL_DENIED);
    assert_non_null(strstr(world_reported().error.ptr, "cannot be started: "));
}

static void test_an_invalid_start_fails_the_job(void **state) {
    (void)state;
    assert_null(start_with(ERR_INVALID));
    assert_int_equal(world_reported().class, FAIL_REQUEST);
}

static void test_a_start_that_can_succeed_later_is_retried(void **state) {
    (void)state;
    struct task_entry *e = start_with(ERR_AGAIN);
    assert_non_null(e);
    assert_int_equal(e->state, TASK_BACKOFF);
    assert_int_equal(up()->reports.count, 0);
}

static void test_a_second_begin_looks_for_the_first_one(void **state) { /* rule 10 */
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    struct task_entry *e = world_run(&begin);
    assert_int_equal(e->task.since_us, 0);
    world_end_transient(e, "connection lost");
    assert_int_equal(e->state, TASK_BACKOFF);
    up()->now_ms = e->again_ms;
    transfers_tick(up());
    assert_int_equal(e->state, TASK_RUNNING);
    assert_int_equal(e->attempts, 2);
    assert_int_equal(e->task.since_us, e->first_us);
}

static void test_a_second_begin_keeps_an_earlier_time(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    struct task_entry *e = world_run(&begin);
    e->task.since_us = 5; /* of an earlier holder */
    world_end_transient(e, "connection lost");
    up()->now_ms = e->again_ms;
    transfers_tick(up());
    assert_int_equal(e->task.since_us, 5);
}

static void test_a_second_put_looks_for_nothing(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    world_end_transient(e, "connection lost");
    up()->now_ms = e->again_ms;
    transfers_tick(up());
    assert_int_equal(e->attempts, 2);
    assert_int_equal(e->task.since_us, 0);
}

/* --- ends --- */

static void test_a_success_clears_the_endpoints_failures(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    job_endpoint(up(), &put)->failing_ms = 5;
    up()->budget.tokens = 100;
    world_end_done(e);
    assert_int_equal(job_endpoint(up(), &put)->failing_ms, 0);
    assert_int_equal(job_endpoint(up(), &put)->success_ms, up()->now_ms);
    assert_int_equal(up()->budget.tokens, 101);
    assert_true(up()->pace.other_us > 0);
}

static void test_the_duration_of_a_chunk_sets_the_pace(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 0);
    struct task_entry *e = world_run(&chunk);
    e->started_ns -= 3000000000ull;
    world_end_done(e);
    assert_true(up()->pace.chunk_us >= 3e6 && up()->pace.chunk_us < 30e6);
}

static void test_a_success_ends_the_trouble(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    const struct trouble_failure f = {.own = OWN_MAYBE, .class = FAIL_FULL, .error = "no space"};
    troubles_note(&up()->troubles, here(), &f, up()->now_ms);
    up()->heartbeat_wanted = false;
    world_end_done(e);
    assert_int_equal(up()->troubles.count, 0);
    assert_true(up()->heartbeat_wanted);
}

static void ends_note_of_declines(const struct job *j, size_t left) {
    troubles_note_declined(&up()->troubles, here(), "not under a --root", up()->now_ms);
    world_end_done(world_run(j));
    assert_int_equal(up()->troubles.count, left);
}

static void test_a_put_ends_a_note_of_declined_offers(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    ends_note_of_declines(&put, 0);
}

static void test_a_chunk_ends_a_note_of_declined_offers(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 0);
    ends_note_of_declines(&chunk, 0);
}

static void test_a_begin_leaves_a_note_of_declined_offers(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    ends_note_of_declines(&begin, 1);
}

static void test_a_source_that_changed_while_it_was_sent_fails_the_job(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    assert_int_equal(truncate(uploader_world.source, 5), 0);
    world_end_done(e);
    assert_int_equal(world_reported().outcome, OUTCOME_FAILED);
    assert_int_equal(world_reported().class, FAIL_CHANGED);
}

static void test_a_source_that_was_checked_after_its_last_byte_is_not_checked_again(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    assert_int_equal(truncate(uploader_world.source, 5), 0);
    const struct task_result r = {.outcome = OUTCOME_DONE, .source_checked = true};
    world_end(e, &r);
    assert_int_equal(world_reported().outcome, OUTCOME_DONE);
}

static void test_bytes_of_each_attempt_are_counted(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    const struct task_result r = {.outcome = OUTCOME_FAILED, .transient = true, .error = "500", .sent_bytes = 40};
    e->task.moved_bytes = 40;
    world_end(e, &r);
    assert_int_equal(e->sent_bytes, 40);
    assert_int_equal(up()->sent_bytes, 40);
    assert_int_equal(e->task.moved_bytes, 0); /* not counted twice */
}

static void test_a_failure_after_the_lease_is_not_reported(void **state) { /* rule 5 */
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    const struct task_result failed = {.outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403"};
    up()->now_ms += WORLD_LEASE_MS;
    world_end(e, &failed);
    assert_int_equal(up()->reports.count, 0);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
}

static void test_a_success_after_the_lease_is_reported(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    up()->now_ms += WORLD_LEASE_MS;
    world_end_done(e);
    assert_int_equal(world_reported().outcome, OUTCOME_DONE);
}

static void end_with(enum outcome outcome, enum own_failure own, size_t troubles) {
    struct job chunk = world_chunk_job(1, 0);
    const struct task_result r = {.outcome = outcome, .class = FAIL_DENIED, .error = "403", .own = own};
    world_end(world_run(&chunk), &r);
    assert_int_equal(up()->troubles.count, troubles);
    assert_int_equal(up()->reports.count, 1);
}

static void test_a_failure_of_this_host_is_a_trouble(void **state) {
    (void)state;
    end_with(OUTCOME_FAILED, OWN_MAYBE, 1);
}

static void test_a_gone_handle_can_be_a_trouble(void **state) {
    (void)state;
    end_with(OUTCOME_GONE, OWN_MAYBE, 1);
}

static void test_a_failure_of_the_file_is_no_trouble(void **state) {
    (void)state;
    end_with(OUTCOME_FAILED, OWN_NO, 0);
}

static void test_a_success_is_no_trouble(void **state) {
    (void)state;
    end_with(OUTCOME_DONE, OWN_MAYBE, 0);
}

static void test_an_own_abort_reports_nothing(void **state) {
    (void)state;
    const struct task_result failed = {
        .outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403", .own = OWN_SURE};
    world_end(own_abort(), &failed);
    assert_int_equal(up()->reports.count + up()->releases.count, 0);
    assert_int_equal(up()->troubles.count, 0);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    world_end_done(own_abort());
    assert_int_equal(up()->reports.count, 0);
}

static void test_an_own_abort_that_ends_late_is_over(void **state) {
    (void)state;
    struct task_entry *e = own_abort();
    const struct task_result failed = {.outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403"};
    assert_int_equal(e->lease.deadline_ms, up()->now_ms + 60000);
    up()->now_ms += 60000;
    world_end(e, &failed);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(up()->releases.count, 0);
}

/* --- giving back --- */

static void test_the_drain_gives_back_all_that_has_not_started(void **state) {
    (void)state;
    struct job running = world_job(JOB_PUT, 1), backoff = world_job(JOB_PUT, 2);
    struct task_entry *e = world_run(&backoff);
    world_end_transient(e, "500");
    world_run(&running);
    wanted(JOB_PUT, 3);
    tasks_move(&up()->tasks, wanted(JOB_PUT, 4), TASK_ASKED);
    struct job finish = world_job(JOB_FINISH, 5), queued = world_job(JOB_PUT, 6);
    world_grant(&finish);
    world_grant(&queued);
    transfers_drain(up());
    assert_int_equal(tasks_count(&up()->tasks), 1);
    assert_non_null(world_find(&running));
    assert_int_equal(up()->releases.count, 5);
    assert_int_equal(world_released()->why, WHY_DRAIN);
}

static void test_an_unwanted_job_is_given_back_unless_it_runs(void **state) {
    (void)state;
    struct job one = world_job(JOB_PUT, 1), two = world_job(JOB_PUT, 2);
    struct task_entry *running = world_run(&one), *queued = world_grant(&two);
    transfers_unwanted(up(), running);
    transfers_unwanted(up(), queued);
    assert_non_null(world_find(&one));
    assert_null(world_find(&two));
    assert_int_equal(up()->releases.count, 1);
}

UNIT_MAIN(
    WORLD_TEST(test_a_granted_job_waits_for_a_slot), WORLD_TEST(test_a_granted_finish_collects_its_parts),
    WORLD_TEST(test_a_grant_whose_lease_is_over_is_released), WORLD_TEST(test_a_grant_during_the_drain_is_released),
    WORLD_TEST(test_tasks_start_while_slots_are_free), WORLD_TEST(test_a_started_attempt_begins_at_zero),
    WORLD_TEST(test_a_task_whose_lease_is_over_does_not_start),
    WORLD_TEST(test_a_task_for_a_paused_endpoint_does_not_start),
    WORLD_TEST(test_a_task_for_a_location_in_trouble_does_not_start), WORLD_TEST(test_a_changed_source_does_not_start),
    WORLD_TEST(test_a_denied_start_fails_the_job), WORLD_TEST(test_an_invalid_start_fails_the_job),
    WORLD_TEST(test_a_start_that_can_succeed_later_is_retried), WORLD_TEST(test_a_second_begin_looks_for_the_first_one),
    WORLD_TEST(test_a_second_begin_keeps_an_earlier_time), WORLD_TEST(test_a_second_put_looks_for_nothing),
    WORLD_TEST(test_a_success_clears_the_endpoints_failures), WORLD_TEST(test_the_duration_of_a_chunk_sets_the_pace),
    WORLD_TEST(test_a_success_ends_the_trouble), WORLD_TEST(test_a_put_ends_a_note_of_declined_offers),
    WORLD_TEST(test_a_chunk_ends_a_note_of_declined_offers), WORLD_TEST(test_a_begin_leaves_a_note_of_declined_offers),
    WORLD_TEST(test_a_source_that_changed_while_it_was_sent_fails_the_job),
    WORLD_TEST(test_a_source_that_was_checked_after_its_last_byte_is_not_checked_again),
    WORLD_TEST(test_bytes_of_each_attempt_are_counted), WORLD_TEST(test_a_failure_after_the_lease_is_not_reported),
    WORLD_TEST(test_a_success_after_the_lease_is_reported), WORLD_TEST(test_a_failure_of_this_host_is_a_trouble),
    WORLD_TEST(test_a_gone_handle_can_be_a_trouble), WORLD_TEST(test_a_failure_of_the_file_is_no_trouble),
    WORLD_TEST(test_a_success_is_no_trouble), WORLD_TEST(test_an_own_abort_reports_nothing),
    WORLD_TEST(test_an_own_abort_that_ends_late_is_over),
    WORLD_TEST(test_the_drain_gives_back_all_that_has_not_started),
    WORLD_TEST(test_an_unwanted_job_is_given_back_unless_it_runs))
