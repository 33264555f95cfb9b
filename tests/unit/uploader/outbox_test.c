/* Messages to the consumer: batches, their order, repetitions, and the contents of HEARTBEAT. */
#include "capture.h"
#include "unit.h"
#include "uploader_world.h"

#define BATCH 256

static struct uploader *up(void) {
    return uploader_world.u;
}

/* --- results and releases --- */

static struct result numbered_result(uint32_t n, const char *handle) {
    return (struct result){.ref = {.kind = JOB_CHUNK, .upload = {{1}}, .chunk = n},
                           .outcome = OUTCOME_DONE,
                           .handle = slice_of(handle),
                           .target = {.dest = slice_of(uploader_world.dest)}};
}

static void add_results(uint32_t count, struct slice name) {
    for (uint32_t i = 0; i < count; i++) {
        struct result r = numbered_result(i, "handle");
        r.source.path = name;
        assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
    }
}

static size_t results_in(size_t n) {
    const struct msg *m = world_sent(MSG_COMPLETE, n);
    return m ? m->complete.result_count : 0;
}

static void test_results_are_sent_in_batches(void **state) {
    (void)state;
    add_results(BATCH + 1, slice_of("/x"));
    up()->tick_ms = UINT64_MAX;
    world_flush();
    assert_int_equal(results_in(0), BATCH);
    assert_int_equal(results_in(1), 1);
    assert_null(world_sent(MSG_COMPLETE, 2));
    assert_int_equal(up()->tick_ms, up()->now_ms); /* answers have a deadline */
    world_flush();
    assert_null(world_sent(MSG_COMPLETE, 0));
}

static void test_a_message_that_is_too_large_is_sent_in_parts(void **state) {
    (void)state;
    static char name[PROTO_NAME_MAX];
    memset(name, 'x', sizeof name);
    add_results(BATCH, slice_make(name, sizeof name));
    world_flush();
    size_t sum = 0;
    for (size_t i = 0; world_sent(MSG_COMPLETE, i); i++)
        sum += results_in(i);
    assert_int_equal(sum, BATCH);
    assert_int_equal(results_in(0), BATCH / 2);
}

static void test_a_result_that_does_not_fit_stays(void **state) {
    (void)state;
    static char handle[PROTO_TEXT_MAX + 2];
    static struct capture seen;
    memset(handle, 'x', sizeof handle - 1);
    struct result r = numbered_result(0, handle);
    assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
    up()->heartbeat_wanted = true;
    uint64_t number = up()->heartbeat_number;
    log_setup("test", LOG_DEBUG, false);
    capture_begin(&seen, STDERR_FILENO);
    outbox_send(up());
    assert_non_null(strstr(capture_end(&seen), "cannot send COMPLETE: "));
    assert_false(list_is_empty(&up()->reports.due));
    assert_int_equal(up()->heartbeat_number, number); /* nothing else goes before it */
}

static void test_releases_are_sent_in_batches(void **state) {
    (void)state;
    for (uint32_t i = 0; i <= BATCH; i++) {
        const struct ref ref = {.kind = JOB_CHUNK, .upload = {{1}}, .chunk = i};
        releases_add(&up()->releases, &ref, WHY_BACKOFF, 70, "detail", 5);
    }
    world_flush();
    const struct msg *first = world_sent(MSG_RELEASE, 0), *second = world_sent(MSG_RELEASE, 1);
    assert_true(first && second);
    assert_int_equal(first->release.job_count, BATCH);
    assert_int_equal(second->release.job_count, 1);
    assert_int_equal(second->release.jobs[0].ref.chunk, BATCH);
    assert_true(slice_equal(second->release.jobs[0].detail, slice_of("detail")));
    assert_int_equal(up()->releases.count, 0);
}

/* --- claims --- */

static void test_claims_are_sent_in_batches(void **state) {
    (void)state;
    for (uint32_t i = 0; i <= BATCH; i++) {
        struct job chunk = world_chunk_job(1, 0);
        chunk.ref.chunk = i;
        chunk.second = i == BATCH;
        assert_non_null(tasks_add(&up()->tasks, &chunk, false));
    }
    up()->tick_ms = UINT64_MAX;
    world_flush();
    const struct msg *first = world_sent(MSG_CLAIM, 0), *second = world_sent(MSG_CLAIM, 1);
    assert_true(first && second);
    assert_int_equal(first->claim.claim_count, BATCH);
    assert_int_equal(second->claim.claim_count, 1);
    assert_int_equal(second->claim.claims[0].ref.chunk, BATCH);
    assert_true(second->claim.claims[0].second);
    assert_false(second->claim.claims[0].held || first->claim.claims[0].second);
    assert_true(slice_equal(second->claim.claims[0].handle, slice_of("handle")));
    assert_int_equal(up()->tasks.counts[TASK_ASKED], BATCH + 1);
    assert_int_equal(up()->tick_ms, up()->now_ms);
    const struct task_entry *e = list_entry(up()->tasks.lists[TASK_ASKED].next, struct task_entry, node);
    assert_int_equal(e->asked_ms, up()->now_ms);
    assert_int_equal(e->ask_count, 1);
}

static void hold(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct job chunk = world_chunk_job(1, 0);
        chunk.ref.chunk = i;
        world_grant(&chunk);
    }
    world_hear_welcome(2);
}

static size_t held_claims_in(size_t n) {
    const struct msg *m = world_sent(MSG_CLAIM, n);
    if (!m)
        return 0;
    assert_true(m->claim.claims[0].held);
    return m->claim.claim_count;
}

static void test_held_leases_are_claimed_in_batches(void **state) { /* rule 6 */
    (void)state;
    hold(BATCH + 1);
    world_flush();
    assert_int_equal(held_claims_in(0), BATCH);
    assert_int_equal(held_claims_in(1), 1);
    assert_int_equal(held_claims_in(2), 0);
    assert_int_equal(world_sent(MSG_HEARTBEAT, 0)->heartbeat.lease_count, 0); /* not before the answers */
}

static void test_a_held_claim_without_an_answer_is_sent_again_after_a_second(void **state) {
    (void)state;
    hold(1);
    world_flush();
    up()->now_ms += 999;
    world_flush();
    assert_int_equal(held_claims_in(0), 0);
    up()->now_ms += 1;
    world_flush();
    assert_int_equal(held_claims_in(0), 1);
}

static void test_leases_claimed_since_the_restart_are_not_claimed_again(void **state) {
    (void)state;
    hold(1);
    struct job put = world_job(JOB_PUT, 2);
    world_grant(&put);
    world_flush();
    assert_int_equal(held_claims_in(0), 1);
    struct job chunk = world_chunk_job(1, 0);
    world_find(&chunk)->reclaim = false; /* it was answered */
    world_flush();
    assert_int_equal(held_claims_in(0), 0);
    assert_false(up()->reclaim_wanted);
}

/* --- part lists --- */

static void test_the_next_page_is_asked_for(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = world_grant(&finish);
    e->parts_received = 2;
    world_flush();
    const struct msg *m = world_sent(MSG_PARTS, 0);
    assert_non_null(m);
    assert_int_equal(m->parts.from, 2);
    assert_true(slice_equal(m->parts.handle, slice_of("handle")));
    assert_int_equal(e->asked_ms, up()->now_ms);
}

static void test_a_page_that_does_not_come_is_asked_for_again_after_a_second(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    world_grant(&finish);
    world_flush();
    up()->now_ms += 999;
    world_flush();
    assert_null(world_sent(MSG_PARTS, 0));
    up()->now_ms += 1;
    world_flush();
    assert_non_null(world_sent(MSG_PARTS, 0));
}

static void test_parts_of_a_lease_that_is_claimed_again_are_not_asked_for_again(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = world_grant(&finish);
    world_flush();
    e->reclaim = true;
    up()->now_ms += 1000;
    world_flush();
    assert_null(world_sent(MSG_PARTS, 0));
}

/* --- HEARTBEAT --- */

static void hear_lease_ms(uint32_t lease_ms) {
    struct msg m = {.type = MSG_WELCOME, .welcome = {.epoch = 1 + lease_ms, .lease_ms = lease_ms}};
    world_hear(&m);
    up()->heartbeat_wanted = false;
    up()->heartbeat_ms = up()->now_ms;
}

static void test_a_heartbeat_comes_four_times_in_a_lease(void **state) {
    (void)state;
    hear_lease_ms(2000);
    assert_int_equal(outbox_deadline(up()), up()->now_ms + 500);
    hear_lease_ms(10000);
    assert_int_equal(outbox_deadline(up()), up()->now_ms + 1000); /* at least each second */
    hear_lease_ms(3);
    assert_int_equal(outbox_deadline(up()), up()->now_ms + 1000);
    up()->heartbeat_wanted = true;
    assert_int_equal(outbox_deadline(up()), up()->now_ms + 20);
}

static void test_a_heartbeat_is_sent_when_it_is_due(void **state) {
    (void)state;
    world_flush();
    uint64_t number = up()->heartbeat_number;
    up()->heartbeat_ms = up()->now_ms;
    up()->now_ms += 999;
    outbox_send(up());
    assert_int_equal(up()->heartbeat_number, number);
    up()->now_ms += 1;
    outbox_send(up());
    assert_true(up()->heartbeat_number > number);
    assert_int_equal(up()->heartbeat_ms, up()->now_ms);
}

static const struct msg_heartbeat *heartbeat(void) {
    world_flush();
    return &world_sent(MSG_HEARTBEAT, 0)->heartbeat;
}

static void test_a_lease_is_listed_with_its_bytes(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->sent_bytes = 100;
    e->task.moved_bytes = 7;
    up()->sent_bytes = 100;
    const struct msg_heartbeat *h = heartbeat();
    assert_int_equal(h->lease_count, 1);
    assert_int_equal(h->leases[0].ref.kind, JOB_PUT);
    assert_int_equal(h->leases[0].bytes, 107);
    assert_int_equal(h->sent_bytes, 107);
    assert_int_equal(h->slots, WORLD_SLOTS);
    assert_int_equal(h->active, 1);
    assert_int_equal(h->free, WORLD_SLOTS);
}

static void test_a_job_in_the_queue_keeps_its_lease(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    e->lease.moved_ms = 0;
    assert_int_equal(heartbeat()->lease_count, 1);
}

static void test_a_transfer_without_progress_does_not_keep_its_lease(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->lease.moved_ms = up()->now_ms - WORLD_LEASE_MS - 1;
    assert_int_equal(heartbeat()->lease_count, 0);
    tasks_move(&up()->tasks, e, TASK_SOURCE); /* the producer's bytes count in the same way */
    assert_int_equal(heartbeat()->lease_count, 0);
    e->task.moved_bytes = 5;
    assert_int_equal(heartbeat()->lease_count, 1);
}

static void test_an_ended_lease_is_not_listed(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put);
    up()->now_ms += WORLD_LEASE_MS;
    assert_int_equal(heartbeat()->lease_count, 0);
}

static void test_a_lease_that_is_claimed_again_is_not_listed(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put)->reclaim = true;
    assert_int_equal(heartbeat()->lease_count, 0);
}

static void test_an_own_abort_has_no_lease(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct report r = {.result = {.ref = begin.ref, .target = begin.target, .handle = slice_of("lost")}};
    transfers_abort_own(up(), &r);
    assert_int_equal(heartbeat()->lease_count, 0);
}

static void test_a_gap_between_heartbeats_restarts_the_count(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    heartbeat();
    uint64_t first = up()->heartbeat_number;
    heartbeat();
    assert_int_equal(e->first_heartbeat, first);
    assert_int_equal(e->last_heartbeat, up()->heartbeat_number);
    e->reclaim = true;
    heartbeat();
    e->reclaim = false;
    heartbeat();
    assert_int_equal(e->first_heartbeat, up()->heartbeat_number);
}

static void test_an_outage_of_a_store_is_shown(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct task_result r = {.outcome = OUTCOME_FAILED, .transient = true, .error = "disk is busy"};
    world_end(world_run(&put), &r);
    up()->now_ms += 400;
    const struct msg_heartbeat *h = heartbeat();
    assert_true(slice_equal(h->outage, slice_of("disk is busy")));
    assert_int_equal(h->outage_ms, 400);
    assert_int_equal(h->retries, 1);
}

/* --- order --- */

static void test_results_come_before_releases_and_claims(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 2);
    const struct ref ref = {.kind = JOB_PUT, .upload = {{3}}};
    assert_false(outbox_is_waiting(up()));
    assert_non_null(tasks_add(&up()->tasks, &put, false));
    assert_true(outbox_is_waiting(up()));
    releases_add(&up()->releases, &ref, WHY_DRAIN, 0, NULL, 0);
    add_results(1, slice_of("/x"));
    world_flush();
    static const enum msg_type order[] = {MSG_COMPLETE, MSG_RELEASE, MSG_CLAIM, MSG_HEARTBEAT};
    assert_int_equal(uploader_world.sent_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(uploader_world.sent[i].type, order[i]);
    assert_false(outbox_is_waiting(up()));
}

/* While one job runs and another one waits for its slot, no reply is missing. */
static void test_batches_are_two_milliseconds_apart_while_slots_have_work(void **state) {
    (void)state;
    struct job running = world_chunk_job(1, 0), queued = world_chunk_job(1, 1);
    world_run(&running);
    struct task_entry *waiting = world_grant(&queued);
    world_flush();
    uint64_t began_ms = up()->now_ms, heartbeat_ms = outbox_deadline(up());
    add_results(1, slice_of("/x"));
    outbox_send(up()); /* the first batch */
    assert_true(list_is_empty(&up()->reports.due));
    struct result next = numbered_result(7, "handle");
    assert_int_equal(reports_add(&up()->reports, &next, NULL), 0);
    up()->now_ms = began_ms + 1;
    assert_false(outbox_is_waiting(up()));
    assert_int_equal(outbox_deadline(up()), began_ms + 2);
    outbox_send(up());
    assert_false(list_is_empty(&up()->reports.due));
    up()->now_ms = began_ms + 2;
    assert_true(outbox_is_waiting(up()));
    assert_int_equal(outbox_deadline(up()), heartbeat_ms);
    outbox_send(up());
    assert_true(list_is_empty(&up()->reports.due));
    assert_int_equal(reports_add(&up()->reports,
                                 &(struct result){.ref = {.kind = JOB_CHUNK, .upload = {{1}}, .chunk = 8},
                                                  .outcome = OUTCOME_DONE,
                                                  .target = {.dest = slice_of(uploader_world.dest)}},
                                 NULL),
                     0);
    assert_false(outbox_is_waiting(up()));
    task_drop(up(), &waiting, WHY_DRAIN, 0, NULL); /* now a slot would wait */
    assert_true(outbox_is_waiting(up()));
}

static void test_a_release_and_a_result_wait_to_be_sent(void **state) {
    (void)state;
    const struct ref ref = {.kind = JOB_PUT, .upload = {{3}}};
    releases_add(&up()->releases, &ref, WHY_DRAIN, 0, NULL, 0);
    assert_true(outbox_is_waiting(up()));
    world_flush();
    add_results(1, slice_of("/x"));
    assert_true(outbox_is_waiting(up()));
}

UNIT_MAIN(WORLD_TEST(test_results_are_sent_in_batches), WORLD_TEST(test_a_message_that_is_too_large_is_sent_in_parts),
          WORLD_TEST(test_a_result_that_does_not_fit_stays), WORLD_TEST(test_releases_are_sent_in_batches),
          WORLD_TEST(test_claims_are_sent_in_batches), WORLD_TEST(test_held_leases_are_claimed_in_batches),
          WORLD_TEST(test_a_held_claim_without_an_answer_is_sent_again_after_a_second),
          WORLD_TEST(test_leases_claimed_since_the_restart_are_not_claimed_again),
          WORLD_TEST(test_the_next_page_is_asked_for),
          WORLD_TEST(test_a_page_that_does_not_come_is_asked_for_again_after_a_second),
          WORLD_TEST(test_parts_of_a_lease_that_is_claimed_again_are_not_asked_for_again),
          WORLD_TEST(test_a_heartbeat_comes_four_times_in_a_lease), WORLD_TEST(test_a_heartbeat_is_sent_when_it_is_due),
          WORLD_TEST(test_a_lease_is_listed_with_its_bytes), WORLD_TEST(test_a_job_in_the_queue_keeps_its_lease),
          WORLD_TEST(test_a_transfer_without_progress_does_not_keep_its_lease),
          WORLD_TEST(test_an_ended_lease_is_not_listed), WORLD_TEST(test_a_lease_that_is_claimed_again_is_not_listed),
          WORLD_TEST(test_an_own_abort_has_no_lease), WORLD_TEST(test_a_gap_between_heartbeats_restarts_the_count),
          WORLD_TEST(test_an_outage_of_a_store_is_shown), WORLD_TEST(test_results_come_before_releases_and_claims),
          WORLD_TEST(test_batches_are_two_milliseconds_apart_while_slots_have_work),
          WORLD_TEST(test_a_release_and_a_result_wait_to_be_sent))
