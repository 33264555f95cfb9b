/* Jobs, RECORDS, and how files end. */
#include "planner_support.h"
#include <sys/stat.h>
#include <time.h>

static struct file *open_file(uint64_t size, const char *dest, enum on_change on_change) {
    file_put_hole("src", size);
    planner_start(dest, false, on_change);
    struct file *f = planner.files.first;
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = PLANNED_NEW,
                                                .chunk_size = f->wanted_geometry.chunk_size,
                                                .chunks = f->wanted_geometry.chunks});
    return f;
}

/* Planned, begun, and all its chunks offered. */
static struct file *begun_file(uint32_t chunks, enum on_change on_change) {
    struct job jobs[16];
    struct file *f = open_file(chunks * CHUNK, "out", on_change);
    assert_int_equal(planner_offer_all(101, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_BEGIN);
    planner_receive_record(110, record_of_begin(f));
    assert_int_equal(f->state, FILE_CHUNKS);
    assert_int_equal(planner_offer_all(111, jobs, 16), chunks);
    return f;
}

static void touch(const char *path) {
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_a_file_from_begin_to_finish(void **state) {
    struct job jobs[16];
    (void)state;
    struct file *f = begun_file(3, ON_CHANGE_FAIL);
    assert_int_equal(reported.started, 1);
    assert_string_equal(f->handle, "handle-1");
    struct record r[] = {record_of_chunk(f, 0), record_of_chunk(f, 2), record_of_chunk(f, 0)}; /* one record twice */
    planner_receive(120, NULL, 0, r, 3);
    assert_int_equal(reported.progressed, 2);
    assert_int_equal(planner.stats.bytes_done, 2 * CHUNK);
    assert_int_equal(planner.stats.bytes_sent_now, 2 * CHUNK);
    assert_int_equal(planner.offers.outstanding, 1);
    planner_receive_record(130, record_of_chunk(f, 1));
    assert_int_equal(f->state, FILE_FINISH);
    assert_int_equal(planner_offer_all(131, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_FINISH);
    assert_true(slice_equal(jobs[0].handle, slice_of("handle-1")));
    planner_receive_record(140, record_of_finish(f));
    assert_int_equal(reported.done, 1);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(planner.offers.used, 0);
    assert_int_equal(planner.files.bitmap_bytes, 0);
    assert_int_equal(planner.stats.files_done, 1);
    assert_int_equal(planner.stats.bytes_done, planner.stats.bytes_total);
}

static void test_a_put_is_done_with_its_record(void **state) {
    struct job jobs[4];
    (void)state;
    struct file *f = open_file(0, "out", ON_CHANGE_FAIL);
    assert_int_equal(planner_offer_all(101, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_PUT);
    struct record r = record_of_begin(f);
    r.ev = EV_PUT;
    r.has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS;
    r.worker = slice_of("host/1");
    planner_receive_record(110, r);
    assert_int_equal(reported.done, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_redo_takes_a_chunk_back(void **state) {
    struct job jobs[16];
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct record r[] = {record_of_chunk(f, 0), record_of_chunk(f, 1)};
    planner_receive(120, NULL, 0, r, 2);
    assert_int_equal(planner_offer_all(121, jobs, 16), 1);
    struct record redo = {.ev = EV_REDO, .has = HAS_UPLOAD | HAS_CHUNK, .upload = f->upload, .chunk = 1};
    planner_receive_record(130, redo);
    assert_int_equal(planner.stats.bytes_done, CHUNK);
    assert_int_equal(planner.stats.bytes_sent_now, CHUNK);
    assert_int_equal(planner_offer_all(131, jobs, 16), 1); /* but not finish */
    assert_int_equal(jobs[0].ref.kind, JOB_CHUNK);
    assert_int_equal(jobs[0].ref.chunk, 1);
}

static void test_events_decide_what_is_offered_again(void **state) {
    struct job jobs[16];
    (void)state;
    struct file *f = begun_file(4, ON_CHANGE_FAIL);
    struct ref ref[4];
    for (uint32_t i = 0; i < 4; i++)
        ref[i] = (struct ref){.kind = JOB_CHUNK, .upload = f->upload, .chunk = i};
    planner_receive_event(120, EVENT_GRANTED, &ref[0], WHY_NONE, 0);
    planner_receive_event(120, EVENT_RELEASED, &ref[1], WHY_DRAIN, 0);
    planner_receive_event(120, EVENT_DENIED, &ref[2], WHY_GRACE, 5000);
    planner_receive_event(120, EVENT_RELEASED, &ref[3], WHY_BACKOFF, 700);
    assert_int_equal(planner.offers.leased, 1);
    assert_int_equal(planner_offer_all(121, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.chunk, 1);
    planner_receive_event(122, EVENT_GRANTED, &ref[1], WHY_NONE, 0);
    assert_int_equal(planner_offer_all(819, jobs, 16), 0);
    assert_int_equal(planner_offer_all(820, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.chunk, 3);
    planner_receive_event(821, EVENT_GRANTED, &ref[3], WHY_NONE, 0);
    planner_receive_event(822, EVENT_DENIED, &ref[3], WHY_HELD, 3000); /* for a copy: the lease stays valid */
    assert_int_equal(planner.offers.leased, 3);
    planner_receive_event(900, EVENT_EXPIRED, &ref[0], WHY_NONE, 0);
    planner.fleet.uploaders = 5;
    assert_int_equal(jobs_copies(&planner, offers_find(&planner.offers, &ref[0])), 2); /* its holder may be stuck */
    assert_int_equal(planner_offer_all(900, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.chunk, 0);
    planner_receive_event(5200, EVENT_GRANTED, &ref[0], WHY_NONE, 0);
    assert_int_equal(planner_offer_all(5200, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.chunk, 2);
}

static void test_late_and_foreign_events_change_nothing(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    planner_receive_record(120, record_of_chunk(f, 0));
    struct ref done = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 0};
    struct ref beyond = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 4000000000u};
    struct ref foreign = {.kind = JOB_CHUNK, .upload = upload_id(77), .chunk = 0};
    struct ref early = {.kind = JOB_FINISH, .upload = f->upload};
    size_t used = planner.offers.used;
    planner_receive_event(130, EVENT_EXPIRED, &done, WHY_NONE, 0);
    planner_receive_event(130, EVENT_GRANTED, &beyond, WHY_NONE, 0);
    planner_receive_event(130, EVENT_GRANTED, &foreign, WHY_NONE, 0);
    planner_receive_event(130, EVENT_GRANTED, &early, WHY_NONE, 0);
    assert_int_equal(planner.offers.used, used);
    struct record r = record_of_chunk(f, 0);
    r.chunk = 4000000000u;
    planner_receive_record(140, r);
    struct id128 other = upload_id(77);
    planner_receive_record(141, record_of_abort(&other, "superseded"));
    assert_int_equal(reported.failed, 0);
    assert_int_equal(planner.stats.bytes_done, CHUNK);
}

static void test_fail_record_fails_the_file_once(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct record r[] = {record_of_fail(f, "unreachable", "connection refused"),
                         record_of_fail(f, "unreachable", "connection refused")};
    planner_receive(120, NULL, 0, r, 2);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_UNREACHABLE);
    assert_string_equal(reported.reason, "connection refused");
    assert_true(planner.unreachable);
    assert_int_equal(planner.offers.used, 0);
    assert_int_equal(planner.stats.bytes_total, 0);
}

static void expect_abort(uint64_t now_ms, const struct id128 *upload) {
    struct job jobs[16];
    assert_int_equal(planner_offer_all(now_ms, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_true(id_equal(&jobs[0].ref.upload, upload));
    assert_true(slice_equal(jobs[0].handle, slice_of("handle-1")));
}

/* The failure is reported at once. The run lasts until the upload is aborted. */
static void test_changed_source_fails_and_its_upload_is_aborted(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct id128 upload = f->upload;
    struct record late = record_of_chunk(f, 1);
    planner_receive_record(115, record_of_chunk(f, 0));
    touch("src");
    planner_receive_record(120, record_of_fail(f, "changed", "changed while it was uploaded (mtime moved)"));
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_CHANGED);
    assert_string_equal(reported.reason, "changed while it was uploaded (mtime moved); re-run to start it again");
    assert_int_equal(planner.stats.bytes_total, 0);
    assert_int_equal(planner.stats.bytes_done, 0);
    assert_int_equal(planner.files.count, 1);
    expect_abort(121, &upload);
    struct ref ref = {.kind = JOB_ABORT, .upload = upload};
    planner_receive_event(122, EVENT_DENIED, &ref, WHY_LATER, 200); /* its chunks still have leases */
    planner_receive_record(123, late);
    struct record again = record_of_fail(f, "source", "cannot be read");
    again.upload = upload;
    planner_receive_record(124, again);
    expect_abort(322, &upload);
    planner_receive_event(323, EVENT_GRANTED, &ref, WHY_NONE, 0);
    planner_replan_all(&planner, 400); /* the consumer restarted */
    expect_abort(401, &upload);
    planner_receive_record(410, record_of_abort(&upload, "dropped"));
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(planner.offers.used, 0);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.notices, 0);
    assert_int_equal(planner.stats.files_failed, 1);
}

static void test_an_upload_that_cannot_be_aborted_remains_and_is_reported(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct file *f = begun_file(2, ON_CHANGE_FAIL);
        struct id128 upload = f->upload;
        touch("src");
        planner_receive_record(120, record_of_fail(f, "changed", "mtime moved"));
        expect_abort(121, &upload);
        if (late) {
            assert_int_equal(plan_deadline(&planner), 120 + DROP_WAIT_MS);
            assert_int_equal(planner_request(120 + DROP_WAIT_MS, 1, list), 0);
        } else {
            struct record r = record_of_fail(f, "denied", "may not");
            r.upload = upload;
            planner_receive_record(130, r);
        }
        assert_int_equal(planner.files.count, 0);
        assert_int_equal(reported.failed, 1);
        assert_int_equal(reported.notices, 1);
        assert_non_null(strstr(reported.notice, late ? "not aborted in time" : "may not"));
        planner_release(&planner);
        memset(&reported, 0, sizeof reported);
    }
}

/* Only the bytes differ, not the identity: the consumer would resume the old upload, so its abort comes first. */
static void test_a_restart_without_visible_change_drops_the_upload_first(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_RESTART);
    struct id128 upload = f->upload;
    planner_receive_record(115, record_of_chunk(f, 0));
    planner_receive_record(120, record_of_fail(f, "changed", "its bytes differ between two readings"));
    assert_int_equal(reported.failed, 0);
    assert_int_equal(planner_request(121, 1, list), 0);
    expect_abort(121, &upload);
    planner_receive_record(130, record_of_abort(&upload, "dropped"));
    assert_int_equal(planner_request(131, 1, list), 1);
    assert_true(id_is_zero(&list[0].upload));
    assert_int_equal(planner.stats.bytes_total, 2 * CHUNK);
    assert_int_equal(planner.stats.bytes_done, 0);
}

static void test_a_source_that_is_gone_counts_as_changed(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_RESTART);
    struct id128 upload = f->upload;
    assert_int_equal(unlink("src"), 0);
    planner_receive_record(120, record_of_fail(f, "source", "cannot be read"));
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_CHANGED);
    expect_abort(121, &upload);
}

static void test_changed_source_restarts_a_few_times(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_RESTART);
    for (unsigned i = 1; i <= RESTARTS_MAX; i++) {
        file_put_hole("src", (2 + i) * CHUNK);
        planner_receive_record(200 * i, record_of_fail(f, "changed", "mtime moved"));
        assert_int_equal(reported.failed, 0);
        assert_int_equal(planner_request(200 * i, i, list), 1);
        assert_true(id_is_zero(&list[0].upload));
        assert_int_equal(list[0].source.file.size, (2 + i) * CHUNK);
        assert_int_equal(list[0].chunks, 2 + i);
        struct planned_file p = {.index = list[0].index, .upload = upload_id(10 + i), .state = PLANNED_NEW};
        planner_answer(200 * i + 1, i, &p, 1);
    }
    assert_int_equal(planner.stats.bytes_total, (2 + RESTARTS_MAX) * CHUNK);
    file_put_hole("src", CHUNK);
    planner_receive_record(5000, record_of_fail(f, "changed", "mtime moved"));
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_CHANGED);
}

static void test_an_abort_restarts_or_fails_the_file(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    planner_receive_record(120, record_of_chunk(f, 0));
    struct id128 id = f->upload;
    for (unsigned i = 0; i < RESTARTS_MAX; i++) {
        planner_receive_record(130, record_of_abort(&id, "the store does not know it"));
        assert_int_equal(reported.failed, 0);
        assert_int_equal(f->state, FILE_PLAN);
        assert_int_equal(planner.stats.bytes_done, 0);
        id = upload_id(20 + i);
        planner_plan_one(140,
                         (struct planned_file){.upload = id, .state = PLANNED_NEW, .chunk_size = CHUNK, .chunks = 2});
    }
    planner_receive_record(150, record_of_abort(&id, "the store does not know it"));
    assert_int_equal(reported.failed, 1);
}

/* An upload that the store refuses permanently is aborted. The file has failed and stays only until then. */
static void test_a_spoiled_upload_is_aborted(void **state) {
    struct job jobs[16];
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct id128 id = f->upload;
    planner_receive_record(120, record_of_fail(f, "request", "413 EntityTooLarge"));
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_REQUEST);
    assert_string_equal(reported.reason, "413 EntityTooLarge");
    assert_int_equal(planner.stats.files_failed, 1);
    assert_int_equal(planner_offer_all(121, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_true(id_equal(&jobs[0].ref.upload, &id));
    assert_true(slice_equal(jobs[0].handle, slice_of("handle-1")));
    planner_receive_record(130, record_of_abort(&id, "dropped"));
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(reported.failed, 1);
}

static void test_a_failure_that_can_pass_leaves_the_upload(void **state) {
    struct job jobs[16];
    (void)state;
    planner_receive_record(120, record_of_fail(begun_file(2, ON_CHANGE_FAIL), "denied", "403 AccessDenied"));
    assert_int_equal(reported.class, FAIL_DENIED);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(planner_offer_all(121, jobs, 16), 0);
}

/* `journal forget --unfinished`: no sources, only uploads to abort. */
static void test_drops_are_aborted(void **state) {
    struct producer_drop drops[3] = {{upload_id(1), "/gone/a", "s3://bucket/a"},
                                     {upload_id(2), "/gone/b", "s3://bucket/b"},
                                     {upload_id(3), "/gone/c", "s3://bucket/c"}};
    const struct producer_config config = {.drops = drops, .drop_count = 3, .endpoint_url = "http://store"};
    struct plan_file list[PLAN_FILES_MAX];
    struct job jobs[4];
    bool more;
    (void)state;
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
    assert_int_equal(scan_step(&planner, 10, &more), 0);
    assert_string_equal(planner.sources.allow, "s3://bucket/");
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
    assert_int_equal(planner_request(100, 1, list), 3);
    assert_true(list[0].drop && id_equal(&list[0].upload, &drops[0].upload));
    struct planned_file p[3] = {
        {.index = list[0].index, .upload = upload_id(1), .state = PLANNED_OPEN, .superseded = upload_id(1)},
        {.index = list[1].index, .upload = upload_id(2), .state = PLANNED_DONE},
        {.index = list[2].index,
         .upload = upload_id(3),
         .state = PLANNED_REFUSED,
         .error = slice_of("is being uploaded")}};
    p[0].superseded_handle = slice_of("h");
    planner_answer(110, 1, p, 3);
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "is being uploaded");
    assert_int_equal(planner_offer_all(111, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_true(slice_equal(jobs[0].handle, slice_of("h")));
    planner_replan_all(&planner, 200); /* another consumer: the drops have to be planned again */
    assert_int_equal(planner_request(200, 2, list), 1);
    planner_answer(210, 2, p, 1);
    assert_int_equal(planner_offer_all(211, jobs, 4), 1);
    planner_receive_record(220, record_of_abort(&drops[0].upload, "dropped"));
    assert_int_equal(reported.done, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_superseded_by_another_producer_fails(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct id128 id = f->upload;
    planner_receive_record(120, record_of_abort(&id, "superseded"));
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_SUPERSEDED);
}

/* Rule 2. */
static void test_an_unserved_file_is_reported_and_then_fails(void **state) {
    (void)state;
    struct file *f = begun_file(1 + 1, ON_CHANGE_FAIL);
    struct event e = {.ref = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 0},
                      .kind = EVENT_RELEASED,
                      .why = WHY_NOT_HERE,
                      .worker = slice_of("host/7"),
                      .detail = slice_of("not under a --root")};
    planner_receive(1000, &e, 1, NULL, 0);
    planner_judge_unserved(&planner, 1000); /* another uploader may serve it */
    assert_int_equal(reported.notices, 0);
    planner.fleet.unable = 1;
    planner_judge_unserved(&planner, 2000);
    planner_judge_unserved(&planner, 3000);
    assert_int_equal(reported.notices, 1);
    assert_non_null(strstr(reported.notice, "not under a --root (host/7)"));
    planner_judge_unserved(&planner, 60999);
    assert_int_equal(reported.failed, 0);
    planner_judge_unserved(&planner, 61000);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_NO_UPLOADER);
}

/* A failure of one host: the job waits for another one without a report, and without an end while records arrive. */
static void test_a_file_waits_for_another_uploader(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct event e = {.ref = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 0},
                      .kind = EVENT_RELEASED,
                      .why = WHY_NOT_HERE,
                      .class = FAIL_CLOCK,
                      .worker = slice_of("host/7"),
                      .detail = slice_of("RequestTimeTooSkewed")};
    planner.retry_for_ms = 60000;
    planner.fleet.uploaders = 2;
    for (int i = 0; i < 20; i++) {
        planner_receive(1000, &e, 1, NULL, 0);
        planner_judge_unserved(&planner, 1000);
    }
    planner_receive_record(50000, record_of_chunk(f, 1));
    planner_receive(51000, &e, 1, NULL, 0);
    planner_judge_unserved(&planner, 109999);
    assert_int_equal(reported.notices + reported.failed, 0);
    planner_judge_unserved(&planner, 111000);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_CLOCK);
    assert_non_null(strstr(reported.reason, "RequestTimeTooSkewed (host/7)"));
}

static void test_a_missing_bucket_is_reported_once(void **state) {
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/a", 10);
    file_put_hole("src/b", 10);
    file_put_hole("src/c", 10);
    planner_start("s3://nowhere/x/", false, ON_CHANGE_FAIL);
    assert_int_equal(planner.files.count, 3);
    planner_judge_bucket(&planner, 100);
    assert_int_equal(planner.files.count, 3);
    planner_file_failed(&planner, planner.files.first, FAIL_NO_BUCKET, "404 NoSuchBucket");
    assert_string_equal(reported.reason, "404 NoSuchBucket");
    planner_judge_bucket(&planner, 100);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(planner.stats.files_failed, 3);
    assert_int_equal(reported.failed, 2);
    assert_string_equal(reported.failed_path, "s3://nowhere");
    assert_string_equal(reported.reason, "no such bucket; 2 more files were not sent");
    planner_judge_bucket(&planner, 200);
    assert_int_equal(reported.failed, 2);
}

/* The fleet's counters do not show a file that no uploader can open. */
static void test_no_uploader_finds_the_source(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct ref ref = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 0};
    planner.fleet.uploaders = 2;
    for (int i = 0; i < 6; i++) {
        planner_judge_unserved(&planner, 1000);
        assert_int_equal(reported.notices, 0);
        planner_receive_event(1000, EVENT_GRANTED, &ref, WHY_NONE, 0);
        planner_receive_event(1000, EVENT_RELEASED, &ref, WHY_NO_SOURCE, 0);
    }
    planner_judge_unserved(&planner, 1000);
    assert_int_equal(reported.notices, 1);
    assert_int_equal(unlink("src"), 0); /* visible to the producer too: no need to wait */
    planner_receive_event(2000, EVENT_RELEASED, &ref, WHY_NO_SOURCE, 0);
    assert_int_equal(reported.failed, 1);
}

static void test_new_epoch_forgets_offers_and_plans_again(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct job jobs[16];
    (void)state;
    struct file *f = begun_file(3, ON_CHANGE_FAIL);
    struct id128 id = f->upload;
    planner_receive_record(120, record_of_chunk(f, 1));
    planner_replan_all(&planner, 200);
    assert_int_equal(planner.offers.used, 0);
    assert_int_equal(planner_offer_all(200, jobs, 16), 0);
    planner_receive_record(201, record_of_chunk(f, 2)); /* a record still counts */
    assert_int_equal(planner_request(202, 3, list), 1);
    assert_true(id_equal(&list[0].upload, &id));
    static const uint8_t done[] = {0x06};
    struct planned_file p = {.index = list[0].index,
                             .upload = id,
                             .state = PLANNED_OPEN,
                             .handle = slice_of("handle-1"),
                             .chunk_size = CHUNK,
                             .chunks = 3,
                             .done = slice_make(done, 1)};
    planner_answer(203, 3, &p, 1);
    assert_int_equal(planner.stats.bytes_done, 2 * CHUNK);
    assert_int_equal(planner.stats.bytes_sent_now, 2 * CHUNK);
    assert_false(f->resumed);
    assert_int_equal(planner_offer_all(204, jobs, 16), 1);
    assert_int_equal(jobs[0].ref.chunk, 0);
}

static void test_unknown_upload_is_planned_again(void **state) {
    (void)state;
    struct file *f = begun_file(2, ON_CHANGE_FAIL);
    struct ref ref = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 0};
    planner_receive_event(120, EVENT_DENIED, &ref, WHY_UNKNOWN, 0);
    assert_int_equal(f->state, FILE_PLAN);
    assert_true(f->plan_due_ms > 120);
    assert_int_equal(planner.offers.used, 0);
}

static void test_the_window_bounds_what_is_offered(void **state) {
    struct job jobs[64];
    (void)state;
    struct file *f = open_file(40 * CHUNK, "out", ON_CHANGE_FAIL);
    (void)planner_offer_all(101, jobs, 64);
    planner_receive_record(110, record_of_begin(f));
    assert_int_equal(planner_offer_all(111, jobs, 64), planner.fleet.share);
    assert_int_equal(planner_offer_all(112, jobs, 64), 0);
    planner_receive_record(150, record_of_chunk(f, 0));
    assert_int_equal(planner_offer_all(151, jobs, 64), 1);
    planner.draining = true;
    planner_receive_record(160, record_of_chunk(f, 1));
    assert_int_equal(planner_offer_all(161, jobs, 64), 0);
}

static void test_urgent_jobs_come_before_chunks_and_few_files_are_open(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct planned_file p[20];
    struct job jobs[64];
    char name[32];
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "src/%02d", i);
        file_put_hole(name, 4 * CHUNK);
    }
    planner_start("out", false, ON_CHANGE_FAIL);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 6, .free = 100, .share = 100};
    assert_int_equal(planner_request(1, 1, list), 20);
    for (unsigned i = 0; i < 20; i++)
        p[i] = (struct planned_file){
            .index = list[i].index, .upload = upload_id(i + 1), .state = PLANNED_NEW, .chunk_size = CHUNK, .chunks = 4};
    planner_answer(2, 1, p, 20);
    assert_int_equal(planner_offer_all(3, jobs, 64), 6); /* as many as there are slots */
    planner_receive_record(4, record_of_begin(planner.files.first));
    assert_int_equal(planner_offer_all(5, jobs, 64), 4);
    assert_int_equal(jobs[0].ref.kind, JOB_CHUNK);
    struct record r[4];
    for (uint32_t i = 0; i < 4; i++)
        r[i] = record_of_chunk(planner.files.first, i);
    planner_receive(6, NULL, 0, r, 4);
    planner_receive_record(6, record_of_begin(planner.files.first->next));
    assert_int_equal(planner_offer_all(7, jobs, 64), 5);
    assert_int_equal(jobs[0].ref.kind, JOB_FINISH);
    planner_receive_record(8, record_of_finish(planner.files.first));
    assert_int_equal(planner_offer_all(9, jobs, 64), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_BEGIN);
}

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(CORE_TEST(test_a_file_from_begin_to_finish), CORE_TEST(test_a_put_is_done_with_its_record),
          CORE_TEST(test_redo_takes_a_chunk_back), CORE_TEST(test_events_decide_what_is_offered_again),
          CORE_TEST(test_late_and_foreign_events_change_nothing), CORE_TEST(test_fail_record_fails_the_file_once),
          CORE_TEST(test_changed_source_fails_and_its_upload_is_aborted),
          CORE_TEST(test_an_upload_that_cannot_be_aborted_remains_and_is_reported),
          CORE_TEST(test_a_restart_without_visible_change_drops_the_upload_first),
          CORE_TEST(test_a_source_that_is_gone_counts_as_changed), CORE_TEST(test_changed_source_restarts_a_few_times),
          CORE_TEST(test_an_abort_restarts_or_fails_the_file), CORE_TEST(test_superseded_by_another_producer_fails),
          CORE_TEST(test_a_spoiled_upload_is_aborted), CORE_TEST(test_a_failure_that_can_pass_leaves_the_upload),
          CORE_TEST(test_drops_are_aborted), CORE_TEST(test_an_unserved_file_is_reported_and_then_fails),
          CORE_TEST(test_a_file_waits_for_another_uploader), CORE_TEST(test_a_missing_bucket_is_reported_once),
          CORE_TEST(test_no_uploader_finds_the_source), CORE_TEST(test_new_epoch_forgets_offers_and_plans_again),
          CORE_TEST(test_unknown_upload_is_planned_again), CORE_TEST(test_the_window_bounds_what_is_offered),
          CORE_TEST(test_urgent_jobs_come_before_chunks_and_few_files_are_open))
