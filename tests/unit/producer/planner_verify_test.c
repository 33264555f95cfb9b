/* The length of a step in which files are compared with their records, by a clock that the test sets. */
#include "planner_support.h"

#include "system/clock.h"

static uint64_t clock_now_ms, clock_step_ms; /* each look at the clock is so much later; now 0: the real clock */

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void) {
    uint64_t now_ms = clock_now_ms;
    clock_now_ms += clock_now_ms ? clock_step_ms : 0;
    return now_ms ? now_ms : __real_clock_ms();
}

static bool step(uint64_t step_ms) {
    bool more;
    clock_now_ms = 1000;
    clock_step_ms = step_ms;
    assert_int_equal(planner_verify_step(&planner, 200, &more), 0);
    clock_now_ms = 0;
    return more;
}

static void test_step_ends_at_its_time(void **state) {
    (void)state;
    file_put_hole("src", 10);
    planner_start("s3://bucket/x", false, ON_CHANGE_FAIL);
    struct planned_file p = {.upload = upload_id(1), .state = PLANNED_DONE, .differs = DIFFERS_CTIME};
    planner_plan_one(100, p);
    assert_true(step(VERIFY_STEP_MS));
    assert_int_equal(planner.files.first->state, FILE_VERIFY);
    assert_false(step(VERIFY_STEP_MS - 1));
    assert_int_equal(planner.files.first->state, FILE_PLAN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_step_ends_at_its_time))
