/* Messages of the consumer other than verdicts: BEAT, part lists, acknowledgements, errors, and the producers' addresses. */
#include "capture.h"
#include "unit.h"
#include "uploader_world.h"

#include "system/exit_status.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

/* --- the producers' sockets --- */

static void hear_jobs(struct slice *addresses, size_t count) {
    const struct msg_beat beat = {.jobs = addresses, .jobs_count = count};
    size_t own = uploader_world.settings.jobs.count;
    uploader_world.settings.jobs.count = 0; /* as without --jobs */
    world_hear_beat(0, &beat);
    uploader_world.settings.jobs.count = own;
}

static struct slice local_address(char *text, size_t size, int i) {
    snprintf(text, size, "ipc://%s/p%d", uploader_world.dir, i);
    return slice_of(text);
}

static void test_the_producers_that_the_consumer_names_are_served(void **state) {
    (void)state;
    char text[300];
    struct slice address = local_address(text, sizeof text, 1);
    hear_jobs(&address, 1);
    assert_int_equal(up()->offer_sockets.count, 1);
    assert_string_equal(up()->offer_sockets.items[0].address, text);
}

static void test_with_jobs_given_the_consumers_list_is_ignored(void **state) {
    (void)state;
    char text[300];
    struct slice address = local_address(text, sizeof text, 1);
    const struct msg_beat beat = {.jobs = &address, .jobs_count = 1};
    world_hear_beat(0, &beat);
    assert_int_equal(up()->offer_sockets.count, 1);
    assert_string_not_equal(up()->offer_sockets.items[0].address, text);
}

static void test_a_draining_uploader_serves_no_new_producer(void **state) {
    (void)state;
    char text[300];
    struct slice address = local_address(text, sizeof text, 1);
    up()->draining = true;
    hear_jobs(&address, 1);
    assert_string_not_equal(up()->offer_sockets.items[0].address, text);
}

static void test_of_too_many_producers_the_first_are_served_and_it_is_logged(void **state) {
    (void)state;
    static char texts[OFFER_SOCKETS_MAX + 9][300];
    static struct capture seen;
    struct slice addresses[OFFER_SOCKETS_MAX + 9];
    for (int i = 0; i < OFFER_SOCKETS_MAX + 9; i++)
        addresses[i] = local_address(texts[i], sizeof texts[i], i);
    log_setup("test", LOG_WARN, false);
    capture_begin(&seen, STDERR_FILENO);
    hear_jobs(addresses, OFFER_SOCKETS_MAX);
    assert_string_equal(capture_end(&seen), "");
    capture_begin(&seen, STDERR_FILENO);
    hear_jobs(addresses, OFFER_SOCKETS_MAX + 9);
    assert_non_null(strstr(capture_end(&seen), "more than 32 producers"));
    assert_int_equal(up()->offer_sockets.count, OFFER_SOCKETS_MAX);
    assert_string_equal(up()->offer_sockets.items[OFFER_SOCKETS_MAX - 1].address, texts[OFFER_SOCKETS_MAX - 1]);
}

static void test_a_producer_without_a_key_is_logged_once(void **state) {
    (void)state;
    static struct capture seen;
    struct slice one = slice_of("tcp://127.0.0.1:1"), two = slice_of("tcp://127.0.0.1:2");
    capture_begin(&seen, STDERR_FILENO);
    hear_jobs(&one, 1);
    assert_non_null(strstr(capture_end(&seen), "tcp://127.0.0.1:1"));
    assert_int_equal(up()->offer_sockets.count, 0);
    capture_begin(&seen, STDERR_FILENO);
    hear_jobs(&one, 1);
    assert_string_equal(capture_end(&seen), "");
    assert_int_equal(up()->offer_sockets.count, 0);
    capture_begin(&seen, STDERR_FILENO);
    hear_jobs(&two, 1);
    assert_non_null(strstr(capture_end(&seen), "tcp://127.0.0.1:2"));
}

static void test_the_log_of_unknown_producers_is_bounded(void **state) {
    (void)state;
    static struct capture seen;
    char text[64];
    capture_begin(&seen, STDERR_FILENO);
    for (int i = 0; i < UNKNOWN_PRODUCERS_MAX + 3; i++) {
        snprintf(text, sizeof text, "tcp://127.0.0.1:%d", i + 1);
        struct slice address = slice_of(text);
        hear_jobs(&address, 1);
    }
    const char *log = capture_end(&seen);
    assert_non_null(strstr(log, "tcp://127.0.0.1:32"));
    assert_null(strstr(log, "tcp://127.0.0.1:33"));
    assert_int_equal(up()->unknown_producer_count, UNKNOWN_PRODUCERS_MAX);
    assert_int_equal(up()->offer_sockets.count, 0);
}

/* --- BEAT --- */

/* Sends a HEARTBEAT that lists the leases; its number. */
static uint64_t heartbeat(void) {
    world_flush();
    return up()->heartbeat_number;
}

static void test_a_beat_renews_the_listed_leases(void **state) { /* rule 5 */
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->lease.deadline_ms = up()->now_ms + 100;
    uint64_t number = heartbeat();
    world_hear_beat(number, &(struct msg_beat){.limits = false});
    assert_true(e->lease.deadline_ms > up()->now_ms + 100);
    assert_int_equal(e->task.lease_deadline_ms, e->lease.deadline_ms);
}

static void test_a_beat_does_not_revive_an_ended_lease(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    e->lease.deadline_ms = up()->now_ms + 100;
    uint64_t number = heartbeat();
    up()->now_ms += 100;
    world_hear_beat(number, &(struct msg_beat){.limits = false});
    assert_int_equal(e->lease.deadline_ms, up()->now_ms);
}

static void test_a_beat_does_not_renew_a_lease_its_heartbeat_did_not_list(void **state) {
    (void)state;
    struct job one = world_job(JOB_PUT, 1), two = world_job(JOB_STAT, 2);
    struct task_entry *first = world_grant(&one);
    uint64_t before = heartbeat();
    struct task_entry *second = world_grant(&two);
    uint64_t both = heartbeat();
    first->lease.deadline_ms = second->lease.deadline_ms = up()->now_ms + 100;
    world_hear_beat(before, &(struct msg_beat){.limits = false});
    assert_int_equal(second->lease.deadline_ms, up()->now_ms + 100);
    assert_true(first->lease.deadline_ms > up()->now_ms + 100);
    world_hear_beat(both, &(struct msg_beat){.limits = false});
    assert_true(second->lease.deadline_ms > up()->now_ms + 100);
}

static void test_a_beat_does_not_renew_a_lease_that_an_older_heartbeat_listed(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    heartbeat();
    e->reclaim = true; /* not listed now */
    uint64_t number = heartbeat();
    e->reclaim = false;
    e->lease.deadline_ms = up()->now_ms + 100;
    world_hear_beat(number, &(struct msg_beat){.limits = false});
    assert_int_equal(e->lease.deadline_ms, up()->now_ms + 100);
}

static void hear_invalid(uint64_t number, const struct job *j) {
    struct ref ref = j->ref;
    world_hear_beat(number, &(struct msg_beat){.invalid = &ref, .invalid_count = 1});
}

static void test_an_invalid_lease_is_released(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    uint64_t sent_ms;
    uint64_t number = heartbeat();
    assert_true(sent_log_find(&up()->sent, number, &sent_ms));
    e->lease.asked_ms = sent_ms; /* claimed before the HEARTBEAT in the same millisecond */
    hear_invalid(number, &put);
    assert_null(world_find(&put));
    assert_int_equal(world_released()->why, WHY_HELD);
    assert_int_equal(uploader_world.cancelled, 1);
}

static void test_a_lease_claimed_after_the_heartbeat_is_not_meant(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    uint64_t sent_ms;
    uint64_t number = heartbeat();
    assert_true(sent_log_find(&up()->sent, number, &sent_ms));
    e->lease.asked_ms = sent_ms + 1;
    hear_invalid(number, &put);
    assert_non_null(world_find(&put));
}

static void test_an_invalid_lease_of_an_unknown_heartbeat_is_ignored(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_run(&put);
    hear_invalid(heartbeat() + 100, &put);
    assert_non_null(world_find(&put));
}

static void test_unknown_jobs_in_a_beat_are_ignored(void **state) {
    (void)state;
    struct ref unknown = {.kind = JOB_PUT, .upload = {{9}}};
    uint64_t number = heartbeat();
    world_hear_beat(number, &(struct msg_beat){.invalid = &unknown,
                                               .invalid_count = 1,
                                               .lost = &unknown,
                                               .lost_count = 1,
                                               .unwanted = &unknown,
                                               .unwanted_count = 1});
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_lease_that_is_claimed_again_is_not_lost(void **state) { /* rule 6: the answer to its claim decides */
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->reclaim = true;
    struct ref ref = put.ref;
    world_hear_beat(0, &(struct msg_beat){.lost = &ref, .lost_count = 1});
    assert_non_null(world_find(&put));
}

static void test_a_claim_without_a_lease_is_not_lost(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    assert_non_null(tasks_add(&up()->tasks, &put, false));
    struct ref ref = put.ref;
    world_hear_beat(0, &(struct msg_beat){.lost = &ref, .lost_count = 1});
    assert_non_null(world_find(&put));
}

static void test_unwanted_jobs_are_released_unless_they_run(void **state) {
    (void)state;
    struct job one = world_job(JOB_PUT, 1), two = world_job(JOB_STAT, 2);
    struct task_entry *e = world_run(&one);
    world_grant(&two);
    struct ref refs[2] = {one.ref, two.ref};
    world_hear_beat(0, &(struct msg_beat){.unwanted = refs, .unwanted_count = 2});
    assert_int_equal(e->state, TASK_RUNNING);
    assert_null(world_find(&two));
    assert_int_equal(up()->releases.count, 1);
    assert_int_equal(world_released()->why, WHY_DRAIN);
}

static void test_a_beat_with_limits_relieves_a_location(void **state) {
    (void)state;
    struct slice location = slice_of(uploader_world.file_url);
    const struct trouble_failure f = {.own = OWN_MAYBE, .class = FAIL_DENIED, .error = "403", .at_once = true};
    troubles_note(&up()->troubles, location, &f, up()->now_ms);
    up()->tick_ms = up()->now_ms + 500;
    world_hear_beat(0, &(struct msg_beat){.relieved = &location, .relieved_count = 1});
    assert_null(
        troubles_block(&up()->troubles, location, up()->now_ms)); /* without limits: the last BEAT stays in force */
    assert_int_equal(up()->tick_ms, up()->now_ms + 500);
    world_hear_beat(0, &(struct msg_beat){.limits = true, .relieved = &location, .relieved_count = 1});
    assert_non_null(troubles_block(&up()->troubles, location, up()->now_ms));
    assert_int_equal(up()->tick_ms, up()->now_ms);
}

/* --- PARTLIST --- */

static struct part parts[WORLD_CHUNKS];

static void hear_parts(const struct job *finish, uint32_t from, uint32_t chunks, size_t count) {
    for (uint32_t i = 0; i < WORLD_CHUNKS; i++)
        parts[i] = (struct part){.chunk = i, .length = WORLD_CHUNK, .etag = slice_of("e")};
    struct msg m = {
        .type = MSG_PARTLIST,
        .partlist = {
            .upload = finish->ref.upload, .from = from, .chunks = chunks, .parts = &parts[from], .part_count = count}};
    world_hear(&m);
}

static void test_a_complete_part_list_queues_the_finish(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = world_grant(&finish);
    e->asked_ms = 5;
    hear_parts(&finish, 0, WORLD_CHUNKS, 2);
    assert_int_equal(e->state, TASK_PARTS);
    assert_int_equal(e->asked_ms, 0); /* the next page is asked for at once */
    hear_parts(&finish, 2, WORLD_CHUNKS, 1);
    assert_int_equal(e->state, TASK_QUEUED);
    assert_int_equal(e->task.part_count, WORLD_CHUNKS);
}

static void test_a_repeated_page_is_ignored(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = world_grant(&finish);
    hear_parts(&finish, 0, WORLD_CHUNKS, 2);
    hear_parts(&finish, 0, WORLD_CHUNKS, 2);
    assert_ptr_equal(world_find(&finish), e);
    assert_int_equal(e->parts_received, 2);
    hear_parts(&finish, 2, WORLD_CHUNKS, 1);
    hear_parts(&finish, 0, 0, 0); /* of the time before its list was complete */
    assert_int_equal(e->state, TASK_QUEUED);
}

static void test_a_part_list_of_an_unknown_job_is_ignored(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    hear_parts(&finish, 0, WORLD_CHUNKS, 2);
    assert_int_equal(tasks_count(&up()->tasks), 0);
}

static void test_an_upload_that_the_consumer_does_not_know_is_released(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    world_grant(&finish);
    hear_parts(&finish, 0, 0, 0);
    assert_null(world_find(&finish));
    assert_int_equal(world_released()->why, WHY_UNKNOWN);
}

static void test_a_page_without_parts_releases_the_finish(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    world_grant(&finish);
    hear_parts(&finish, 0, WORLD_CHUNKS, 0);
    assert_int_equal(world_released()->why, WHY_LATER);
}

static void test_a_page_of_another_length_releases_the_finish(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    world_grant(&finish);
    hear_parts(&finish, 0, WORLD_CHUNKS + 1, 2);
    assert_int_equal(world_released()->why, WHY_LATER);
}

/* --- ACK --- */

static void hear_ack(const struct job *j, enum ack_kind kind, enum why why, const char *handle) {
    struct ack a = {.ref = j->ref,
                    .outcome = OUTCOME_DONE,
                    .kind = kind,
                    .why = why,
                    .seq = kind == ACK_RECORDED ? 5 : 0,
                    .handle = slice_of(handle)};
    struct msg m = {.type = MSG_ACK, .ack = {&a, 1}};
    world_hear(&m);
}

/* A job that ended with the handle "own"; the number of aborts that its acknowledgement starts. */
static uint32_t aborts_after(enum job_kind kind, enum outcome outcome, enum ack_kind ack, enum why why,
                             const char *handle) {
    struct job j = world_job(kind, 1);
    const struct result r = {.ref = j.ref, .target = j.target, .outcome = outcome, .handle = slice_of("own")};
    assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
    struct ack a = {.ref = j.ref, .outcome = outcome, .kind = ack, .why = why, .handle = slice_of(handle)};
    struct msg m = {.type = MSG_ACK, .ack = {&a, 1}};
    world_hear(&m);
    assert_int_equal(up()->reports.count, 0);
    return up()->tasks.counts[TASK_QUEUED];
}

static void test_a_begin_that_lost_is_aborted(void **state) { /* rule 10 */
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_RECORDED, WHY_NONE, "another"), 1);
    struct task_entry *e = list_entry(up()->tasks.lists[TASK_QUEUED].next, struct task_entry, node);
    assert_true(e->own_abort);
    assert_true(slice_equal(e->task.job.handle, slice_of("own")));
    transfers_start(up());
    assert_int_equal(uploader_world.started, 1);
}

static void test_a_begin_that_was_recorded_is_kept(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_RECORDED, WHY_NONE, "own"), 0);
}

static void test_a_recorded_begin_without_a_handle_is_kept(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_RECORDED, WHY_STALE, ""), 0);
}

static void test_a_refused_begin_of_an_ended_upload_is_aborted(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_REFUSED, WHY_ENDED, ""), 1);
}

static void test_a_refused_begin_of_an_old_plan_is_aborted(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_REFUSED, WHY_STALE, ""), 1);
}

static void test_a_begin_refused_for_another_reason_is_kept(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_REFUSED, WHY_UNKNOWN, ""), 0);
}

static void test_a_refused_begin_with_the_recorded_handle_is_kept(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_DONE, ACK_REFUSED, WHY_STALE, "own"), 0);
}

static void test_a_begin_that_failed_left_nothing_to_abort(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_BEGIN, OUTCOME_FAILED, ACK_RECORDED, WHY_NONE, "another"), 0);
}

static void test_only_a_begin_is_aborted(void **state) {
    (void)state;
    assert_int_equal(aborts_after(JOB_FINISH, OUTCOME_DONE, ACK_RECORDED, WHY_NONE, "another"), 0);
}

static void test_a_second_ack_is_ignored(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    hear_ack(&begin, ACK_RECORDED, WHY_NONE, "another");
    assert_int_equal(tasks_count(&up()->tasks), 0);
}

/* --- ERROR --- */

static const char *hear_error(enum protocol_error code) {
    static struct capture seen;
    struct msg m = {.type = MSG_ERROR, .error = {.code = code, .text = slice_of("the reason")}};
    log_setup("test", LOG_WARN, false);
    capture_begin(&seen, STDERR_FILENO);
    world_hear(&m);
    return capture_end(&seen);
}

static void test_a_consumer_that_refuses_the_uploader_ends_it(void **state) {
    (void)state;
    assert_non_null(strstr(hear_error(PROTOCOL_ROLE), "refuses this uploader: the reason"));
    assert_true(up()->ended);
    assert_int_equal(up()->status, EXIT_UNUSABLE);
}

static void test_a_consumer_of_another_version_ends_it(void **state) {
    (void)state;
    assert_non_null(strstr(hear_error(PROTOCOL_VERSION), "refuses this uploader"));
    assert_true(up()->ended);
}

static void test_a_consumer_of_another_journal_ends_it(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_end_done(world_run(&put));
    const char *log = hear_error(PROTOCOL_JOURNAL);
    assert_non_null(strstr(log, "serves another journal now"));
    assert_non_null(strstr(log, "not acknowledged: put"));
    assert_true(up()->ended);
    assert_int_equal(up()->status, EXIT_UNUSABLE);
}

static void test_another_error_is_logged_once(void **state) {
    (void)state;
    assert_non_null(strstr(hear_error(PROTOCOL_TOO_MANY), "the consumer says: the reason"));
    assert_string_equal(hear_error(PROTOCOL_TOO_MANY), "");
    assert_false(up()->ended);
}

static void test_the_end_of_the_consumer_is_logged(void **state) {
    (void)state;
    assert_non_null(strstr(hear_error(PROTOCOL_STOPPING), "the reason"));
}

static void test_the_end_of_its_consumer_is_logged_by_cp_itself(void **state) {
    (void)state;
    uploader_world.settings.for_cp = true;
    assert_string_equal(hear_error(PROTOCOL_STOPPING), "");
    up()->error_logged = false;
    assert_non_null(strstr(hear_error(PROTOCOL_TOO_MANY), "the reason"));
}

UNIT_MAIN(
    WORLD_TEST(test_the_producers_that_the_consumer_names_are_served),
    WORLD_TEST(test_with_jobs_given_the_consumers_list_is_ignored),
    WORLD_TEST(test_a_draining_uploader_serves_no_new_producer),
    WORLD_TEST(test_of_too_many_producers_the_first_are_served_and_it_is_logged),
    WORLD_TEST(test_a_producer_without_a_key_is_logged_once), WORLD_TEST(test_the_log_of_unknown_producers_is_bounded),
    WORLD_TEST(test_a_beat_renews_the_listed_leases), WORLD_TEST(test_a_beat_does_not_revive_an_ended_lease),
    WORLD_TEST(test_a_beat_does_not_renew_a_lease_its_heartbeat_did_not_list),
    WORLD_TEST(test_a_beat_does_not_renew_a_lease_that_an_older_heartbeat_listed),
    WORLD_TEST(test_an_invalid_lease_is_released), WORLD_TEST(test_a_lease_claimed_after_the_heartbeat_is_not_meant),
    WORLD_TEST(test_an_invalid_lease_of_an_unknown_heartbeat_is_ignored),
    WORLD_TEST(test_unknown_jobs_in_a_beat_are_ignored), WORLD_TEST(test_a_lease_that_is_claimed_again_is_not_lost),
    WORLD_TEST(test_a_claim_without_a_lease_is_not_lost), WORLD_TEST(test_unwanted_jobs_are_released_unless_they_run),
    WORLD_TEST(test_a_beat_with_limits_relieves_a_location), WORLD_TEST(test_a_complete_part_list_queues_the_finish),
    WORLD_TEST(test_a_repeated_page_is_ignored), WORLD_TEST(test_a_part_list_of_an_unknown_job_is_ignored),
    WORLD_TEST(test_an_upload_that_the_consumer_does_not_know_is_released),
    WORLD_TEST(test_a_page_without_parts_releases_the_finish),
    WORLD_TEST(test_a_page_of_another_length_releases_the_finish), WORLD_TEST(test_a_begin_that_lost_is_aborted),
    WORLD_TEST(test_a_begin_that_was_recorded_is_kept), WORLD_TEST(test_a_recorded_begin_without_a_handle_is_kept),
    WORLD_TEST(test_a_refused_begin_of_an_ended_upload_is_aborted),
    WORLD_TEST(test_a_refused_begin_of_an_old_plan_is_aborted),
    WORLD_TEST(test_a_begin_refused_for_another_reason_is_kept),
    WORLD_TEST(test_a_refused_begin_with_the_recorded_handle_is_kept),
    WORLD_TEST(test_a_begin_that_failed_left_nothing_to_abort), WORLD_TEST(test_only_a_begin_is_aborted),
    WORLD_TEST(test_a_second_ack_is_ignored), WORLD_TEST(test_a_consumer_that_refuses_the_uploader_ends_it),
    WORLD_TEST(test_a_consumer_of_another_version_ends_it), WORLD_TEST(test_a_consumer_of_another_journal_ends_it),
    WORLD_TEST(test_another_error_is_logged_once), WORLD_TEST(test_the_end_of_the_consumer_is_logged),
    WORLD_TEST(test_the_end_of_its_consumer_is_logged_by_cp_itself))
