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

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_puts_are_shared_by_the_uploaders), TEST(test_pick_takes_no_more_than_the_caller_has_room_for),
          TEST(test_nothing_is_picked_during_a_drain), TEST(test_chunks_are_spread_while_slots_are_scarce),
          TEST(test_length_of_a_job_is_that_of_its_bytes), TEST(test_message_has_one_kind_of_bulk_jobs),
          TEST(test_long_names_go_into_several_plans), TEST(test_plan_is_due_at_its_time))
