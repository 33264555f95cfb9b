/* A dry run: what a run would do with each file, by the answers of the consumer. */
#include "planner_support.h"
#include <sys/stat.h>

#define S3 "s3://bucket/key"
#define PART (5 * MIB)
#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)

static struct producer_forecast forecast;
static unsigned forecasts;
static uint32_t chunks, chunks_done;

static void note_forecast(void *arg, const struct producer_file_view *file, const struct producer_forecast *f) {
    (void)arg;
    forecasts++;
    forecast = *f;
    chunks = file->chunks;
    chunks_done = file->chunks_done;
}

static void start(const char *dest, uint64_t size, bool force) {
    file_put_hole("src", size);
    planner_start(dest, force, ON_CHANGE_FAIL);
    planner.dry_run = DRY_RUN_HERE;
    planner.events.file_forecast = note_forecast;
    forecasts = 0;
}

static struct planned_file new_upload(uint64_t size) {
    return (struct planned_file){
        .state = PLANNED_NEW, .chunk_size = PART, .chunks = (uint32_t)((size + PART - 1) / PART)};
}

/* The file has left, with this forecast. */
static void assert_forecast(enum forecast action, uint64_t bytes, uint64_t requests) {
    assert_int_equal(forecasts, 1);
    assert_int_equal(forecast.action, action);
    assert_int_equal(forecast.bytes, bytes);
    assert_int_equal(forecast.requests, requests);
    assert_int_equal(planner.files.count, 0);
}

static void test_a_file_is_asked_about_and_leaves(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    start(S3, PART, false);
    assert_int_equal(planner_request(1, 1, list), 1);
    assert_true(list[0].ask);
    struct planned_file p = new_upload(PART);
    p.index = list[0].index;
    planner_answer(2, 1, &p, 1);
    assert_forecast(FORECAST_UPLOAD, PART, 1);
}

static void test_a_large_file_is_begun_and_finished(void **state) {
    (void)state;
    start(S3, 3 * PART + 1, false);
    planner_plan_one(1, new_upload(3 * PART + 1));
    assert_forecast(FORECAST_UPLOAD, 3 * PART + 1, 1 + 4 + 1);
}

static void test_the_upload_that_was_there_is_aborted(void **state) {
    (void)state;
    start(S3, 1, false);
    struct planned_file p = new_upload(1);
    p.superseded = upload_id(9);
    p.superseded_opened = true;
    planner_plan_one(1, p);
    assert_forecast(FORECAST_UPLOAD, 1, 2);
}

static void test_recorded_chunks_are_not_sent_again(void **state) {
    (void)state;
    start(S3, 3 * PART, false);
    struct planned_file p = new_upload(3 * PART);
    p.state = PLANNED_OPEN;
    p.upload = upload_id(1);
    p.handle = slice_of("H");
    p.done = slice_of("\5");
    planner_plan_one(1, p);
    assert_forecast(FORECAST_RESUME, PART, 1 + 1);
    assert_int_equal(chunks, 3);
    assert_int_equal(chunks_done, 2);
}

static void test_a_finished_file_is_skipped(void **state) {
    (void)state;
    start(S3, 1, false);
    planner_plan_one(1, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1)});
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_an_object_in_a_directory_is_looked_up(void **state) {
    (void)state;
    file_put_hole("src", CHUNK);
    file_put_hole("out", CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner.dry_run = DRY_RUN_HERE;
    planner_plan_one(1, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1)});
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_a_missing_object_in_a_directory_is_uploaded_again(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    start("out", CHUNK, false);
    planner_plan_one(1, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1)});
    assert_int_equal(reported.skipped, 0);
    assert_int_equal(planner_request(2, 1, list), 1);
    assert_int_equal(list[0].flags, PLAN_PUT | PLAN_MISSING);
    struct planned_file p = {.index = list[0].index, .state = PLANNED_NEW, .chunk_size = CHUNK, .chunks = 1};
    planner_answer(3, 1, &p, 1);
    assert_forecast(FORECAST_UPLOAD, CHUNK, 0);
}

static void test_a_directory_elsewhere_is_not_looked_at(void **state) {
    (void)state;
    start("out", CHUNK, false);
    planner.dry_run = DRY_RUN_AWAY;
    planner_plan_one(1, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1)});
    assert_int_equal(reported.skipped, 1);
}

static void test_a_file_that_differs_is_compared_first(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    bool more;
    (void)state;
    start(S3, 0, false);
    planner_plan_one(1, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1), .differs = DIFFERS_CTIME});
    assert_int_equal(forecasts + reported.skipped, 0);
    assert_int_equal(planner_verify_step(&planner, 2, &more), 0);
    assert_int_equal(planner_request(3, 1, list), 1);
    assert_true(list[0].verified && list[0].ask);
    struct planned_file p = {.index = list[0].index, .state = PLANNED_DONE, .upload = upload_id(1)};
    planner_answer(4, 1, &p, 1);
    assert_int_equal(reported.skipped, 1);
}

static void test_a_file_that_cannot_be_uploaded_is_only_reported(void **state) {
    bool more;
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/\xff", 1);
    static const char *const given[] = {"src"};
    struct producer_config config = {
        .sources = given, .source_count = 1, .dest = "s3://bucket/p", .recursive = true, .dry_run = DRY_RUN_HERE};
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
    do
        assert_int_equal(scan_step(&planner, 1000, &more), 0);
    while (more);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner.stats.files_failed, 1);
    assert_int_equal(planner.files.count, 0); /* there is nothing to record */
}

UNIT_MAIN(CORE_TEST(test_a_file_is_asked_about_and_leaves), CORE_TEST(test_a_large_file_is_begun_and_finished),
          CORE_TEST(test_the_upload_that_was_there_is_aborted), CORE_TEST(test_recorded_chunks_are_not_sent_again),
          CORE_TEST(test_a_finished_file_is_skipped), CORE_TEST(test_an_object_in_a_directory_is_looked_up),
          CORE_TEST(test_a_missing_object_in_a_directory_is_uploaded_again),
          CORE_TEST(test_a_directory_elsewhere_is_not_looked_at), CORE_TEST(test_a_file_that_differs_is_compared_first),
          CORE_TEST(test_a_file_that_cannot_be_uploaded_is_only_reported))
