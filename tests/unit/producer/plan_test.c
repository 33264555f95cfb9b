/* Scanning of sources, PLAN and PLANNED. */
#include "planner_support.h"
#include <sys/stat.h>
#include <time.h>

static void test_small_files_are_puts_and_large_ones_chunks(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/0", 0);
    file_put_hole("src/1", CHUNK);
    file_put_hole("src/2", CHUNK + 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(planner_request(1, 1, list), 3);
    assert_int_equal(list[0].flags, PLAN_PUT);
    assert_int_equal(list[1].flags, PLAN_PUT);
    assert_int_equal(list[2].flags, 0);
    assert_int_equal(list[2].chunks, 2);
    assert_int_equal(list[2].source.file.size, CHUNK + 1);
    assert_int_equal(planner.stats.files_seen, 3);
    assert_int_equal(planner.stats.bytes_total, 2 * CHUNK + 1);
}

/* A change after the planning gets another time stamp, whatever the resolution of the file system's clock. */
static void test_a_file_that_changed_just_now_is_planned_in_the_next_tick(void **state) {
    struct timespec now;
    struct stat st;
    (void)state;
    file_put_hole("src", CHUNK + 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(clock_gettime(CLOCK_REALTIME_COARSE, &now), 0);
    assert_int_equal(stat("src", &st), 0);
    int64_t age_ns = (now.tv_sec - st.st_ctim.tv_sec) * INT64_C(1000000000) + now.tv_nsec - st.st_ctim.tv_nsec;
    assert_true(age_ns > 0);
}

static void test_names_that_fit_no_key_fail_alone(void **state) {
    char name[300];
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/ok", 1);
    file_put_hole("src/\xff", 1);
    memset(name, 'd', sizeof name);
    for (int i = 0; i < 5; i++) { /* 5 × 210 bytes */
        snprintf(name, sizeof name, "%s%0210d", i == 0 ? "src/" : "", i);
        assert_int_equal(mkdir(name, 0700), 0);
        assert_int_equal(chdir(name), 0);
    }
    file_put_hole("deep", 1);
    assert_int_equal(chdir(planner_root), 0);
    planner_start("s3://bucket/prefix", false, ON_CHANGE_FAIL);
    struct plan_file list[PLAN_FILES_MAX];
    assert_int_equal(planner_request(1, 1, list),
                     3); /* two of them only to be recorded as failed; the file with the long name first */
    assert_true(list[0].error.len > 0 && list[1].error.len == 0 && list[2].error.len > 0);
    assert_false(id_is_zero(&list[0].upload) || id_equal(&list[0].upload, &list[2].upload));
    assert_true(slice_equal(list[1].target.dest, slice_of("s3://bucket/prefix/ok")));
    struct planned_file refused[] = {{.index = list[0].index, .state = PLANNED_REFUSED},
                                     {.index = list[2].index, .state = PLANNED_REFUSED}};
    planner_answer(2, 1, refused, 2);
    assert_int_equal(planner.files.count, 1);
    assert_int_equal(reported.failed, 2);
    assert_int_equal(planner.stats.files_failed, 2);
    assert_int_equal(planner.stats.files_seen, 3);
}

static void test_a_file_onto_itself_fails(void **state) {
    (void)state;
    file_put_hole("src", 5);
    assert_int_equal(link("src", "same"), 0);
    planner_start("same", false, ON_CHANGE_FAIL);
    assert_int_equal(reported.failed, 1);
    assert_non_null(strstr(reported.reason, "same file"));
}

static void test_planned_answers_a_prefix(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/a", 1);
    file_put_hole("src/b", 1);
    file_put_hole("src/c", 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(planner_request(1, 1, list), 3);
    assert_int_equal(planner_request(2, 2, list + 3), 0); /* already requested */
    struct planned_file p = {.index = list[0].index, .upload = upload_id(1), .state = PLANNED_NEW};
    planner_answer(3, 1, &p, 1);
    assert_int_equal(planner.files.first->state, FILE_PUT);
    assert_int_equal(planner_request(3, 2, list), 2); /* the rest is requested at once */
    p = (struct planned_file){.index = list[1].index, .upload = upload_id(2), .state = PLANNED_NEW};
    planner_answer(4, 1, &p, 1); /* an answer to an earlier request is stale */
    assert_int_equal(planner.files.last->state, FILE_PLAN);
    assert_int_equal(planner_request(4 + PLAN_AGAIN_MS, 3, list), 2); /* no answer: requested again */
}

/* Every uploader drops jobs without a handle, so the file must not wait for them. */
static void test_an_open_upload_without_a_handle_fails(void **state) {
    (void)state;
    file_put_hole("src", 4 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(
        100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_OPEN, .chunk_size = CHUNK, .chunks = 4});
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_INTEGRITY);
    assert_int_equal(planner.files.count, 0);
}

static void test_open_uploads_are_resumed(void **state) {
    static const uint8_t done[] = {0x05};
    struct job jobs[16];
    (void)state;
    file_put_hole("src", 4 * CHUNK - 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    struct id128 id = upload_id(1);
    struct job_lease lease = {.ref = {.kind = JOB_CHUNK, .upload = id, .chunk = 1}, .remaining_ms = 90};
    planner_plan_one(100, (struct planned_file){.upload = id,
                                                .state = PLANNED_OPEN,
                                                .handle = slice_of("h"),
                                                .chunk_size = CHUNK,
                                                .chunks = 4,
                                                .done = slice_make(done, 1),
                                                .leases = &lease,
                                                .lease_count = 1});
    assert_int_equal(planner.stats.bytes_done, 2 * CHUNK);
    assert_int_equal(planner.stats.bytes_sent_now, 0);
    assert_true(planner.files.first->resumed);
    assert_int_equal(planner_offer_all(101, jobs, 16), 1); /* 0 and 2 are done, 1 is leased */
    assert_int_equal(jobs[0].ref.chunk, 3);
    assert_int_equal(jobs[0].length, CHUNK - 10);
    assert_int_equal(jobs[0].offset, 3 * CHUNK);
    assert_int_equal(jobs[0].handle.len, 1);
    assert_int_equal(planner_offer_all(190, jobs, 16), 1); /* the lease has ended */
    assert_int_equal(jobs[0].ref.chunk, 1);
}

static void test_a_bitmap_ends_with_the_last_recorded_chunk(void **state) {
    static const uint8_t done[] = {0x02};
    struct job jobs[32];
    (void)state;
    file_put_hole("src", 20 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = PLANNED_OPEN,
                                                .handle = slice_of("h"),
                                                .chunk_size = CHUNK,
                                                .chunks = 20,
                                                .done = slice_make(done, 1)});
    assert_int_equal(reported.failed, 0);
    assert_int_equal(planner.stats.bytes_done, CHUNK);
    assert_true(planner.files.first->resumed);
    assert_true(planner_offer_all(101, jobs, 32) > 0);
    assert_int_equal(jobs[0].ref.chunk, 0);
    assert_int_equal(jobs[1].ref.chunk, 2);
}

static void test_geometry_that_does_not_fit_fails_the_file(void **state) {
    (void)state;
    file_put_hole("src", 4 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(
        100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_OPEN, .chunk_size = CHUNK, .chunks = 5});
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_INTEGRITY);
    assert_int_equal(planner.files.count, 0);
}

static void test_done_on_s3_is_skipped(void **state) {
    (void)state;
    file_put_hole("src", 10);
    planner_start("s3://bucket/x", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_DONE});
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner.stats.files_skipped, 1);
    assert_int_equal(planner.stats.bytes_total, 0);
}

/* The record has this crc. The next PLAN shows whether the content was the recorded one. */
static struct plan_file verified_plan(uint32_t differs, uint32_t crc) {
    struct plan_file list[PLAN_FILES_MAX];
    struct job jobs[4];
    bool more = true;
    file_put_hole("src", 3 * VERIFY_PIECE + 10);
    planner_start("s3://bucket/x", false, ON_CHANGE_FAIL);
    planner_plan_one(
        100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_DONE, .differs = differs, .crc = crc});
    assert_int_equal(reported.skipped, 0);
    assert_int_equal(planner_request(10000, 4, list), 0); /* not before the file is read */
    assert_int_equal(planner_offer_all(150, jobs, 4), 0);
    while (more)
        assert_int_equal(planner_verify_step(&planner, 200, &more), 0);
    assert_int_equal(planner_request(200, 5, list), 1);
    assert_true(id_is_zero(&list[0].upload));
    return list[0];
}

static uint32_t crc_of_zeros(size_t size) {
    char *zeros = calloc(1, size);
    uint32_t crc = crc32c_add(0, zeros, size);
    free(zeros);
    return crc;
}

static void test_a_finished_file_with_another_ctime_is_compared_by_content(void **state) {
    (void)state;
    uint32_t crc = crc_of_zeros(3 * VERIFY_PIECE + 10);
    struct plan_file plan = verified_plan(DIFFERS_CTIME, crc);
    assert_true(plan.verified && plan.crc == crc);
    assert_int_equal(plan.flags, PLAN_PUT);
    struct planned_file p = {.index = plan.index, .upload = upload_id(1), .state = PLANNED_DONE};
    planner_answer(201, 5, &p, 1);
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner.stats.files_verified, 1);
}

/* The content is the same but the inode number is not: the file system does not keep numbers. */
static void test_another_inode_of_the_same_content_is_noted(void **state) {
    struct stat st;
    bool more;
    (void)state;
    file_put_hole("src", 10);
    planner_start("s3://bucket/x", false, ON_CHANGE_FAIL);
    assert_int_equal(stat("src", &st), 0);
    for (unsigned differs = DIFFERS_CTIME; differs >= DIFFERS_INODE; differs--) {
        planner.mounts = (struct mounts){.items = {{.dev = st.st_dev, .inodes = INODES_WEAK}}, .count = 1, .next = 1};
        planner_plan_one(100 * differs, (struct planned_file){.upload = upload_id(1),
                                                              .state = PLANNED_DONE,
                                                              .differs = (enum differs)differs,
                                                              .crc = crc_of_zeros(10)});
        assert_int_equal(planner_verify_step(&planner, 200, &more), 0);
        assert_int_equal(reported.notices, differs == DIFFERS_INODE ? 1 : 0);
        assert_int_equal(planner.files.first->id.ino == 0, differs == DIFFERS_INODE);
        planner_file_replan(&planner, planner.files.first, 1);
        planner.files.first->verified = false;
    }
    assert_non_null(strstr(reported.notice, "inode numbers of unchanged files differ"));
}

static void test_other_content_is_uploaded(void **state) {
    (void)state;
    struct plan_file plan = verified_plan(DIFFERS_CTIME | DIFFERS_INODE, 1);
    assert_false(plan.verified);
    assert_int_equal(plan.flags, PLAN_PUT | PLAN_FORCE);
    struct planned_file p = {.index = plan.index, .upload = upload_id(2), .state = PLANNED_NEW};
    planner_answer(201, 5, &p, 1);
    assert_int_equal(planner.files.first->state, FILE_PUT);
    assert_int_equal(planner.stats.files_verified, 0);
}

static void test_a_file_that_changes_while_it_is_compared_is_planned_again(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    bool more;
    (void)state;
    file_put_hole("src", 100);
    planner_start("s3://bucket/x", false, ON_CHANGE_FAIL);
    planner_plan_one(100,
                     (struct planned_file){.upload = upload_id(1), .state = PLANNED_DONE, .differs = DIFFERS_CTIME});
    file_put_hole("src", 200);
    assert_int_equal(planner_verify_step(&planner, 200, &more), 0);
    assert_int_equal(planner_request(200, 5, list), 1);
    assert_int_equal(list[0].source.file.size, 200);
    assert_false(list[0].verified);
    planner_file_replan(&planner, planner.files.first, 300);
    assert_int_equal(planner_request(300, 6, list), 1);
    struct planned_file p = {.index = list[0].index, .state = PLANNED_DONE, .upload = upload_id(1), .differs = 2};
    planner_answer(301, 6, &p, 1);
    assert_int_equal(unlink("src"), 0);
    assert_int_equal(planner_verify_step(&planner, 302, &more), 0);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_a_file_that_grows_past_the_limit_of_the_store_fails(void **state) {
    struct geometry_limits limits = geometry_limits_s3;
    bool more;
    (void)state;
    file_put_hole("src", 100);
    planner_start("s3://bucket/x", false, ON_CHANGE_FAIL);
    planner_plan_one(100,
                     (struct planned_file){.upload = upload_id(1), .state = PLANNED_DONE, .differs = DIFFERS_CTIME});
    limits.file_max_bytes = 199;
    planner.limits = &limits;
    file_put_hole("src", 200);
    assert_int_equal(planner_verify_step(&planner, 200, &more), 0);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner.files.count, 0);
}

static void offers_the_check(uint64_t now_ms, const struct id128 *id) {
    struct job jobs[4];
    assert_int_equal(planner_offer_all(now_ms, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_STAT);
    assert_true(id_equal(&jobs[0].ref.upload, id));
}

static void test_done_on_file_is_looked_up_first(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct id128 id = upload_id(1);
    (void)state;
    file_put_hole("src", 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = id, .state = PLANNED_DONE});
    offers_the_check(101, &id);
    struct event e = {.ref = {.kind = JOB_STAT, .upload = id}, .kind = EVENT_CHECKED, .exists = true, .size = 9};
    planner_receive(200, &e, 1, NULL, 0);
    assert_int_equal(planner_request(200, 5, list), 1); /* another size counts as missing */
    assert_int_equal(list[0].flags, PLAN_PUT | PLAN_MISSING);
    assert_true(id_is_zero(&list[0].upload));
    struct planned_file p = {.index = list[0].index, .upload = id, .state = PLANNED_DONE};
    planner_answer(201, 5, &p, 1);
    offers_the_check(202, &id);
    e.size = 10;
    planner_receive(300, &e, 1, NULL, 0);
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(planner.offers.used, 0);
}

static void test_force_is_asked_once(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    file_put_hole("src", 10);
    planner_start("s3://bucket/x", true, ON_CHANGE_FAIL);
    assert_int_equal(planner_request(1, 1, list), 1);
    assert_int_equal(list[0].flags, PLAN_PUT | PLAN_FORCE);
    struct planned_file p = {.index = list[0].index, .upload = upload_id(2), .state = PLANNED_NEW};
    planner_answer(2, 1, &p, 1);
    planner_replan_all(&planner, 3);
    assert_int_equal(planner_request(3, 2, list), 1);
    assert_int_equal(list[0].flags, PLAN_PUT); /* the new id is known */
    assert_true(id_equal(&list[0].upload, &p.upload));
    p.state = PLANNED_DONE; /* its put was recorded in the meantime */
    planner_answer(4, 2, &p, 1);
    assert_int_equal(reported.done, 1);
    assert_int_equal(reported.skipped, 0);
    assert_int_equal(planner.stats.bytes_done, 10);
}

static void test_superseded_upload_is_aborted_first(void **state) {
    struct job jobs[4];
    struct id128 old = upload_id(9);
    (void)state;
    file_put_hole("src", 2 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = PLANNED_NEW,
                                                .chunk_size = CHUNK,
                                                .chunks = 2,
                                                .superseded = old,
                                                .superseded_handle = slice_of("old-handle"),
                                                .superseded_opened = true});
    assert_int_equal(planner_offer_all(101, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_true(id_equal(&jobs[0].ref.upload, &old));
    assert_true(slice_equal(jobs[0].handle, slice_of("old-handle")));
    planner_receive_record(200, record_of_abort(&old, "superseded"));
    assert_int_equal(planner_offer_all(201, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_BEGIN);
    assert_int_equal(jobs[0].chunks, 2);
    assert_int_equal(reported.failed, 0);
}

static void test_clearing_asks_again_without_a_record(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct job job;
    (void)state;
    file_put_hole("src", 2 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = PLANNED_NEW,
                                                .superseded = upload_id(9),
                                                .superseded_handle = slice_of("h"),
                                                .superseded_opened = true});
    assert_int_equal(planner.files.first->state, FILE_CLEAR);
    assert_int_equal(planner_request(100 + CLEAR_RECHECK_MS - 1, 7, list), 0);
    assert_int_equal(planner_request(100 + CLEAR_RECHECK_MS, 7, list), 1);
    assert_int_equal(planner.offers.used, 0);
    struct planned_file p = {
        .index = list[0].index, .upload = upload_id(1), .state = PLANNED_NEW, .superseded = upload_id(9)};
    planner_answer(5000, 7, &p, 1); /* an upload that was never opened ends without an abort */
    assert_int_equal(planner_offer_all(5000, &job, 1), 0);
    assert_int_equal(planner_request(5000 + CLEAR_UNOPENED_MS, 8, list), 1);
    p.superseded_opened = true;
    planner_answer(6000, 8, &p, 1); /* an upload without a handle may have left something nevertheless */
    assert_int_equal(planner_offer_all(6000, &job, 1), 1);
    assert_int_equal(job.ref.kind, JOB_ABORT);
    assert_int_equal(job.handle.len, 0);
}

static void test_refused_and_superseded_plans_fail_the_file(void **state) {
    (void)state;
    file_put_hole("src", 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.state = PLANNED_REFUSED, .error = slice_of("no room")});
    assert_string_equal(reported.reason, "no room");
    planner_release(&planner);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.state = PLANNED_SUPERSEDED});
    assert_int_equal(reported.class, FAIL_SUPERSEDED);
    assert_int_equal(reported.failed, 2);
}

static void test_the_table_stays_bounded(void **state) {
    char name[64];
    bool more;
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    for (int i = 0; i < FILES_AHEAD + 10; i++) {
        snprintf(name, sizeof name, "src/%d", i);
        file_put_hole(name, 1);
    }
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(planner.files.count, FILES_AHEAD);
    assert_true(planner.stats.walking);
    for (int i = 0; i < 10; i++)
        planner_file_done(&planner, planner.files.first, 1);
    assert_int_equal(scan_step(&planner, 1000, &more), 0);
    assert_int_equal(planner.files.count, FILES_AHEAD);
    planner_file_done(&planner, planner.files.first, 1);
    assert_int_equal(scan_step(&planner, 1000, &more), 0);
    assert_false(planner.stats.walking);
    assert_int_equal(planner.stats.files_seen, FILES_AHEAD + 10);
}

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(CORE_TEST(test_small_files_are_puts_and_large_ones_chunks), CORE_TEST(test_names_that_fit_no_key_fail_alone),
          CORE_TEST(test_a_file_that_changed_just_now_is_planned_in_the_next_tick),
          CORE_TEST(test_a_file_onto_itself_fails), CORE_TEST(test_planned_answers_a_prefix),
          CORE_TEST(test_an_open_upload_without_a_handle_fails), CORE_TEST(test_open_uploads_are_resumed),
          CORE_TEST(test_a_bitmap_ends_with_the_last_recorded_chunk),
          CORE_TEST(test_geometry_that_does_not_fit_fails_the_file), CORE_TEST(test_done_on_s3_is_skipped),
          CORE_TEST(test_a_finished_file_with_another_ctime_is_compared_by_content),
          CORE_TEST(test_another_inode_of_the_same_content_is_noted), CORE_TEST(test_other_content_is_uploaded),
          CORE_TEST(test_a_file_that_changes_while_it_is_compared_is_planned_again),
          CORE_TEST(test_a_file_that_grows_past_the_limit_of_the_store_fails),
          CORE_TEST(test_done_on_file_is_looked_up_first), CORE_TEST(test_force_is_asked_once),
          CORE_TEST(test_superseded_upload_is_aborted_first), CORE_TEST(test_clearing_asks_again_without_a_record),
          CORE_TEST(test_refused_and_superseded_plans_fail_the_file), CORE_TEST(test_the_table_stays_bounded))
