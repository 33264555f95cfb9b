/* Records and events of a file in each of its states: which of them count, and those that come late or are for another
 * upload. */
#include "planner_support.h"

static struct file *f;

static void plan(enum on_change on_change, struct planned_file answer) {
    file_put_hole("src", 2 * CHUNK);
    planner_start("out", false, on_change);
    f = planner.files.first;
    answer.upload = upload_id(1);
    answer.chunk_size = CHUNK;
    answer.chunks = 2;
    planner_plan_one(100, answer);
}

static void planned_new(void) {
    plan(ON_CHANGE_FAIL, (struct planned_file){.state = PLANNED_NEW});
}

/* The consumer's upload; its first chunk is done if done has a bit. */
static void planned_open(uint8_t done) {
    static uint8_t bits;
    bits = done;
    plan(ON_CHANGE_FAIL,
         (struct planned_file){.state = PLANNED_OPEN, .handle = slice_of("h"), .done = slice_make(&bits, 1)});
}

static size_t offer_all(uint64_t now_ms) {
    struct job jobs[16];
    return planner_offer_all(now_ms, jobs, 16);
}

static struct ref ref_of(enum job_kind kind, uint32_t chunk) {
    return (struct ref){.kind = kind, .upload = f->upload, .chunk = chunk};
}

static struct record about(enum record_ev ev, const struct id128 *upload) {
    struct record r = record_of_finish(f);
    r.ev = ev;
    r.upload = *upload;
    if (ev == EV_PUT) {
        r.has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS;
        r.src = slice_of("/src");
        r.worker = slice_of("h/1");
    } else if (ev == EV_ABORT)
        r.has = HAS_UPLOAD;
    return r;
}

/* ---- events ---- */

static void test_event_of_a_file_that_is_planned_again_changes_nothing(void **state) {
    (void)state;
    planned_open(0);
    assert_int_equal(offer_all(101), 2);
    planner_replan_all(&planner, 102);
    struct ref ref = ref_of(JOB_CHUNK, 0);
    planner_receive_event(103, EVENT_GRANTED, &ref, WHY_NONE, 0);
    assert_int_equal(planner.offers.used, 0);
    assert_int_equal(f->state, FILE_PLAN);
}

static void test_event_of_the_chunk_after_the_last_one_changes_nothing(void **state) {
    (void)state;
    planned_open(0);
    struct ref ref = ref_of(JOB_CHUNK, 2);
    planner_receive_event(103, EVENT_GRANTED, &ref, WHY_NONE, 0);
    assert_int_equal(planner.offers.used, 0);
}

/* Only chunk jobs have a number. */
static void test_number_of_a_single_job_does_not_count(void **state) {
    (void)state;
    planned_new();
    assert_int_equal(offer_all(101), 1);
    struct ref ref = ref_of(JOB_BEGIN, 7);
    planner_receive_event(103, EVENT_GRANTED, &ref, WHY_NONE, 0);
    assert_int_equal(planner.offers.used, 1);
    assert_int_equal(planner.offers.leased, 1);
}

/* The producer knows only its end. It may have ended before that. */
static void test_denial_ends_a_lease_from_the_plan(void **state) {
    struct job_lease lease = {.ref = {.kind = JOB_CHUNK, .upload = upload_id(1), .chunk = 1}, .remaining_ms = 5000};
    (void)state;
    plan(ON_CHANGE_FAIL,
         (struct planned_file){.state = PLANNED_OPEN, .handle = slice_of("h"), .leases = &lease, .lease_count = 1});
    assert_int_equal(planner.offers.leased, 1);
    planner_receive_event(200, EVENT_DENIED, &lease.ref, WHY_HELD, 300);
    assert_int_equal(planner.offers.leased, 0);
    assert_int_equal(offer_all(499), 1);
    assert_int_equal(offer_all(500), 1);
}

static void test_lease_of_another_upload_is_not_taken_over(void **state) {
    struct job_lease leases[] = {
        {.ref = {.kind = JOB_CHUNK, .upload = upload_id(2), .chunk = 0}, .remaining_ms = 5000},
        {.ref = {.kind = JOB_CHUNK, .upload = upload_id(1), .chunk = 1}, .remaining_ms = 5000},
    };
    (void)state;
    plan(ON_CHANGE_FAIL,
         (struct planned_file){.state = PLANNED_OPEN, .handle = slice_of("h"), .leases = leases, .lease_count = 2});
    assert_int_equal(planner.offers.leased, 1);
    assert_int_equal(offer_all(101), 1);
}

static void test_only_a_look_up_is_checked(void **state) {
    (void)state;
    planned_open(0);
    struct event e = {.ref = ref_of(JOB_CHUNK, 0), .kind = EVENT_CHECKED, .exists = true, .size = 2 * CHUNK};
    planner_receive(110, &e, 1, NULL, 0);
    assert_int_equal(reported.skipped, 0);
    assert_int_equal(planner.files.count, 1);
}

static unsigned hedged_chunks;

static void note_hedged(void *arg, const struct producer_file_view *file, uint32_t chunk, struct slice worker) {
    (void)arg;
    assert_string_equal(file->path, f->path);
    assert_int_equal(chunk, 1);
    assert_true(slice_equal(worker, slice_of("h/2")));
    hedged_chunks++;
}

/* Its other events do not matter: the first lease of the job is valid. */
static void test_second_lease_is_reported_when_it_is_granted(void **state) {
    (void)state;
    planned_open(0);
    hedged_chunks = 0;
    planner.events.lease_hedged = note_hedged;
    struct event e = {.ref = ref_of(JOB_CHUNK, 1), .second = true, .worker = slice_of("h/2")};
    e.kind = EVENT_DENIED;
    planner_receive(110, &e, 1, NULL, 0);
    assert_int_equal(hedged_chunks, 0);
    e.kind = EVENT_GRANTED;
    planner_receive(111, &e, 1, NULL, 0);
    assert_int_equal(hedged_chunks, 1);
    assert_int_equal(planner.offers.leased, 0);
}

/* ---- begin ---- */

static void test_second_begin_changes_nothing(void **state) {
    (void)state;
    planned_new();
    struct record begin = record_of_begin(f);
    planner_receive_record(110, begin);
    planner_receive_record(111, record_of_chunk(f, 0));
    planner_receive_record(112, begin);
    assert_int_equal(f->chunks_done, 1);
}

/* The plan shows whether that upload can be used. */
static void test_begin_that_does_not_fit_is_planned_again(void **state) {
    (void)state;
    planned_new();
    for (int i = 0; i < 2; i++) {
        struct record r = record_of_begin(f);
        if (i == 0)
            r.handle = slice_of("");
        else
            r.chunks = 3;
        f->state = FILE_BEGIN;
        f->refusals = 0;
        planner_receive_record(200, r);
        assert_int_equal(f->state, FILE_PLAN);
        assert_int_equal(f->plan_due_ms, 300);
        assert_null(f->done);
    }
    assert_int_equal(reported.failed, 0);
}

/* ---- chunks ---- */

/* The file waits for the answer to its plan. */
static void test_last_chunk_of_a_file_that_is_planned_again(void **state) {
    (void)state;
    planned_open(1);
    planner_replan_all(&planner, 102);
    planner_receive_record(110, record_of_chunk(f, 1));
    assert_int_equal(f->state, FILE_PLAN);
    assert_true(file_is_complete(f));
}

static void test_redo_of_the_only_chunk(void **state) {
    struct record redo = {.ev = EV_REDO, .has = HAS_UPLOAD | HAS_CHUNK};
    (void)state;
    planned_open(0);
    redo.upload = f->upload;
    planner_receive_record(110, record_of_chunk(f, 0));
    planner_receive_record(120, redo);
    assert_int_equal(planner.stats.bytes_done, 0);
    assert_int_equal(planner.stats.bytes_sent_now, 0);
}

/* The bytes of an earlier run were not counted. */
static void test_redo_of_a_chunk_of_an_earlier_run(void **state) {
    struct record redo = {.ev = EV_REDO, .has = HAS_UPLOAD | HAS_CHUNK};
    (void)state;
    planned_open(1);
    redo.upload = f->upload;
    planner_receive_record(110, record_of_chunk(f, 1));
    assert_int_equal(planner.stats.bytes_sent_now, CHUNK);
    planner_receive_record(120, redo);
    assert_int_equal(planner.stats.bytes_done, CHUNK);
    assert_int_equal(planner.stats.bytes_sent_now, CHUNK);
}

/* ---- fail ---- */

static void test_source_that_only_the_uploader_cannot_read(void **state) {
    (void)state;
    planned_open(0);
    planner_receive_record(120, record_of_fail(f, "source", "cannot be read: Input/output error"));
    assert_int_equal(reported.class, FAIL_SOURCE);
    assert_string_equal(reported.reason, "cannot be read: Input/output error");
}

static void test_other_failures_do_not_look_at_the_source(void **state) {
    (void)state;
    planned_open(0);
    file_put_hole("src", 5);
    planner_receive_record(120, record_of_fail(f, "denied", "403"));
    assert_int_equal(reported.class, FAIL_DENIED);
    assert_string_equal(reported.reason, "403");
}

/* Rule 2: a file waits as long as the fleet records progress. */
static void test_failure_is_no_progress(void **state) {
    (void)state;
    planned_open(0);
    planner_receive_record(120, record_of_chunk(f, 0));
    assert_int_equal(planner.progress_ms, 120);
    planner_receive_record(130, record_of_fail(f, "denied", "403"));
    assert_int_equal(planner.progress_ms, 120);
}

/* ---- the end ---- */

static void test_abort_by_the_store_names_its_reason(void **state) {
    (void)state;
    planned_open(0);
    f->aborts = RESTARTS_MAX;
    planner_receive_record(120, record_of_abort(&f->upload, "expired"));
    assert_string_equal(reported.reason, "the destination dropped its upload 4 times (expired)");
    assert_int_equal(reported.class, FAIL_OUTAGE);
}

/* Its own upload begins when the superseded one ends, by any of these records. */
static void test_each_end_of_the_superseded_upload_counts(void **state) {
    static const enum record_ev ends[] = {EV_ABORT, EV_FINISH, EV_PUT};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        plan(ON_CHANGE_FAIL,
             (struct planned_file){.state = PLANNED_NEW, .superseded = upload_id(9), .superseded_opened = true});
        assert_int_equal(f->state, FILE_CLEAR);
        struct id128 old = upload_id(9);
        planner_receive_record(110, about(ends[i], &old));
        assert_int_equal(f->state, FILE_BEGIN);
        assert_int_equal(reported.done, 0);
        planner_release(&planner);
    }
}

static void test_superseded_upload_that_cannot_be_aborted_fails_the_file(void **state) {
    (void)state;
    plan(ON_CHANGE_FAIL,
         (struct planned_file){.state = PLANNED_NEW, .superseded = upload_id(9), .superseded_opened = true});
    struct record r = record_of_fail(f, "denied", "may not abort");
    r.upload = upload_id(9);
    planner_receive_record(110, r);
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "may not abort");
}

/* A finished upload: its object is looked up. */
static void test_records_of_a_finished_upload(void **state) {
    (void)state;
    plan(ON_CHANGE_FAIL, (struct planned_file){.state = PLANNED_DONE});
    assert_int_equal(f->state, FILE_CHECK);
    planner_receive_record(110, about(EV_FINISH, &f->upload));
    assert_int_equal(reported.done, 0);
    assert_int_equal(f->state, FILE_CHECK);
    planner_receive_record(120, record_of_fail(f, "denied", "may not look"));
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "may not look");
}

static void test_bytes_of_a_put_are_sent(void **state) {
    (void)state;
    file_put_hole("src", 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    f = planner.files.first;
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW});
    assert_int_equal(offer_all(101), 1);
    planner_receive_record(110, about(EV_PUT, &f->upload));
    assert_int_equal(reported.done, 1);
    assert_int_equal(planner.stats.bytes_sent_now, 10);
}

static void test_reason_of_an_unserved_file_without_detail_and_worker(void **state) {
    (void)state;
    planned_open(0);
    struct event e = {.ref = ref_of(JOB_CHUNK, 0), .kind = EVENT_RELEASED, .why = WHY_NOT_HERE};
    planner_receive(110, &e, 1, NULL, 0);
    assert_string_equal(f->unserved_detail, why_text(WHY_NOT_HERE));
}

/* ---- lines ---- */

static int receive_lines(const char *text) {
    struct msg_records m = {.epoch = 1, .lines = slice_of(text), .fleet = planner.fleet};
    return track_records(&planner, 200, &m);
}

#define LATER                                                                                                          \
    "{\"seq\":9,\"batch\":3,\"ts\":\"2025-11-21T04:40:00.000001Z\",\"ev\":\"later\","                                  \
    "\"h\":\"00112233445566778899aabbccddeeff\"}"

static void test_lines_of_a_later_version_are_passed_over(void **state) {
    (void)state;
    planned_open(0);
    assert_int_equal(receive_lines(LATER "\n" LATER "\n"), 0);
    assert_int_equal(receive_lines(LATER), 0);
    assert_int_equal(receive_lines(LATER "\ngarbage\n"), ERR_INVALID);
}

static void test_records_that_are_not_sent_are_asked_for_by_a_plan(void **state) {
    struct msg_records m = {.epoch = 1, .fleet = {.uploaders = 1}};
    (void)state;
    planned_open(0);
    assert_int_equal(track_records(&planner, 200, &m), 0);
    assert_int_equal(f->state, FILE_CHUNKS);
    m.resync = true;
    assert_int_equal(track_records(&planner, 201, &m), 0);
    assert_int_equal(f->state, FILE_PLAN);
    assert_int_equal(f->plan_due_ms, 201);
}

/* ---- dropping ---- */

/* The abort of its useless upload is offered. */
static void dropping_file(void) {
    planned_open(0);
    planner_receive_record(120, record_of_fail(f, "request", "413"));
    assert_int_equal(reported.failed, 1);
    assert_true(f->dropping);
}

static void test_each_end_of_a_useless_upload_counts(void **state) {
    static const enum record_ev ends[] = {EV_ABORT, EV_FINISH};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        dropping_file();
        struct id128 upload = upload_id(1);
        planner_receive_record(130, about(ends[i], &upload));
        assert_int_equal(planner.files.count, 0);
        assert_int_equal(reported.notices, 0);
        planner_release(&planner);
        memset(&reported, 0, sizeof reported);
    }
}

static void test_late_failures_of_a_useless_upload_are_expected(void **state) {
    static const char *const classes[] = {"changed", "source"};
    (void)state;
    dropping_file();
    for (size_t i = 0; i < 2; i++) {
        struct record r = record_of_fail(f, classes[i], "late");
        r.upload = upload_id(1);
        planner_receive_record(130, r);
        assert_int_equal(planner.files.count, 1);
    }
    assert_int_equal(reported.notices, 0);
}

static void test_abort_that_an_uploader_cannot_serve_is_offered_again(void **state) {
    struct ref ref = {.kind = JOB_ABORT, .upload = upload_id(1)};
    (void)state;
    dropping_file();
    assert_int_equal(offer_all(121), 1);
    planner_receive_event(130, EVENT_GRANTED, &ref, WHY_NONE, 0);
    planner_receive_event(140, EVENT_RELEASED, &ref, WHY_NOT_HERE, 0);
    assert_int_equal(planner.offers.leased, 0);
    assert_int_equal(offer_all(5140), 1);
}

/* The consumer does not know the upload: nothing is left of it. */
static void test_refused_abort_of_a_useless_upload_ends_the_wait(void **state) {
    struct ref ref = {.kind = JOB_ABORT, .upload = upload_id(1)};
    (void)state;
    dropping_file();
    planner_receive_event(130, EVENT_DENIED, &ref, WHY_UNKNOWN, 0);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(reported.notices, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_event_of_a_file_that_is_planned_again_changes_nothing),
          TEST(test_event_of_the_chunk_after_the_last_one_changes_nothing),
          TEST(test_number_of_a_single_job_does_not_count), TEST(test_denial_ends_a_lease_from_the_plan),
          TEST(test_lease_of_another_upload_is_not_taken_over), TEST(test_only_a_look_up_is_checked),
          TEST(test_second_lease_is_reported_when_it_is_granted), TEST(test_second_begin_changes_nothing),
          TEST(test_begin_that_does_not_fit_is_planned_again), TEST(test_last_chunk_of_a_file_that_is_planned_again),
          TEST(test_redo_of_the_only_chunk), TEST(test_redo_of_a_chunk_of_an_earlier_run),
          TEST(test_source_that_only_the_uploader_cannot_read), TEST(test_other_failures_do_not_look_at_the_source),
          TEST(test_failure_is_no_progress), TEST(test_abort_by_the_store_names_its_reason),
          TEST(test_each_end_of_the_superseded_upload_counts),
          TEST(test_superseded_upload_that_cannot_be_aborted_fails_the_file), TEST(test_records_of_a_finished_upload),
          TEST(test_lines_of_a_later_version_are_passed_over),
          TEST(test_records_that_are_not_sent_are_asked_for_by_a_plan), TEST(test_each_end_of_a_useless_upload_counts),
          TEST(test_late_failures_of_a_useless_upload_are_expected),
          TEST(test_refused_abort_of_a_useless_upload_ends_the_wait),
          TEST(test_abort_that_an_uploader_cannot_serve_is_offered_again), TEST(test_bytes_of_a_put_are_sent),
          TEST(test_reason_of_an_unserved_file_without_detail_and_worker))
