/* How many jobs go into one message, and how many files into one PLAN. */
#include "planner_support.h"
#include <sys/stat.h>

/* So many new files, each one put. */
static void planned_puts(unsigned count) {
    struct plan_file list[PLAN_FILES_MAX];
    struct planned_file answers[PLAN_FILES_MAX];
    char name[32];
    assert_int_equal(mkdir("src", 0700), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "src/%02u", i);
        file_put_hole(name, 1);
    }
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(planner_request(100, 1, list), count);
    for (unsigned i = 0; i < count; i++)
        answers[i] = (struct planned_file){.index = list[i].index, .upload = upload_id(i), .state = PLANNED_NEW};
    planner_answer(100, 1, answers, count);
    planner.fleet.share = 64;
    assert_int_equal(jobs_refill(&planner, 101), 0);
}

static size_t picked_with(uint32_t uploaders, uint32_t share) {
    struct offer *picked[OFFER_JOBS];
    planner.fleet.uploaders = uploaders;
    planner.fleet.share = share;
    return jobs_pick(&planner, picked, OFFER_JOBS);
}

static void test_puts_are_shared_by_the_uploaders(void **state) {
    (void)state;
    planned_puts(21);
    assert_int_equal(picked_with(1, 64), 21);
    assert_int_equal(picked_with(2, 64), 11);
    assert_int_equal(picked_with(4, 64), 6);
    assert_int_equal(picked_with(0, 64), 21);
    assert_int_equal(picked_with(20, 64), OFFER_CHUNKS); /* at least */
}

static void test_pick_takes_no_more_than_the_caller_has_room_for(void **state) {
    struct offer *picked[5];
    (void)state;
    planned_puts(21);
    assert_int_equal(jobs_pick(&planner, picked, 5), 5);
}

static void test_nothing_is_picked_during_a_drain(void **state) {
    (void)state;
    planned_puts(2);
    planner.draining = true;
    assert_int_equal(picked_with(1, 64), 0);
}

/* A begun file; all its chunks are READY. */
static void ready_chunks(uint32_t chunks) {
    struct job jobs[4];
    file_put_hole("src", chunks * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){
                              .upload = upload_id(1), .state = PLANNED_NEW, .chunk_size = CHUNK, .chunks = chunks});
    assert_int_equal(planner_offer_all(101, jobs, 4), 1);
    planner_receive_record(110, record_of_begin(planner.files.first));
    planner.fleet.share = 64;
    assert_int_equal(jobs_refill(&planner, 111), 0);
}

static void test_chunks_are_spread_while_slots_are_scarce(void **state) {
    (void)state;
    ready_chunks(16);
    assert_int_equal(picked_with(1, 64), OFFER_CHUNKS);
    assert_int_equal(picked_with(1, OFFER_CHUNKS), OFFER_CHUNKS);
    assert_int_equal(picked_with(2, 6), 3);
    assert_int_equal(picked_with(2, 3), 1);
    assert_int_equal(picked_with(2, 1), 1);
    assert_int_equal(picked_with(0, 2), 2);
}

static void test_length_of_a_job_is_that_of_its_bytes(void **state) {
    struct offer *picked[OFFER_JOBS];
    struct job job;
    (void)state;
    ready_chunks(2);
    assert_int_equal(jobs_pick(&planner, picked, OFFER_JOBS), 2);
    jobs_build(&planner, picked[1], &job);
    assert_int_equal(job.offset, CHUNK);
    assert_int_equal(job.length, CHUNK);
    picked[1]->ref.kind = JOB_FINISH;
    jobs_build(&planner, picked[1], &job);
    picked[1]->ref.kind = JOB_CHUNK;
    assert_int_equal(job.length, 0);
}

static void test_message_has_one_kind_of_bulk_jobs(void **state) {
    struct offer *picked[OFFER_JOBS];
    (void)state;
    ready_chunks(2);
    picked[0] = planner.offers.last[QUEUE_BULK];
    picked[0]->ref.kind = JOB_PUT;
    assert_int_equal(picked_with(1, 64), 1);
    picked[0]->ref.kind = JOB_CHUNK;
    assert_int_equal(picked_with(1, 64), 2);
}

/* A PLAN is at most PLAN_BYTES_MAX bytes long. */
static void test_long_names_go_into_several_plans(void **state) {
    static const struct source_identity identity;
    static const struct geometry geometry = {.chunk_size = CHUNK, .chunks = 1};
    struct plan_file list[PLAN_FILES_MAX];
    char name[4001];
    (void)state;
    file_put_hole("src", 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (unsigned i = 0; i < PLAN_FILES_MAX; i++) {
        struct file *f;
        assert_int_equal(files_add(&planner.files, name, name, &identity, &geometry, &f), 0);
    }
    size_t count = planner_request(100, 1, list);
    assert_in_range(count, PLAN_BYTES_MAX / 9000, PLAN_BYTES_MAX / 8000);
    assert_in_range(planner_request(100, 2, list), PLAN_BYTES_MAX / 9000, PLAN_BYTES_MAX / 8000);
}

static void test_plan_is_due_at_its_time(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    file_put_hole("src", 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner.files.first->plan_due_ms = 500;
    assert_int_equal(plan_deadline(&planner), 500);
    assert_int_equal(planner_request(499, 1, list), 0);
    assert_int_equal(planner_request(500, 1, list), 1);
    assert_int_equal(plan_deadline(&planner), 500 + PLAN_AGAIN_MS);
    assert_int_equal(planner_request(499 + PLAN_AGAIN_MS, 2, list), 0);
    assert_int_equal(planner_request(500 + PLAN_AGAIN_MS, 2, list), 1);
    planner.files.first->state = FILE_PUT;
    assert_int_equal(plan_deadline(&planner), UINT64_MAX);
}

/* ---- the number of jobs in a message ---- */

static void test_puts_are_shared_without_a_rest(void **state) {
    (void)state;
    planned_puts(21);
    assert_int_equal(picked_with(3, 64), 7);
}

static void test_urgent_jobs_of_any_kind_share_a_message(void **state) {
    (void)state;
    ready_chunks(2);
    planner.files.first->state = FILE_FINISH;
    while (planner.offers.first[QUEUE_BULK])
        jobs_give_back(&planner, planner.offers.first[QUEUE_BULK]);
    struct ref ref = {.kind = JOB_FINISH, .upload = planner.files.first->upload};
    struct offer *finish, *begin;
    assert_int_equal(jobs_take(&planner, planner.files.first, &ref, &finish), 0);
    ref = (struct ref){.kind = JOB_BEGIN, .upload = upload_id(9)};
    assert_int_equal(offers_add(&planner.offers, &ref, planner.files.first, 0, &begin), 0);
    assert_int_equal(picked_with(1, 64), 2);
}

/* A planned file with this path, to be put. */
static void add_put(unsigned number, const char *name) {
    static const struct source_identity identity;
    static const struct geometry geometry = {.chunk_size = CHUNK, .chunks = 1};
    struct id128 id = upload_id(number);
    struct file *f;
    assert_int_equal(files_add(&planner.files, name, "d", &identity, &geometry, &f), 0);
    files_set_upload(&planner.files, f, &id);
    f->state = FILE_PUT;
}

/* One with a path of so many bytes. */
static void add_long_put(unsigned number, size_t bytes) {
    static char name[PROTO_OFFER_MAX + 1];
    memset(name, 'n', bytes);
    name[bytes] = '\0';
    add_put(number, name);
}

static void test_message_of_long_names_has_fewer_jobs(void **state) {
    (void)state;
    planned_puts(0);
    for (unsigned i = 0; i < 10; i++)
        add_long_put(i, 4000);
    assert_int_equal(jobs_refill(&planner, 102), 0);
    assert_int_equal(picked_with(1, 64), PROTO_OFFER_MAX / 4300);
}

static void test_message_of_long_content_types_has_fewer_jobs(void **state) {
    char type[1001], path[32];
    struct buf types = BUF_INIT;
    (void)state;
    planned_puts(0);
    memset(type, 'a', sizeof type);
    type[sizeof type - 1] = '\0';
    assert_int_equal(buf_addf(&types, "%s t\n", type), 0);
    assert_int_equal(mime_types_parse(&planner.properties.mime, &types), 0);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "%u.t", i);
        add_put(i, path);
    }
    assert_int_equal(jobs_refill(&planner, 102), 0);
    assert_int_equal(picked_with(1, 64), PROTO_OFFER_MAX / 1210);
}

/* 200 bytes are for each job and for the message itself. */
static void test_message_is_filled_to_its_last_byte(void **state) {
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        if (more)
            planner_start("out", false, ON_CHANGE_FAIL);
        else
            planned_puts(0);
        planner.fleet.share = 64;
        size_t names = PROTO_OFFER_MAX - 3 * 200 - 2 * strlen("d") + more;
        add_long_put(0, names / 2);
        add_long_put(1, names - names / 2);
        assert_int_equal(jobs_refill(&planner, 102), 0);
        assert_int_equal(picked_with(1, 64), more ? 1 : 2);
        planner_release(&planner);
    }
}

/* The sender reports that it does not fit. */
static void test_job_that_is_too_long_is_picked_alone(void **state) {
    (void)state;
    planned_puts(0);
    add_long_put(0, PROTO_OFFER_MAX);
    add_long_put(1, 1);
    assert_int_equal(jobs_refill(&planner, 102), 0);
    assert_int_equal(picked_with(1, 64), 1);
}

/* ---- the number of jobs in the window ---- */

static void test_puts_stay_within_the_window(void **state) {
    struct job jobs[64];
    (void)state;
    planned_puts(21);
    while (planner.offers.first[QUEUE_BULK])
        jobs_give_back(&planner, planner.offers.first[QUEUE_BULK]);
    planner.fleet.share = 8;
    assert_int_equal(planner_offer_all(102, jobs, 64), 8);
    assert_int_equal(jobs[0].length, 1);
    assert_false(planner.nothing_left);
    planner.fleet.share = 64;
    assert_int_equal(planner_offer_all(103, jobs, 64), 13);
    assert_true(planner.nothing_left);
}

static void test_begins_stay_within_the_window(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct planned_file answers[8];
    struct job jobs[16];
    char name[32];
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "src/%u", i);
        file_put_hole(name, 2 * CHUNK);
    }
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(planner_request(100, 1, list), 8);
    for (unsigned i = 0; i < 8; i++)
        answers[i] = (struct planned_file){
            .index = list[i].index, .upload = upload_id(i), .state = PLANNED_NEW, .chunk_size = CHUNK, .chunks = 2};
    planner_answer(100, 1, answers, 8);
    planner.fleet.share = 5;
    assert_int_equal(planner_offer_all(101, jobs, 16), 5);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 1, .free = 1, .share = 16};
    assert_int_equal(planner_offer_all(102, jobs, 16), 0); /* four begun files, or as many as there are slots */
    planner.fleet.slots = 6;
    assert_int_equal(planner_offer_all(103, jobs, 16), 1);
}

static void test_busy_fleet_gets_no_repeated_offer(void **state) {
    struct job jobs[4];
    (void)state;
    file_put_hole("src", 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW});
    assert_int_equal(planner_offer_all(101, jobs, 4), 1);
    planner.fleet.free = 0;
    assert_int_equal(planner_offer_all(5000, jobs, 4), 0);
    planner.fleet.free = 1;
    assert_int_equal(planner_offer_all(6000, jobs, 4), 1);
}

/* Files with chunks or their finish to send are begun, whether a job of them is offered or not. */
static void test_begun_files_count_until_they_are_finished(void **state) {
    static const enum file_state states[] = {FILE_CHUNKS, FILE_CHUNKS, FILE_FINISH, FILE_FINISH};
    static const struct source_identity identity = {.size = 2 * CHUNK};
    static const struct geometry geometry = {.size = 2 * CHUNK, .chunk_size = CHUNK, .chunks = 2};
    struct job jobs[16];
    (void)state;
    planned_puts(0);
    for (unsigned i = 0; i < 6; i++) {
        const struct id128 id = upload_id(i);
        struct file *f;
        assert_int_equal(files_add(&planner.files, "s", "d", &identity, &geometry, &f), 0);
        files_set_upload(&planner.files, f, &id);
        f->state = i < 4 ? states[i] : FILE_BEGIN;
        f->taken_single = i < 4;
    }
    planner.fleet.slots = 1;
    assert_int_equal(planner_offer_all(102, jobs, 16), 0);
    planner.fleet.slots = 5;
    assert_int_equal(planner_offer_all(103, jobs, 16), 1);
    planner.fleet.slots = 6;
    assert_int_equal(planner_offer_all(104, jobs, 16), 1);
}

static void test_put_waits_for_the_chunks_of_earlier_files(void **state) {
    struct job jobs[16];
    (void)state;
    ready_chunks(8);
    while (planner.offers.first[QUEUE_BULK])
        jobs_give_back(&planner, planner.offers.first[QUEUE_BULK]);
    add_long_put(7, 1);
    planner.fleet.share = 5;
    assert_int_equal(planner_offer_all(200, jobs, 16), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(jobs[i].ref.kind, JOB_CHUNK);
}

static void test_job_that_is_not_sent_stays_ready(void **state) {
    struct offer *picked[OFFER_JOBS];
    (void)state;
    ready_chunks(2);
    assert_int_equal(jobs_pick(&planner, picked, OFFER_JOBS), 2);
    jobs_sent(&planner, picked, 1, 120);
    assert_int_equal(picked[0]->state, OFFER_OPEN);
    assert_int_equal(picked[1]->state, OFFER_READY);
}

/* ---- the jobs of a state ---- */

static uint64_t bytes_of_job(struct file *f, enum file_state state, enum job_kind kind, uint32_t chunk) {
    const struct ref ref = {.kind = kind, .upload = f->upload, .chunk = chunk};
    struct offer *offer;
    f->state = state;
    assert_int_equal(jobs_take(&planner, f, &ref, &offer), 0);
    return offer->bytes;
}

static void test_bytes_of_a_job_are_those_that_it_moves(void **state) {
    (void)state;
    ready_chunks(2);
    struct file *f = planner.files.first;
    f->id.size = 2 * CHUNK;
    assert_int_equal(bytes_of_job(f, FILE_CHUNKS, JOB_CHUNK, 1), CHUNK);
    assert_int_equal(bytes_of_job(f, FILE_FINISH, JOB_FINISH, 0), 0);
    assert_int_equal(bytes_of_job(f, FILE_PUT, JOB_PUT, 0), 2 * CHUNK);
}

static void test_job_is_current_in_the_state_of_its_kind(void **state) {
    static const struct {
        enum file_state state;
        enum job_kind kind;
    } pairs[] = {{FILE_CHECK, JOB_STAT},    {FILE_BEGIN, JOB_BEGIN}, {FILE_CHUNKS, JOB_CHUNK},
                 {FILE_FINISH, JOB_FINISH}, {FILE_PUT, JOB_PUT},     {FILE_CLEAR, JOB_ABORT}};
    static const enum file_state without[] = {FILE_PLAN, FILE_VERIFY};
    (void)state;
    ready_chunks(2);
    struct file *f = planner.files.first;
    f->superseded = f->upload;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct ref ref = {.kind = pairs[i].kind, .upload = f->upload};
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            f->state = pairs[k].state;
            assert_int_equal(jobs_is_current(f, &ref), i == k);
        }
        for (size_t k = 0; k < sizeof without / sizeof *without; k++) {
            f->state = without[k];
            assert_false(jobs_is_current(f, &ref));
        }
    }
}

static void test_job_of_another_upload_or_chunk_is_not_current(void **state) {
    (void)state;
    ready_chunks(2);
    struct file *f = planner.files.first;
    struct ref ref = {.kind = JOB_CHUNK, .upload = f->upload, .chunk = 1};
    assert_true(jobs_is_current(f, &ref));
    ref.chunk = 2;
    assert_false(jobs_is_current(f, &ref));
    ref = (struct ref){.kind = JOB_CHUNK, .upload = upload_id(77)};
    assert_false(jobs_is_current(f, &ref));
    memset(&f->upload, 0, sizeof f->upload); /* it has none */
    memset(&ref.upload, 0, sizeof ref.upload);
    assert_false(jobs_is_current(f, &ref));
    f->upload = upload_id(1);
}

/* ---- the first offer of a file ---- */

static void test_file_starts_with_its_first_bytes(void **state) {
    struct job jobs[4];
    (void)state;
    file_put_hole("src", 2 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_DONE});
    assert_int_equal(planner_offer_all(101, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_STAT);
    assert_int_equal(reported.started, 0);
    planner_file_restart(&planner, planner.files.first, 200);
    planner_plan_one(
        200, (struct planned_file){
                 .upload = upload_id(2), .state = PLANNED_NEW, .superseded = upload_id(9), .superseded_opened = true});
    assert_int_equal(planner_offer_all(201, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_int_equal(reported.started, 0);
    struct id128 old = upload_id(9);
    planner_receive_record(202, record_of_abort(&old, "superseded"));
    assert_int_equal(planner_offer_all(203, jobs, 4), 1);
    assert_int_equal(reported.started, 1);
    assert_int_equal(planner.files.first->started_ms, 203);
    planner_receive_record(210, record_of_begin(planner.files.first));
    assert_int_equal(planner_offer_all(211, jobs, 4), 2);
    assert_int_equal(reported.started, 1);
}

/* ---- plans ---- */

/* 32 files of 8 KiB fill it. */
static void test_plan_is_filled_to_its_last_byte(void **state) {
    static const struct source_identity identity;
    static const struct geometry geometry = {.chunk_size = CHUNK, .chunks = 1};
    struct plan_file list[PLAN_FILES_MAX];
    static char name[PLAN_BYTES_MAX + 1];
    struct file *f;
    (void)state;
    planned_puts(0);
    memset(name, 'n', (8192 - 256) / 2);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(files_add(&planner.files, name, name, &identity, &geometry, &f), 0);
    assert_int_equal(planner_request(100, 2, list), 32);
    memset(name, 'n', PLAN_BYTES_MAX);
    while (planner.files.first)
        files_remove(&planner.files, planner.files.first);
    assert_int_equal(files_add(&planner.files, name, "d", &identity, &geometry, &f), 0);
    assert_int_equal(files_add(&planner.files, "s", "d", &identity, &geometry, &f), 0);
    assert_int_equal(planner_request(100, 3, list), 1); /* one that is too long alone */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_puts_are_shared_by_the_uploaders), TEST(test_pick_takes_no_more_than_the_caller_has_room_for),
          TEST(test_nothing_is_picked_during_a_drain), TEST(test_chunks_are_spread_while_slots_are_scarce),
          TEST(test_length_of_a_job_is_that_of_its_bytes), TEST(test_message_has_one_kind_of_bulk_jobs),
          TEST(test_long_names_go_into_several_plans), TEST(test_plan_is_due_at_its_time),
          TEST(test_puts_are_shared_without_a_rest), TEST(test_urgent_jobs_of_any_kind_share_a_message),
          TEST(test_message_of_long_names_has_fewer_jobs), TEST(test_message_of_long_content_types_has_fewer_jobs),
          TEST(test_job_that_is_too_long_is_picked_alone), TEST(test_puts_stay_within_the_window),
          TEST(test_begins_stay_within_the_window), TEST(test_busy_fleet_gets_no_repeated_offer),
          TEST(test_file_starts_with_its_first_bytes), TEST(test_plan_is_filled_to_its_last_byte),
          TEST(test_job_is_current_in_the_state_of_its_kind), TEST(test_job_of_another_upload_or_chunk_is_not_current),
          TEST(test_begun_files_count_until_they_are_finished), TEST(test_put_waits_for_the_chunks_of_earlier_files),
          TEST(test_job_that_is_not_sent_stays_ready), TEST(test_bytes_of_a_job_are_those_that_it_moves),
          TEST(test_message_is_filled_to_its_last_byte))
