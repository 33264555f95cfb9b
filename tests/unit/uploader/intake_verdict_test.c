/* Replies to claims, and the effect of a restart of the consumer on the tasks. */
#include "capture.h"
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

/* --- WELCOME --- */

static void test_a_restart_claims_held_leases_again(void **state) { /* rule 6 */
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    e->asked_ms = 5;
    world_hear_welcome(2);
    assert_true(e->reclaim && up()->reclaim_wanted);
    assert_int_equal(e->asked_ms, 0);
    world_flush();
    const struct msg *claim = world_sent(MSG_CLAIM, 0);
    assert_non_null(claim);
    assert_true(claim->claim.claims[0].held);
}

static void test_a_restart_leaves_ended_leases_alone(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    up()->now_ms += WORLD_LEASE_MS;
    world_hear_welcome(2);
    assert_false(e->reclaim);
}

static void test_an_own_abort_is_not_claimed_after_a_restart(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct report r = {.result = {.ref = begin.ref, .target = begin.target, .handle = slice_of("lost")}};
    transfers_abort_own(up(), &r);
    world_hear_welcome(2);
    assert_false(up()->reclaim_wanted);
}

static void test_a_restart_repeats_claims_without_an_answer(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_offer(&put, 1, NULL);
    world_flush();
    struct task_entry *e = world_find(&put);
    assert_int_equal(e->state, TASK_ASKED);
    assert_int_equal(e->ask_count, 1);
    world_hear_welcome(2);
    assert_int_equal(e->state, TASK_WANTED);
    assert_int_equal(e->ask_count, 0);
}

static void test_a_welcome_of_the_same_consumer_claims_nothing_again(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    struct msg m = {.type = MSG_WELCOME, .number = 1000, .welcome = {.epoch = 1, .lease_ms = WORLD_LEASE_MS}};
    up()->heartbeat_wanted = false;
    world_hear(&m);
    assert_true(up()->heartbeat_wanted); /* the message was not dropped */
    assert_false(e->reclaim);
}

static void test_a_welcome_makes_results_due_again(void **state) { /* rule 8 */
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_end_done(world_run(&put));
    world_flush();
    assert_true(list_is_empty(&up()->reports.due));
    world_hear_welcome(2);
    assert_false(list_is_empty(&up()->reports.due));
}

/* --- VERDICT --- */

/* A claim was sent; its number. */
static uint64_t ask(const struct job *j) {
    world_offer(j, 1, NULL);
    world_flush();
    const struct msg *claim = world_sent(MSG_CLAIM, 0);
    assert_non_null(claim);
    return claim->number;
}

static void answer(uint64_t number, const struct verdict *v, uint32_t lease_ms) {
    struct msg m = {.type = MSG_VERDICT,
                    .number = number,
                    .verdict = {.lease_ms = lease_ms, .verdicts = (struct verdict *)v, .verdict_count = 1}};
    world_hear(&m);
}

static void test_a_grant_queues_the_job(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    answer(ask(&put), &v, WORLD_LEASE_MS);
    assert_int_equal(world_find(&put)->state, TASK_QUEUED);
}

static void test_a_verdict_on_an_unknown_claim_is_ignored(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    answer(ask(&put) + 100, &v, WORLD_LEASE_MS);
    assert_int_equal(world_find(&put)->state, TASK_ASKED);
}

static void test_a_verdict_without_a_lease_time_is_ignored(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_DENY, .why = WHY_HELD};
    answer(ask(&put), &v, 0);
    assert_non_null(world_find(&put));
}

static void test_a_verdict_on_no_claim_changes_nothing(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct msg m = {.type = MSG_VERDICT, .number = ask(&put), .verdict = {.lease_ms = WORLD_LEASE_MS}};
    world_hear(&m);
    assert_int_equal(world_find(&put)->state, TASK_ASKED);
}

static void test_a_denied_claim_is_forgotten_without_a_release(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_DENY, .why = WHY_HELD};
    answer(ask(&put), &v, WORLD_LEASE_MS);
    assert_null(world_find(&put));
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_second_grant_changes_nothing(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    uint64_t number = ask(&put);
    answer(number, &v, WORLD_LEASE_MS);
    transfers_start(up());
    answer(number, &v, WORLD_LEASE_MS);
    assert_int_equal(world_find(&put)->state, TASK_RUNNING);
}

/* A grant of a claim that was given up. */
static void late_grant(const struct job *j) {
    uint64_t number = ask(j);
    struct task_entry *e = world_find(j);
    tasks_remove(&up()->tasks, &e);
    const struct verdict v = {.ref = j->ref, .kind = VERDICT_GRANT};
    answer(number, &v, WORLD_LEASE_MS);
}

static void test_a_grant_that_comes_too_late_is_released(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    late_grant(&put);
    assert_int_equal(world_released()->why, WHY_FULL_SLOTS);
}

static void test_a_late_grant_during_the_drain_is_released_as_such(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uint64_t number = ask(&put);
    struct task_entry *e = world_find(&put);
    tasks_remove(&up()->tasks, &e);
    up()->draining = true;
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    answer(number, &v, WORLD_LEASE_MS);
    assert_int_equal(world_released()->why, WHY_DRAIN);
}

static void test_a_late_grant_of_a_job_with_a_result_is_not_released(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct result r = {.ref = put.ref, .outcome = OUTCOME_DONE};
    uint64_t number = ask(&put);
    struct task_entry *e = world_find(&put);
    tasks_remove(&up()->tasks, &e);
    assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    answer(number, &v, WORLD_LEASE_MS);
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_late_denial_needs_no_release(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uint64_t number = ask(&put);
    struct task_entry *e = world_find(&put);
    tasks_remove(&up()->tasks, &e);
    const struct verdict v = {.ref = put.ref, .kind = VERDICT_DENY, .why = WHY_HELD};
    answer(number, &v, WORLD_LEASE_MS);
    assert_int_equal(up()->releases.count, 0);
}

/* --- VERDICT on a lease that was held before a restart --- */

static void answer_held(struct task_entry **e, const struct job *j, enum verdict_kind kind, enum why why) {
    *e = world_run(j);
    world_hear_welcome(2);
    world_flush();
    const struct msg *claim = world_sent(MSG_CLAIM, 0);
    assert_non_null(claim);
    const struct verdict v = {.ref = j->ref, .kind = kind, .why = why};
    answer(claim->number, &v, 3 * WORLD_LEASE_MS);
    *e = world_find(j);
}

static void test_a_held_lease_that_is_granted_is_extended(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e;
    answer_held(&e, &put, VERDICT_GRANT, WHY_NONE);
    assert_false(e->reclaim);
    assert_true(e->lease.deadline_ms > up()->now_ms + 2 * WORLD_LEASE_MS);
    assert_int_equal(e->task.lease_deadline_ms, e->lease.deadline_ms); /* the backend writes until then */
    assert_int_equal(e->state, TASK_RUNNING);
}

static void test_a_put_that_the_consumer_does_not_know_yet_goes_on(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e;
    answer_held(&e, &put, VERDICT_DENY, WHY_UNKNOWN);
    assert_int_equal(e->state, TASK_RUNNING);
    assert_false(e->reclaim);
    assert_int_equal(uploader_world.cancelled, 0);
}

static void test_a_put_that_another_uploader_holds_ends(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e;
    answer_held(&e, &put, VERDICT_DENY, WHY_HELD);
    assert_null(e);
    assert_int_equal(uploader_world.cancelled, 1);
    assert_int_equal(up()->releases.count, 0);
}

static struct capture seen;

/* The events of a put that ends by this verdict. */
static const char *end_by_verdict(enum verdict_kind kind, enum why why) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e;
    uploader_world.settings.json = true;
    capture_begin(&seen, STDOUT_FILENO);
    answer_held(&e, &put, kind, why);
    capture_end(&seen);
    assert_null(e);
    return seen.text;
}

static void test_a_put_that_is_done_ends(void **state) {
    (void)state;
    assert_non_null(strstr(end_by_verdict(VERDICT_DONE, WHY_UNKNOWN), "\"detail\":\"done already\""));
}

static void test_the_reason_of_a_denial_is_an_event(void **state) {
    (void)state;
    assert_non_null(strstr(end_by_verdict(VERDICT_DENY, WHY_HELD), why_text(WHY_HELD)));
}

static void test_a_chunk_that_the_consumer_does_not_know_ends(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 0);
    struct task_entry *e;
    answer_held(&e, &chunk, VERDICT_DENY, WHY_UNKNOWN);
    assert_null(e);
}

UNIT_MAIN(WORLD_TEST(test_a_restart_claims_held_leases_again), WORLD_TEST(test_a_restart_leaves_ended_leases_alone),
          WORLD_TEST(test_an_own_abort_is_not_claimed_after_a_restart),
          WORLD_TEST(test_a_restart_repeats_claims_without_an_answer),
          WORLD_TEST(test_a_welcome_of_the_same_consumer_claims_nothing_again),
          WORLD_TEST(test_a_welcome_makes_results_due_again), WORLD_TEST(test_a_grant_queues_the_job),
          WORLD_TEST(test_a_verdict_on_an_unknown_claim_is_ignored),
          WORLD_TEST(test_a_verdict_without_a_lease_time_is_ignored),
          WORLD_TEST(test_a_verdict_on_no_claim_changes_nothing),
          WORLD_TEST(test_a_denied_claim_is_forgotten_without_a_release),
          WORLD_TEST(test_a_second_grant_changes_nothing), WORLD_TEST(test_a_grant_that_comes_too_late_is_released),
          WORLD_TEST(test_a_late_grant_during_the_drain_is_released_as_such),
          WORLD_TEST(test_a_late_grant_of_a_job_with_a_result_is_not_released),
          WORLD_TEST(test_a_late_denial_needs_no_release), WORLD_TEST(test_a_held_lease_that_is_granted_is_extended),
          WORLD_TEST(test_a_put_that_the_consumer_does_not_know_yet_goes_on),
          WORLD_TEST(test_a_put_that_another_uploader_holds_ends), WORLD_TEST(test_a_put_that_is_done_ends),
          WORLD_TEST(test_the_reason_of_a_denial_is_an_event),
          WORLD_TEST(test_a_chunk_that_the_consumer_does_not_know_ends))
