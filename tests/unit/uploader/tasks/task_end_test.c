/* A task leaves: the report or release for the consumer, and the slot that becomes free. */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

/* --- leaving --- */

static void test_a_task_that_runs_frees_its_slot(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    assert_int_equal(up()->limiter.active, 1);
    up()->heartbeat_wanted = false;
    world_end_done(e);
    assert_int_equal(up()->limiter.active, 0);
    assert_true(up()->heartbeat_wanted); /* the free slot is reported */
}

static void leaves_from(enum task_state state) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    tasks_move(&up()->tasks, e, state);
    task_remove(up(), &e);
    assert_int_equal(up()->limiter.active, 0);
}

static void test_a_task_that_waits_for_its_source_frees_its_slot(void **state) {
    (void)state;
    leaves_from(TASK_SOURCE);
}

static void test_a_task_that_waits_for_its_next_attempt_frees_its_slot(void **state) {
    (void)state;
    leaves_from(TASK_BACKOFF);
}

static void test_a_task_in_the_queue_holds_no_slot(void **state) {
    (void)state;
    struct job one = world_job(JOB_PUT, 1), two = world_job(JOB_PUT, 2);
    world_run(&one);
    struct task_entry *e = world_grant(&two);
    up()->heartbeat_wanted = false;
    task_remove(up(), &e);
    assert_int_equal(up()->limiter.active, 1);
    assert_int_equal(up()->limiter.pending, 0);
    assert_false(up()->heartbeat_wanted);
}

static void test_a_dropped_transfer_is_cancelled_and_its_bytes_are_counted(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->sent_bytes = 100; /* of an earlier attempt */
    e->task.moved_bytes = 30;
    task_drop(up(), &e, WHY_NO_PROGRESS, 700, "its lease ended");
    assert_null(e);
    assert_int_equal(uploader_world.cancelled, 1);
    assert_int_equal(up()->sent_bytes, 30);
    const struct released *r = world_released();
    assert_int_equal(r->bytes, 130);
    assert_int_equal(r->after_ms, 700);
    assert_true(slice_equal(r->detail, slice_of("its lease ended")));
}

static void test_a_dropped_task_that_does_not_run_is_not_cancelled(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    task_drop(up(), &e, WHY_DRAIN, 0, NULL);
    assert_int_equal(uploader_world.cancelled, 0);
    assert_int_equal(up()->releases.count, 1);
}

static void test_a_task_can_leave_without_a_word(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    task_drop(up(), &e, WHY_NONE, 0, NULL);
    assert_int_equal(up()->releases.count, 0);
}

static struct task_entry *own_abort(void) {
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct report r = {.result = {.ref = begin.ref, .target = begin.target, .handle = slice_of("lost")}};
    transfers_abort_own(up(), &r);
    transfers_start(up());
    return list_entry(up()->tasks.lists[TASK_RUNNING].next, struct task_entry, node);
}

static void test_an_own_abort_is_never_released(void **state) {
    (void)state;
    struct task_entry *e = own_abort();
    task_drop(up(), &e, WHY_NO_PROGRESS, 0, NULL);
    assert_int_equal(up()->releases.count, 0);
    assert_int_equal(uploader_world.cancelled, 1);
}

/* --- troubles of this host --- */

static void fail_here(enum own_failure own) {
    struct slice location = slice_of(uploader_world.file_url);
    const struct trouble_failure f = {.own = own, .class = FAIL_FULL, .error = "no space", .at_once = true};
    troubles_note(&up()->troubles, location, &f, up()->now_ms);
    (void)troubles_relieve(&up()->troubles, &location, 1);
}

static void test_a_task_leaves_a_host_in_trouble(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    e->sent_bytes = 30;
    assert_false(task_drop_for_trouble(up(), &e));
    fail_here(OWN_MAYBE);
    assert_true(task_drop_for_trouble(up(), &e));
    assert_null(e);
    const struct released *r = world_released();
    assert_int_equal(r->why, WHY_NOT_HERE);
    assert_int_equal(r->own, OWN_MAYBE);
    assert_int_equal(r->class, FAIL_FULL);
    assert_int_equal(r->bytes, 30);
}

static void test_a_sure_trouble_is_released_as_such(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    fail_here(OWN_SURE);
    assert_true(task_drop_for_trouble(up(), &e));
    assert_int_equal(world_released()->own, OWN_SURE);
}

static void test_an_own_abort_stays_on_a_host_in_trouble(void **state) {
    (void)state;
    struct task_entry *e = own_abort();
    fail_here(OWN_SURE);
    assert_false(task_drop_for_trouble(up(), &e));
    assert_non_null(e);
}

/* --- reports --- */

static void test_a_put_reports_its_source_and_target(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct id128 properties;
    put.content_type = slice_of("text/plain");
    assert_int_equal(properties_digest(&properties_none, put.content_type, &properties), 0);
    const struct task_result done = {.outcome = OUTCOME_DONE,
                                     .size = WORLD_SIZE,
                                     .crc = 7,
                                     .etag = "etag",
                                     .integrity = INTEGRITY_TLS,
                                     .sent_bytes = 90};
    struct task_entry *e = world_run(&put);
    e->sent_bytes = 10;
    world_end(e, &done);
    struct result r = world_reported();
    assert_int_equal(r.outcome, OUTCOME_DONE);
    assert_true(slice_equal(r.source.path, slice_of(uploader_world.source)));
    assert_true(slice_equal(r.target.dest, slice_of(uploader_world.dest)));
    assert_true(slice_equal(r.etag, slice_of("etag")));
    assert_int_equal(r.crc, 7);
    assert_int_equal(r.size, WORLD_SIZE);
    assert_int_equal(r.length, WORLD_SIZE);
    assert_true(id_equal(&r.properties, &properties) && !id_is_zero(&properties));
    assert_int_equal(r.integrity, INTEGRITY_TLS);
    assert_int_equal(r.sent_bytes, 100);
    assert_false(r.fetched);
    assert_false(r.doubt);
    assert_int_equal(r.error.len, 0);
}

static void test_a_chunk_reports_its_handle_and_no_source(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 1);
    world_end_done(world_run(&chunk));
    struct result r = world_reported();
    assert_true(slice_equal(r.handle, slice_of("handle")));
    assert_int_equal(r.source.path.len, 0);
    assert_int_equal(r.offset, WORLD_CHUNK);
}

static uint64_t total_of_stream_chunk(uint32_t chunk, bool stream, uint64_t size, uint32_t chunks) {
    struct job j = world_chunk_job((uint8_t)(chunk + 1), chunk);
    struct task_entry *e = world_run(&j);
    e->task.job.source.stream = stream;
    e->task.job.source.file.size = size;
    e->task.job.chunks = chunks;
    world_end_done(e);
    uint64_t total = world_reported().total;
    reports_release(&up()->reports);
    return total;
}

static void test_the_last_chunk_of_a_stream_reports_its_size(void **state) {
    (void)state;
    assert_int_equal(total_of_stream_chunk(1, true, 2 * WORLD_CHUNK, 2), 2 * WORLD_CHUNK);
    assert_int_equal(total_of_stream_chunk(0, true, 2 * WORLD_CHUNK, 2), 0);
    assert_int_equal(total_of_stream_chunk(1, true, 0, 100), 0);
    assert_int_equal(total_of_stream_chunk(1, false, 2 * WORLD_CHUNK, 2), 0);
}

static void test_a_begin_reports_the_new_handle(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    const struct task_result done = {.outcome = OUTCOME_DONE, .handle = "new", .checksum = CHECKSUM_CRC32C_FULL};
    world_end(world_run(&begin), &done);
    struct result r = world_reported();
    assert_true(slice_equal(r.handle, slice_of("new")));
    assert_int_equal(r.checksum, CHECKSUM_CRC32C_FULL);
    assert_false(r.doubt);
}

static void test_a_begin_after_a_lost_reply_reports_doubt(void **state) { /* rule 10 */
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    struct task_entry *e = world_run(&begin);
    e->task.since_us = 5;
    world_end_done(e);
    assert_true(world_reported().doubt);
}

static void test_a_finish_after_a_lost_reply_reports_no_doubt(void **state) {
    (void)state;
    struct job abort = world_job(JOB_ABORT, 1);
    struct task_entry *e = world_run(&abort);
    e->task.since_us = 5;
    world_end_done(e);
    assert_false(world_reported().doubt);
}

static void test_a_failure_reports_class_and_error(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct task_result failed = {
        .outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403", .own = OWN_MAYBE, .crc = 7};
    world_end(world_run(&put), &failed);
    struct result r = world_reported();
    assert_int_equal(r.outcome, OUTCOME_FAILED);
    assert_int_equal(r.class, FAIL_DENIED);
    assert_int_equal(r.own, OWN_MAYBE);
    assert_true(slice_equal(r.error, slice_of("403")));
    assert_int_equal(r.crc, 0);
}

static void test_a_handle_that_is_gone_reports_why(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 0);
    const struct task_result gone = {
        .outcome = OUTCOME_GONE, .class = FAIL_DENIED, .error = "NoSuchUpload", .own = OWN_MAYBE};
    world_end(world_run(&chunk), &gone);
    struct result r = world_reported();
    assert_int_equal(r.outcome, OUTCOME_GONE);
    assert_int_equal(r.own, OWN_MAYBE);
    assert_true(slice_equal(r.error, slice_of("NoSuchUpload")));
    assert_int_equal(r.class, FAIL_NONE);
}

static void test_a_success_is_nobodys_failure(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct task_result done = {.outcome = OUTCOME_DONE, .own = OWN_MAYBE, .error = "an earlier attempt"};
    world_end(world_run(&put), &done);
    assert_int_equal(world_reported().own, OWN_NO);
    assert_int_equal(world_reported().error.len, 0);
}

static void test_the_duration_is_reported(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    e->started_ns -= 5000ull * 1000000;
    world_end_done(e);
    assert_in_range(world_reported().ms, 5000, 25000);
}

static void test_a_task_that_never_started_took_no_time(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    task_report_failure(up(), e, FAIL_SOURCE, "gone");
    assert_int_equal(world_reported().ms, 0);
    assert_true(slice_equal(world_reported().error, slice_of("gone")));
}

static void test_void_records_are_reported_and_the_finish_comes_back(void **state) { /* rule 11 */
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = world_grant(&finish);
    struct part parts[WORLD_CHUNKS] = {{.chunk = 0, .seq = 10}, {.chunk = 1, .seq = 11}, {.chunk = 2, .seq = 12}};
    const struct msg_partlist page = {.chunks = WORLD_CHUNKS, .parts = parts, .part_count = WORLD_CHUNKS};
    assert_int_equal(task_add_parts(e, &page), 0);
    transfers_parts_complete(up(), e);
    transfers_start(up());
    struct task_result redo = {.outcome = OUTCOME_REDO, .redo = calloc(2, sizeof(uint32_t)), .redo_count = 2};
    assert_non_null(redo.redo);
    redo.redo[1] = 2;
    world_end(e, &redo);
    struct result due[3];
    assert_int_equal(reports_due(&up()->reports, due, 3), 2);
    assert_int_equal(due[0].outcome, OUTCOME_REDO);
    assert_int_equal(due[0].ref.chunk, 0);
    assert_int_equal(due[0].seq, 10);
    assert_int_equal(due[1].ref.chunk, 2);
    assert_int_equal(due[1].seq, 12);
    assert_int_equal(world_released()->why, WHY_LATER);
    assert_int_equal(world_released()->ref.kind, JOB_FINISH);
}

UNIT_MAIN(WORLD_TEST(test_a_task_that_runs_frees_its_slot),
          WORLD_TEST(test_a_task_that_waits_for_its_source_frees_its_slot),
          WORLD_TEST(test_a_task_that_waits_for_its_next_attempt_frees_its_slot),
          WORLD_TEST(test_a_task_in_the_queue_holds_no_slot),
          WORLD_TEST(test_a_dropped_transfer_is_cancelled_and_its_bytes_are_counted),
          WORLD_TEST(test_a_dropped_task_that_does_not_run_is_not_cancelled),
          WORLD_TEST(test_a_task_can_leave_without_a_word), WORLD_TEST(test_an_own_abort_is_never_released),
          WORLD_TEST(test_a_task_leaves_a_host_in_trouble), WORLD_TEST(test_a_sure_trouble_is_released_as_such),
          WORLD_TEST(test_an_own_abort_stays_on_a_host_in_trouble),
          WORLD_TEST(test_a_put_reports_its_source_and_target),
          WORLD_TEST(test_a_chunk_reports_its_handle_and_no_source), WORLD_TEST(test_a_begin_reports_the_new_handle),
          WORLD_TEST(test_the_last_chunk_of_a_stream_reports_its_size),
          WORLD_TEST(test_a_begin_after_a_lost_reply_reports_doubt),
          WORLD_TEST(test_a_finish_after_a_lost_reply_reports_no_doubt),
          WORLD_TEST(test_a_failure_reports_class_and_error), WORLD_TEST(test_a_handle_that_is_gone_reports_why),
          WORLD_TEST(test_a_success_is_nobodys_failure), WORLD_TEST(test_the_duration_is_reported),
          WORLD_TEST(test_a_task_that_never_started_took_no_time),
          WORLD_TEST(test_void_records_are_reported_and_the_finish_comes_back))
