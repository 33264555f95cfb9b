/* --ignore-existing: a file is planned after its destination was found to be free. */
#include "planner_support.h"

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
#define SIZE 1000

/* The question about the only file was offered. */
static struct ref offer_question(void) {
    static const char *const given[] = {"src"};
    struct producer_config config = {
        .sources = given, .source_count = 1, .dest = "s3://bucket/key", .ignore_existing = true};
    struct job job;
    bool more;
    file_put_hole("src", SIZE);
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
    do
        assert_int_equal(scan_step(&planner, 1000, &more), 0);
    while (more);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
    assert_int_equal(planner_offer_all(2, &job, 1), 1);
    assert_int_equal(job.ref.kind, JOB_HEAD);
    assert_true(question_is_of(&job.ref.upload, &planner.asker));
    assert_true(slice_equal(job.target.dest, slice_of("s3://bucket/key")));
    return job.ref;
}

static void answer(const struct ref *ref, bool exists, enum fail_class class) {
    struct event e = {
        .kind = EVENT_CHECKED, .ref = *ref, .exists = exists, .size = 1, .class = class, .detail = slice_of("why")};
    planner_receive(3, &e, 1, NULL, 0);
}

static void test_an_object_is_left_as_it_is(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    struct ref ref = offer_question();
    assert_int_equal(planner_request(2, 1, list), 0);
    answer(&ref, true, FAIL_NONE);
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner.stats.files_existing, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_a_free_destination_is_planned(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    struct ref ref = offer_question();
    answer(&ref, false, FAIL_NONE);
    assert_int_equal(planner_request(4, 1, list), 1);
    assert_true(id_is_zero(&list[0].upload));
    assert_int_equal(list[0].flags, PLAN_PUT); /* an unfinished upload goes on */
    struct planned_file p = {.index = list[0].index, .state = PLANNED_NEW, .upload = upload_id(1), .chunks = 1};
    planner_answer(5, 1, &p, 1);
    assert_int_equal(planner.files.first->state, FILE_PUT);
}

static void test_a_recorded_object_that_is_gone_is_sent_again(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    struct ref ref = offer_question();
    answer(&ref, false, FAIL_NONE);
    planner_plan_one(4, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1)});
    assert_int_equal(reported.skipped, 0);
    assert_int_equal(planner_request(5, 1, list), 1);
    assert_int_equal(list[0].flags, PLAN_PUT | PLAN_MISSING);
}

static void test_the_question_is_repeated_after_a_restart_of_the_consumer(void **state) {
    struct job job;
    (void)state;
    struct ref ref = offer_question();
    planner_replan_all(&planner, 3);
    assert_int_equal(planner_offer_all(4, &job, 1), 1);
    assert_int_equal(job.ref.kind, JOB_HEAD);
    assert_true(id_equal(&job.ref.upload, &ref.upload));
}

static void test_a_destination_that_cannot_be_asked_fails_the_file(void **state) {
    (void)state;
    struct ref ref = offer_question();
    answer(&ref, false, FAIL_DENIED);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_DENIED);
    assert_string_equal(reported.reason, "why");
    assert_int_equal(planner.files.count, 0);
}

UNIT_MAIN(CORE_TEST(test_an_object_is_left_as_it_is), CORE_TEST(test_a_free_destination_is_planned),
          CORE_TEST(test_a_recorded_object_that_is_gone_is_sent_again),
          CORE_TEST(test_the_question_is_repeated_after_a_restart_of_the_consumer),
          CORE_TEST(test_a_destination_that_cannot_be_asked_fails_the_file))
