/* --check-dest: unchanged files are looked up at the store, and are skipped or sent again. */
#include "planner_support.h"

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
#define SIZE 1000

/* The file is finished, and its `stat` was offered. */
static struct ref offer_stat(bool check, const char *etag) {
    struct job job;
    file_put_hole("src", SIZE);
    planner_start("s3://bucket/key", false, ON_CHANGE_FAIL);
    planner.check_dest = check;
    planner_plan_one(1, (struct planned_file){.state = PLANNED_DONE, .upload = upload_id(1), .etag = slice_of(etag)});
    if (!check)
        return (struct ref){.kind = JOB_STAT};
    assert_int_equal(planner_offer_all(2, &job, 1), 1);
    assert_int_equal(job.ref.kind, JOB_STAT);
    assert_true(slice_equal(job.target.dest, slice_of("s3://bucket/key")));
    return job.ref;
}

static void answer(const struct ref *ref, bool exists, uint64_t size, const char *etag) {
    struct event e = {.kind = EVENT_CHECKED, .ref = *ref, .exists = exists, .size = size, .etag = slice_of(etag)};
    planner_receive(3, &e, 1, NULL, 0);
}

static void assert_sent_again(const char *difference) {
    struct plan_file list[PLAN_FILES_MAX];
    assert_int_equal(reported.skipped, 0);
    assert_int_equal(planner_request(4, 1, list), 1);
    assert_true((list[0].flags & PLAN_MISSING) && list[0].check && id_is_zero(&list[0].upload));
    assert_non_null(strstr(reported.notice, difference));
}

static void test_without_it_no_object_is_looked_up(void **state) {
    (void)state;
    (void)offer_stat(false, "E");
    assert_int_equal(reported.skipped, 1);
}

static void test_the_recorded_object_is_skipped(void **state) {
    (void)state;
    struct ref ref = offer_stat(true, "E");
    answer(&ref, true, SIZE, "E");
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(reported.notices, 0);
}

static void test_without_an_etag_the_size_decides(void **state) {
    (void)state;
    struct ref ref = offer_stat(true, "");
    answer(&ref, true, SIZE, "E");
    assert_int_equal(reported.skipped, 1);
    assert_int_equal(planner_tear_down(state) + planner_set_up(state), 0);
    ref = offer_stat(true, "E");
    answer(&ref, true, SIZE, "");
    assert_int_equal(reported.skipped, 1);
}

static void test_a_missing_object_is_sent_again(void **state) {
    (void)state;
    struct ref ref = offer_stat(true, "E");
    answer(&ref, false, 0, "");
    assert_sent_again("s3://bucket/key: is missing; it is sent again");
}

static void test_an_object_of_another_size_is_sent_again(void **state) {
    (void)state;
    struct ref ref = offer_stat(true, "E");
    answer(&ref, true, SIZE - 1, "E");
    assert_sent_again("has another size");
}

static void test_an_object_with_another_etag_is_sent_again(void **state) {
    (void)state;
    struct ref ref = offer_stat(true, "E");
    answer(&ref, true, SIZE, "F");
    assert_sent_again("was replaced");
}

UNIT_MAIN(CORE_TEST(test_without_it_no_object_is_looked_up), CORE_TEST(test_the_recorded_object_is_skipped),
          CORE_TEST(test_without_an_etag_the_size_decides), CORE_TEST(test_a_missing_object_is_sent_again),
          CORE_TEST(test_an_object_of_another_size_is_sent_again),
          CORE_TEST(test_an_object_with_another_etag_is_sent_again))
