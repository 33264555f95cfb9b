/* Offers (rule 2): which jobs are taken, which are declined and why, and the offers that arrive during the drain. */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

static struct offer_socket *socket_of_producer(void) {
    return &up()->offer_sockets.items[0];
}

static void test_an_offered_job_is_taken(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_offer(&put, 1, NULL);
    assert_int_equal(world_find(&put)->state, TASK_WANTED);
    assert_int_equal(up()->last_kind, JOB_PUT);
    assert_int_equal(socket_of_producer()->cost, OFFER_JOB_COST + WORLD_SIZE);
    assert_int_equal(up()->releases.count, 0);
}

/* The memory of the OFFER is gone when the job is done. */
static void test_a_delete_keeps_its_own_copy_of_its_keys(void **state) {
    (void)state;
    char urls[3][400];
    struct slice keys[3];
    struct job j = world_job(JOB_DELETE, 1);
    for (size_t i = 0; i < 3; i++) {
        snprintf(urls[i], sizeof urls[i], "%sfile-%zu", uploader_world.file_url, i);
        keys[i] = slice_of(urls[i]);
    }
    j.target.dest = keys[0];
    world_set_keys(&j, keys, 3);
    world_offer(&j, 1, NULL);
    const struct job *kept = &world_find(&j)->task.job;
    assert_int_equal(kept->key_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(slice_equal(kept->keys[i], keys[i]) && kept->keys[i].ptr != keys[i].ptr);
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_delete_that_leaves_its_destination_is_declined(void **state) {
    (void)state;
    struct job j = world_job(JOB_DELETE, 1);
    const struct slice keys[] = {j.target.dest, slice_of("file:///etc/passwd")};
    world_set_keys(&j, keys, 2);
    world_offer(&j, 1, NULL);
    assert_null(world_find(&j));
    assert_int_equal(world_released()->why, WHY_NOT_HERE);
}

static void test_a_delete_whose_keys_contradict_its_target_is_dropped(void **state) {
    (void)state;
    struct job j = world_job(JOB_DELETE, 1), put = world_job(JOB_PUT, 2);
    const struct slice keys[] = {slice_of("s3://bucket/a"), j.target.dest};
    world_set_keys(&j, keys, 2);
    world_offer(&j, 1, NULL);
    world_set_keys(&j, keys, 0);
    world_offer(&j, 1, NULL);
    world_set_keys(&put, &put.target.dest, 1);
    world_offer(&put, 1, NULL);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_begin_announces_chunks(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1), begin = world_job(JOB_BEGIN, 2);
    world_offer(&put, 1, NULL);
    world_offer(&begin, 1, NULL);
    assert_int_equal(up()->last_kind, JOB_CHUNK);
}

static void test_a_job_that_is_here_already_is_not_taken_twice(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_offer(&put, 1, NULL);
    world_offer(&put, 1, NULL);
    assert_int_equal(tasks_count(&up()->tasks), 1);
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_job_whose_result_waits_is_not_taken_again(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_end_done(world_run(&put));
    world_offer(&put, 1, NULL);
    assert_int_equal(tasks_count(&up()->tasks), 0);
    assert_int_equal(up()->releases.count, 0);
}

static void test_jobs_beyond_the_free_slots_are_declined(void **state) {
    (void)state;
    struct job jobs[WORLD_SLOTS + 2];
    for (uint8_t i = 0; i < WORLD_SLOTS + 2; i++)
        jobs[i] = world_job(JOB_PUT, (uint8_t)(i + 1));
    world_offer(jobs, WORLD_SLOTS + 2, NULL); /* one may be claimed ahead */
    assert_int_equal(tasks_count(&up()->tasks), WORLD_SLOTS + 1);
    assert_int_equal(up()->releases.count, 1);
    assert_int_equal(world_released()->why, WHY_FULL_SLOTS);
    assert_int_equal(socket_of_producer()->declined, 0);
}

static void test_without_a_free_slot_offers_stay_in_the_queue(void **state) {
    (void)state;
    for (uint8_t i = 1; i <= WORLD_SLOTS + 1; i++) {
        struct job put = world_job(JOB_PUT, i);
        assert_non_null(tasks_add(&up()->tasks, &put, false));
    }
    struct job put = world_job(JOB_PUT, 9);
    world_offer(&put, 1, NULL);
    assert_int_equal(up()->releases.count, 0);
    struct task_entry *e = list_entry(up()->tasks.lists[TASK_WANTED].next, struct task_entry, node);
    tasks_remove(&up()->tasks, &e);
    intake_offers(up());
    assert_non_null(world_find(&put));
}

static void test_an_invalid_job_is_dropped_and_the_socket_stays(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.length++;
    for (int i = 0; i < 9; i++)
        world_offer(&put, 1, NULL);
    assert_int_equal(up()->releases.count, 0);
    assert_non_null(socket_of_producer()->endpoint);
}

static void test_offers_that_last_declines_answer_close_the_socket(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.target.dest = slice_of("file:///elsewhere");
    for (int i = 0; i < 8; i++) {
        assert_non_null(socket_of_producer()->endpoint);
        world_offer(&put, 1, NULL);
    }
    assert_null(socket_of_producer()->endpoint);
    assert_int_equal(world_released()->why, WHY_NOT_HERE);
}

static void test_one_job_that_is_taken_keeps_the_socket(void **state) {
    (void)state;
    struct job jobs[2] = {world_job(JOB_PUT, 1), world_job(JOB_PUT, 2)};
    jobs[1].target.dest = slice_of("file:///elsewhere");
    world_offer(jobs, 2, NULL);
    assert_int_equal(socket_of_producer()->declined, 0);
}

static void test_an_empty_offer_is_no_decline(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_offer(&put, 0, NULL);
    assert_int_equal(socket_of_producer()->declined, 0);
}

static void test_declined_jobs_are_a_note_in_the_heartbeat(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.source.path = slice_of("/etc/passwd");
    world_offer(&put, 1, NULL);
    world_flush();
    const struct msg_heartbeat *h = &world_sent(MSG_HEARTBEAT, 0)->heartbeat;
    assert_int_equal(h->trouble_count, 1);
    assert_true(slice_equal(h->troubles[0].location, slice_of(uploader_world.file_url)));
}

/* --- troubles and pauses --- */

static void fail_here(enum own_failure own, bool relieved) {
    struct slice location = slice_of(uploader_world.file_url);
    const struct trouble_failure f = {.own = own, .class = FAIL_FULL, .error = "no space", .at_once = true};
    troubles_note(&up()->troubles, location, &f, up()->now_ms);
    if (relieved)
        (void)troubles_relieve(&up()->troubles, &location, 1);
}

static void test_a_job_at_a_location_in_trouble_goes_to_another_uploader(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    fail_here(OWN_MAYBE, true);
    world_offer(&put, 1, NULL);
    assert_null(world_find(&put));
    const struct released *r = world_released();
    assert_int_equal(r->why, WHY_NOT_HERE);
    assert_int_equal(r->own, OWN_MAYBE);
    assert_int_equal(r->class, FAIL_FULL);
    assert_int_equal(socket_of_producer()->declined, 1); /* this socket may be left */
}

static void test_without_another_uploader_each_job_is_declined(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    fail_here(OWN_SURE, false);
    world_offer(&put, 1, NULL);
    assert_int_equal(world_released()->own, OWN_SURE);
    assert_int_equal(socket_of_producer()->declined, 0); /* the socket stays */
}

static void test_the_first_job_after_a_pause_is_the_trial(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1), other = world_job(JOB_PUT, 2);
    fail_here(OWN_SURE, false);
    up()->now_ms += TROUBLE_OUT_MIN_MS;
    world_offer(&put, 1, NULL);
    assert_non_null(world_find(&put));
    world_offer(&other, 1, NULL);
    assert_null(world_find(&other));
}

static void test_a_job_for_a_paused_endpoint_is_declined_for_that_time(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    job_endpoint(up(), &put)->retry_until_ms = up()->now_ms + 1234;
    world_offer(&put, 1, NULL);
    assert_null(world_find(&put));
    assert_int_equal(world_released()->why, WHY_BACKOFF);
    assert_int_equal(world_released()->after_ms, 1234);
    assert_int_equal(socket_of_producer()->declined, 1);
}

static void test_a_job_is_taken_when_the_pause_is_over(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    job_endpoint(up(), &put)->retry_until_ms = up()->now_ms;
    world_offer(&put, 1, NULL);
    assert_non_null(world_find(&put));
}

/* --- the producer's data address --- */

static void test_a_source_of_another_host_is_taken_with_a_data_address(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.source.path = slice_of("/not/here");
    char data[300];
    snprintf(data, sizeof data, "ipc://%s/j", uploader_world.dir); /* a socket that exists */
    world_offer(&put, 1, data);
    assert_non_null(world_find(&put));
    assert_string_equal(world_find(&put)->data, data);
}

static void test_a_data_address_that_cannot_be_reached_is_none(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_offer(&put, 1, "ipc:///there/is/no/such/socket");
    assert_null(world_find(&put)->data);
}

/* --- messages that are no offers --- */

static void test_other_messages_at_the_jobs_socket_are_dropped(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct msg m = {.type = MSG_BYE, .journal = uploader_world.journal, .sender = {{1}}, .number = 1};
    struct buf out = BUF_INIT;
    world_offer(&put, 1, NULL); /* it is connected now */
    assert_int_equal(msg_encode(&m, &out), 0);
    world_push(buf_slice(&out));
    intake_offers(up());
    world_push(slice_of("garbage"));
    intake_offers(up());
    buf_release(&out);
    assert_int_equal(tasks_count(&up()->tasks), 1);
}

static void test_a_job_that_is_offered_again_is_no_reason_to_leave_a_producer(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    for (int i = 0; i < 20; i++) {
        world_offer(&put, 1, NULL);
        assert_non_null(up()->offer_sockets.items[0].endpoint);
    }
    assert_int_equal(tasks_count(&up()->tasks), 1);
}

/* The time of a chunk allows more jobs ahead than that of other jobs. */
static void test_a_lack_of_slots_is_no_reason_to_leave_a_producer(void **state) {
    (void)state;
    struct job jobs[3] = {world_job(JOB_STAT, 1), world_job(JOB_STAT, 2), world_job(JOB_STAT, 3)};
    pace_note(&up()->pace, JOB_CHUNK, 1);
    pace_note(&up()->pace, JOB_STAT, 60000000);
    for (size_t i = 0; i < 3; i++)
        world_grant(&jobs[i]);
    for (uint8_t i = 0; i < 20; i++) {
        struct job stat = world_job(JOB_STAT, (uint8_t)(10 + i));
        up()->last_kind = JOB_CHUNK;
        world_offer(&stat, 1, NULL);
        assert_int_equal(up()->releases.count, i + 1);
        assert_non_null(up()->offer_sockets.items[0].endpoint);
    }
    assert_int_equal(world_released()->why, WHY_FULL_SLOTS);
}

/* --- the drain --- */

static void begin_drain(void) {
    up()->draining = true;
    up()->drain_ms = up()->now_ms;
}

static void decline_offers(const struct job *jobs, size_t count, uint64_t *wake_ms) {
    world_offer(jobs, count, NULL); /* nothing is read: it drains */
    intake_end_offers(up(), wake_ms);
}

static void test_offers_during_the_drain_are_declined_and_the_socket_closes_soon(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uint64_t wake_ms = UINT64_MAX;
    begin_drain();
    up()->now_ms += 199;
    decline_offers(&put, 1, &wake_ms);
    assert_int_equal(world_released()->why, WHY_DRAIN);
    assert_int_equal(wake_ms, up()->now_ms + 1);
    assert_int_equal(up()->offer_sockets.count, 1);
    up()->now_ms += 1;
    intake_end_offers(up(), &wake_ms);
    assert_int_equal(up()->offer_sockets.count, 0);
}

static void test_offers_of_jobs_that_are_here_are_not_declined(void **state) {
    (void)state;
    struct job jobs[2] = {world_job(JOB_PUT, 1), world_job(JOB_STAT, 2)};
    uint64_t wake_ms = UINT64_MAX;
    world_end_done(world_run(&jobs[1])); /* its result waits */
    world_run(&jobs[0]);
    begin_drain();
    decline_offers(jobs, 2, &wake_ms);
    assert_int_equal(up()->releases.count, 0);
}

static void test_offers_of_another_journal_are_not_declined_in_the_drain(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uint64_t wake_ms = UINT64_MAX;
    begin_drain();
    uploader_world.journal.b[0] ^= 1;
    decline_offers(&put, 1, &wake_ms);
    assert_int_equal(up()->releases.count, 0);
}

static void test_an_offer_from_before_the_drain_is_not_declined(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uint64_t wake_ms = UINT64_MAX;
    world_offer(&put, 1, NULL);
    begin_drain();
    transfers_drain(up());
    assert_int_equal(up()->releases.count, 1);
    intake_end_offers(up(), &wake_ms);
    assert_int_equal(up()->releases.count, 1);
}

static void test_other_messages_during_the_drain_are_dropped(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct msg m = {.type = MSG_BYE, .journal = uploader_world.journal, .sender = {{1}}, .number = 1};
    struct buf out = BUF_INIT;
    uint64_t wake_ms = UINT64_MAX;
    begin_drain();
    decline_offers(&put, 1, &wake_ms);
    assert_int_equal(msg_encode(&m, &out), 0);
    world_push(buf_slice(&out));
    intake_end_offers(up(), &wake_ms);
    world_push(slice_of("garbage"));
    intake_end_offers(up(), &wake_ms);
    buf_release(&out);
    assert_int_equal(up()->releases.count, 1);
}

UNIT_MAIN(WORLD_TEST(test_an_offered_job_is_taken), WORLD_TEST(test_a_begin_announces_chunks),
          WORLD_TEST(test_a_delete_keeps_its_own_copy_of_its_keys),
          WORLD_TEST(test_a_delete_that_leaves_its_destination_is_declined),
          WORLD_TEST(test_a_delete_whose_keys_contradict_its_target_is_dropped),
          WORLD_TEST(test_a_job_that_is_here_already_is_not_taken_twice),
          WORLD_TEST(test_a_job_whose_result_waits_is_not_taken_again),
          WORLD_TEST(test_jobs_beyond_the_free_slots_are_declined),
          WORLD_TEST(test_without_a_free_slot_offers_stay_in_the_queue),
          WORLD_TEST(test_an_invalid_job_is_dropped_and_the_socket_stays),
          WORLD_TEST(test_offers_that_last_declines_answer_close_the_socket),
          WORLD_TEST(test_one_job_that_is_taken_keeps_the_socket), WORLD_TEST(test_an_empty_offer_is_no_decline),
          WORLD_TEST(test_a_job_that_is_offered_again_is_no_reason_to_leave_a_producer),
          WORLD_TEST(test_a_lack_of_slots_is_no_reason_to_leave_a_producer),
          WORLD_TEST(test_an_offer_from_before_the_drain_is_not_declined),
          WORLD_TEST(test_declined_jobs_are_a_note_in_the_heartbeat),
          WORLD_TEST(test_a_job_at_a_location_in_trouble_goes_to_another_uploader),
          WORLD_TEST(test_without_another_uploader_each_job_is_declined),
          WORLD_TEST(test_the_first_job_after_a_pause_is_the_trial),
          WORLD_TEST(test_a_job_for_a_paused_endpoint_is_declined_for_that_time),
          WORLD_TEST(test_a_job_is_taken_when_the_pause_is_over),
          WORLD_TEST(test_a_source_of_another_host_is_taken_with_a_data_address),
          WORLD_TEST(test_a_data_address_that_cannot_be_reached_is_none),
          WORLD_TEST(test_other_messages_at_the_jobs_socket_are_dropped),
          WORLD_TEST(test_offers_during_the_drain_are_declined_and_the_socket_closes_soon),
          WORLD_TEST(test_offers_of_jobs_that_are_here_are_not_declined),
          WORLD_TEST(test_offers_of_another_journal_are_not_declined_in_the_drain),
          WORLD_TEST(test_other_messages_during_the_drain_are_dropped))
