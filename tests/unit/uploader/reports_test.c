#include "unit.h"

#include "uploader/reports.h"
#include "uploader/tasks/tasks.h"

static struct reports reports;

static int setup(void **state) {
    (void)state;
    reports_init(&reports);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    reports_release(&reports);
    return 0;
}

static struct result chunk(uint32_t number, enum outcome outcome) {
    return (struct result){.ref = {.kind = JOB_CHUNK, .upload = {{1, 2, 3}}, .chunk = number},
                           .outcome = outcome,
                           .handle = slice_of("handle"),
                           .etag = slice_of("etag")};
}

static size_t send_due(uint64_t now_ms) {
    struct result due[64];
    size_t count = reports_due(&reports, due, 64);
    reports_sent(&reports, count, now_ms);
    return count;
}

static void add(uint32_t number) {
    struct result r = chunk(number, OUTCOME_DONE);
    assert_int_equal(reports_add(&reports, &r, NULL), 0);
}

static void test_result_is_copied(void **state) {
    (void)state;
    char text[] = "some error";
    struct result r = chunk(7, OUTCOME_FAILED), due[2];
    r.error = slice_of(text);
    assert_int_equal(reports_add(&reports, &r, NULL), 0);
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(reports_due(&reports, due, 2), 1);
    assert_true(slice_equal(due[0].error, slice_of("some error")));
    assert_int_equal(due[0].ref.chunk, 7);
}

static void test_a_result_is_resent_until_it_is_answered(void **state) { /* rule 8 */
    (void)state;
    add(0);
    assert_int_equal(send_due(1000), 1);
    assert_int_equal(send_due(1000), 0);
    static const uint64_t waits[] = {1000, 2000, 4000, 5000, 5000, 5000};
    uint64_t now = 1000;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        assert_int_equal(reports_tick(&reports, now + waits[i] - 1), now + waits[i]);
        assert_int_equal(send_due(now + waits[i] - 1), 0);
        now += waits[i];
        assert_int_equal(reports_tick(&reports, now), UINT64_MAX);
        assert_int_equal(send_due(now), 1);
    }
    struct ref ref = chunk(0, OUTCOME_DONE).ref;
    struct report *r = reports_take(&reports, &ref, OUTCOME_DONE);
    assert_non_null(r);
    report_destroy(&r);
    assert_int_equal(reports.count, 0);
    reports_tick(&reports, now + 100000);
    assert_int_equal(send_due(now + 100000), 0);
    assert_null(reports_take(&reports, &ref, OUTCOME_DONE)); /* a second answer */
}

static void test_all_are_resent_after_a_reconnect(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        add(i);
    assert_int_equal(send_due(1000), 5);
    reports_send_all_again(&reports);
    assert_int_equal(send_due(1001), 5);
    assert_int_equal(reports_tick(&reports, 1002), 2001); /* and the wait starts at its minimum */
}

static void test_an_answer_belongs_to_job_and_outcome(void **state) {
    (void)state;
    struct result done = chunk(3, OUTCOME_DONE), redo = chunk(3, OUTCOME_REDO);
    assert_int_equal(reports_add(&reports, &done, NULL), 0);
    assert_int_equal(reports_add(&reports, &redo, NULL), 0);
    assert_int_equal(reports.count, 2);
    struct ref other = chunk(4, OUTCOME_DONE).ref;
    assert_null(reports_take(&reports, &other, OUTCOME_DONE));
    assert_null(reports_take(&reports, &done.ref, OUTCOME_FAILED));
    struct report *r = reports_take(&reports, &redo.ref, OUTCOME_REDO);
    assert_non_null(r);
    report_destroy(&r);
    assert_true(reports_has(&reports, &done.ref));
    assert_false(reports_has(&reports, &other));
}

static void test_the_same_result_is_kept_once(void **state) {
    (void)state;
    add(1);
    add(1);
    assert_int_equal(reports.count, 1);
    assert_int_equal(send_due(0), 1);
}

static void test_batches_go_in_order(void **state) {
    (void)state;
    struct result due[3];
    for (uint32_t i = 0; i < 7; i++)
        add(i);
    for (uint32_t first = 0; first < 7; first += 3) {
        size_t count = reports_due(&reports, due, 3);
        assert_int_equal(count, first == 6 ? 1 : 3);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(due[i].ref.chunk, first + i);
        reports_sent(&reports, count, 0);
    }
}

static void test_the_next_result_to_resend_decides_about_the_tick(void **state) {
    (void)state;
    add(0);
    assert_int_equal(send_due(1000), 1);
    add(1);
    assert_int_equal(send_due(1400), 1);
    assert_int_equal(reports_tick(&reports, 1500), 2000);
    assert_int_equal(reports_tick(&reports, 2000), 2400);
    assert_int_equal(send_due(2000), 1);
}

static void test_bytes_are_reported_once(void **state) {
    (void)state;
    struct result r = chunk(0, OUTCOME_DONE), due[1];
    r.sent_bytes = 500;
    assert_int_equal(reports_add(&reports, &r, NULL), 0);
    assert_int_equal(reports_due(&reports, due, 1), 1);
    assert_int_equal(due[0].sent_bytes, 500);
    reports_sent(&reports, 1, 1000);
    reports_send_all_again(&reports);
    assert_int_equal(reports_due(&reports, due, 1), 1);
    assert_int_equal(due[0].sent_bytes, 0);
}

static void test_a_result_of_any_outcome_is_known(void **state) {
    (void)state;
    struct result redo = chunk(3, OUTCOME_REDO);
    assert_false(reports_has(&reports, &redo.ref));
    assert_int_equal(reports_add(&reports, &redo, NULL), 0);
    assert_true(reports_has(&reports, &redo.ref));
}

static void test_no_report_can_be_destroyed(void **state) {
    (void)state;
    struct report *none = NULL;
    report_destroy(&none);
    assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_result_is_copied), TEST(test_a_result_is_resent_until_it_is_answered),
          TEST(test_all_are_resent_after_a_reconnect), TEST(test_an_answer_belongs_to_job_and_outcome),
          TEST(test_the_same_result_is_kept_once), TEST(test_batches_go_in_order),
          TEST(test_the_next_result_to_resend_decides_about_the_tick), TEST(test_bytes_are_reported_once),
          TEST(test_a_result_of_any_outcome_is_known), TEST(test_no_report_can_be_destroyed))
