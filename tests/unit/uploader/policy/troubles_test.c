/* A location that this host fails to serve: the pauses, the trials, and the end of the trouble. */
#include "unit.h"

#include "uploader/policy/troubles.h"

static struct troubles t;
static const struct slice location = {"https://s3.example", 18}, other = {"file:///out/", 12};

static int setup(void **state) {
    (void)state;
    t = (struct troubles){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    troubles_release(&t);
    return 0;
}

static void fails(struct slice at, enum own_failure own, uint64_t now_ms) {
    const struct trouble_failure f = {.own = own, .class = FAIL_DENIED, .error = "403"};
    troubles_note(&t, at, &f, now_ms);
}

static void test_a_sure_failure_takes_the_host_out_at_once(void **state) {
    (void)state;
    assert_null(troubles_block(&t, location, 1000));
    fails(location, OWN_SURE, 1000);
    assert_non_null(troubles_block(&t, location, 1000));
    assert_non_null(troubles_block(&t, location, 1999));
    assert_null(troubles_block(&t, location, 2000));
    assert_null(troubles_block(&t, other, 1000));
}

static void test_the_pause_doubles_with_each_failed_trial(void **state) {
    (void)state;
    uint64_t now = 1000, pause = TROUBLE_OUT_MIN_MS;
    for (int i = 0; i < 12; i++) {
        fails(location, OWN_SURE, now);
        assert_non_null(troubles_block(&t, location, now + pause - 1));
        now += pause;
        assert_null(troubles_block(&t, location, now));
        pause = pause * 2 < TROUBLE_OUT_MAX_MS ? pause * 2 : TROUBLE_OUT_MAX_MS;
    }
}

/* Many jobs run when the first of them fails. */
static void test_failures_of_jobs_that_started_earlier_do_not_extend_the_pause(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++)
        fails(location, OWN_SURE, 1000 + (uint64_t)i);
    assert_null(troubles_block(&t, location, 2000));
}

static void test_one_trial_at_a_time(void **state) {
    (void)state;
    fails(location, OWN_SURE, 1000);
    assert_null(troubles_block(&t, location, 2000));
    troubles_taken(&t, location, 2000);
    assert_non_null(troubles_block(&t, location, 2001));
    assert_null(troubles_block(&t, location, 2000 + TROUBLE_TRIAL_MS)); /* the trial was never granted */
    troubles_success(&t, location, false);
    assert_null(troubles_block(&t, location, 2001));
    assert_int_equal(t.count, 0);
}

static void test_a_doubtful_failure_takes_the_host_out_after_three_in_a_row_if_another_uploader_exists(void **state) {
    (void)state;
    fails(location, OWN_MAYBE, 1000);
    fails(location, OWN_MAYBE, 1000);
    troubles_success(&t, location, false);
    for (int i = 0; i < TROUBLE_FAILURES; i++) {
        assert_true(troubles_relieve(&t, &location, 1) == (i == 1));
        assert_null(troubles_block(&t, location, 1000));
        fails(location, OWN_MAYBE, 1000);
    }
    assert_non_null(troubles_block(&t, location, 1000));
    assert_true(troubles_relieve(&t, &other, 1)); /* now this uploader is the only one */
    assert_null(troubles_block(&t, location, 1000));
}

static void test_a_failure_of_the_file_is_no_trouble(void **state) {
    (void)state;
    for (int i = 0; i < 2 * TROUBLE_FAILURES; i++)
        fails(location, OWN_NO, 1000);
    assert_int_equal(t.count, 0);
}

static void test_the_report(void **state) {
    (void)state;
    struct trouble reported[PROTO_TROUBLES_MAX];
    fails(location, OWN_SURE, 1000);
    troubles_note_declined(&t, other, "not under a --root", 1000);
    assert_true(t.changed);
    assert_int_equal(troubles_report(&t, reported, 1400), 2);
    assert_false(t.changed);
    assert_true(slice_equal(reported[0].location, location) && reported[0].sure && reported[0].class == FAIL_DENIED);
    assert_int_equal(reported[0].since_ms, 400);
    assert_int_equal(reported[0].out_ms, 600);
    assert_true(slice_equal(reported[1].error, slice_of("not under a --root")));
    assert_int_equal(reported[1].out_ms, 0);
    assert_null(troubles_block(&t, other, 1400));
    assert_int_equal(troubles_report(&t, reported, 1001 + TROUBLE_NOTE_MS), 1); /* a note expires, a failure does not */
    assert_int_equal(reported[0].out_ms, 0);
}

static void test_a_job_that_reads_no_source_leaves_the_note(void **state) {
    (void)state;
    troubles_note_declined(&t, location, "not under a --root", 1000);
    troubles_success(&t, location, false);
    assert_int_equal(t.count, 1);
    troubles_success(&t, location, true);
    assert_int_equal(t.count, 0);
}

static void test_the_location_noted_longest_ago_makes_room(void **state) {
    (void)state;
    char name[PROTO_TROUBLES_MAX + 1][16];
    for (unsigned i = 0; i <= PROTO_TROUBLES_MAX; i++) {
        snprintf(name[i], sizeof name[i], "http://s%u", i);
        fails(slice_of(name[i]), OWN_SURE, 1000 + i);
    }
    assert_int_equal(t.count, PROTO_TROUBLES_MAX);
    assert_null(troubles_block(&t, slice_of(name[0]), 1100));
    assert_non_null(troubles_block(&t, slice_of(name[PROTO_TROUBLES_MAX]), 1100));
}

static void test_a_failure_at_the_end_of_the_pause_extends_it(void **state) {
    (void)state;
    fails(location, OWN_SURE, 1000);
    fails(location, OWN_SURE, 2000);
    assert_non_null(troubles_block(&t, location, 3999)); /* twice as long */
    assert_null(troubles_block(&t, location, 4000));
}

static void test_a_sure_failure_makes_a_doubtful_trouble_worse(void **state) {
    (void)state;
    for (int i = 0; i < TROUBLE_FAILURES; i++)
        fails(location, OWN_MAYBE, 1000);
    assert_null(troubles_block(&t, location, 1000));
    t.changed = false;
    fails(location, OWN_MAYBE, 1500); /* already out */
    assert_false(t.changed);
    fails(location, OWN_SURE, 1500);
    assert_true(t.changed);
    assert_non_null(troubles_block(&t, location, 3499));
    assert_null(troubles_block(&t, location, 3500));
}

static void test_a_failure_without_a_route_takes_the_host_out_at_once(void **state) {
    (void)state;
    const struct trouble_failure f = {
        .own = OWN_MAYBE, .class = FAIL_UNREACHABLE, .error = "no route", .at_once = true};
    troubles_note(&t, location, &f, 1000);
    (void)troubles_relieve(&t, &location, 1);
    assert_string_equal(troubles_block(&t, location, 1000)->error, "no route");
}

static void test_a_location_without_a_name_is_not_noted(void **state) {
    (void)state;
    fails(slice_of(""), OWN_SURE, 1000);
    troubles_note_declined(&t, slice_of(""), "not under a --root", 1000);
    assert_int_equal(t.count, 0);
}

static void test_a_job_taken_during_the_pause_is_no_trial(void **state) {
    (void)state;
    for (int i = 0; i < TROUBLE_FAILURES; i++)
        fails(location, OWN_MAYBE, 1000);
    troubles_taken(&t, location, 1999); /* no other uploader serves it */
    (void)troubles_relieve(&t, &location, 1);
    assert_null(troubles_block(&t, location, 2000));
    troubles_taken(&t, location, 2000);
    assert_non_null(troubles_block(&t, location, 2000));
}

static void test_a_job_taken_at_a_healthy_location_is_no_trial(void **state) {
    (void)state;
    troubles_taken(&t, location, 1000);
    fails(location, OWN_MAYBE, 1000);
    troubles_taken(&t, location, 5000);
    (void)troubles_relieve(&t, &location, 1);
    assert_null(troubles_block(&t, location, 5001));
}

static void test_the_reason_of_a_note_is_the_last_one(void **state) {
    (void)state;
    struct trouble reported[PROTO_TROUBLES_MAX];
    troubles_note_declined(&t, location, "not under a --root", 1000);
    troubles_note_declined(&t, location, "not under an --allow", 1000);
    assert_int_equal(troubles_report(&t, reported, 1000), 1);
    assert_true(slice_equal(reported[0].error, slice_of("not under an --allow")));
    assert_int_equal(reported[0].class, FAIL_SOURCE);
    troubles_note_declined(&t, location, "not under an --allow", 2000);
    assert_int_equal(troubles_report(&t, reported, 2000 + TROUBLE_NOTE_MS), 1);
    assert_int_equal(troubles_report(&t, reported, 2001 + TROUBLE_NOTE_MS), 0);
}

static void test_a_note_does_not_hide_a_failure(void **state) {
    (void)state;
    struct trouble reported[PROTO_TROUBLES_MAX];
    fails(location, OWN_SURE, 1000);
    troubles_note_declined(&t, location, "not under a --root", 1000);
    assert_int_equal(troubles_report(&t, reported, 1000), 1);
    assert_true(slice_equal(reported[0].error, slice_of("403")));
    assert_int_equal(reported[0].class, FAIL_DENIED);
}

static void test_failures_without_end_stay_failures(void **state) {
    (void)state;
    fails(location, OWN_SURE, 1000);
    t.items[0].failures = UINT32_MAX;
    fails(location, OWN_SURE, 2000);
    troubles_success(&t, location, false); /* ends a failure, not a note */
    assert_int_equal(t.count, 0);
}

static void test_a_success_elsewhere_ends_nothing(void **state) {
    (void)state;
    fails(location, OWN_SURE, 1000);
    t.changed = false;
    troubles_success(&t, other, true);
    assert_int_equal(t.count, 1);
    assert_false(t.changed);
    troubles_success(&t, location, false);
    assert_true(t.changed);
}

static void test_the_end_of_one_trouble_keeps_the_others(void **state) {
    (void)state;
    fails(location, OWN_SURE, 1000);
    fails(other, OWN_SURE, 1000);
    troubles_success(&t, location, false);
    assert_null(troubles_block(&t, location, 1000));
    assert_non_null(troubles_block(&t, other, 1000));
}

static void test_only_a_change_of_the_relief_is_news(void **state) {
    (void)state;
    const struct slice both[] = {location, other};
    fails(location, OWN_MAYBE, 1000);
    fails(other, OWN_MAYBE, 1000);
    assert_false(troubles_relieve(&t, NULL, 0));
    assert_true(troubles_relieve(&t, both, 2));
    assert_false(troubles_relieve(&t, both, 2));
    assert_true(t.items[0].relieved && t.items[1].relieved);
    assert_true(troubles_relieve(&t, both, 1));
    assert_true(t.items[0].relieved && !t.items[1].relieved);
}

static void test_the_location_with_the_oldest_failure_makes_room(void **state) {
    (void)state;
    char name[PROTO_TROUBLES_MAX + 1][16];
    for (unsigned i = 0; i <= PROTO_TROUBLES_MAX; i++)
        snprintf(name[i], sizeof name[i], "http://s%u", i);
    for (unsigned i = 0; i < PROTO_TROUBLES_MAX; i++)
        fails(slice_of(name[i]), OWN_SURE, 1000);
    for (unsigned i = 0; i < PROTO_TROUBLES_MAX; i++)
        if (i != 5)
            fails(slice_of(name[i]), OWN_SURE, 1100);
    fails(slice_of(name[PROTO_TROUBLES_MAX]), OWN_SURE, 1200);
    for (unsigned i = 0; i <= PROTO_TROUBLES_MAX; i++)
        assert_int_equal(troubles_block(&t, slice_of(name[i]), 1200) != NULL, i != 5);
}

static void test_of_failures_at_the_same_time_the_first_makes_room(void **state) {
    (void)state;
    char name[PROTO_TROUBLES_MAX + 1][16];
    for (unsigned i = 0; i <= PROTO_TROUBLES_MAX; i++) {
        snprintf(name[i], sizeof name[i], "http://s%u", i);
        fails(slice_of(name[i]), OWN_SURE, 1000);
    }
    for (unsigned i = 0; i <= PROTO_TROUBLES_MAX; i++)
        assert_int_equal(troubles_block(&t, slice_of(name[i]), 1000) != NULL, i != 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

UNIT_MAIN(TEST(test_a_sure_failure_takes_the_host_out_at_once), TEST(test_the_pause_doubles_with_each_failed_trial),
          TEST(test_failures_of_jobs_that_started_earlier_do_not_extend_the_pause), TEST(test_one_trial_at_a_time),
          TEST(test_a_doubtful_failure_takes_the_host_out_after_three_in_a_row_if_another_uploader_exists),
          TEST(test_a_failure_of_the_file_is_no_trouble), TEST(test_the_report),
          TEST(test_a_job_that_reads_no_source_leaves_the_note), TEST(test_the_location_noted_longest_ago_makes_room),
          TEST(test_a_failure_at_the_end_of_the_pause_extends_it),
          TEST(test_a_sure_failure_makes_a_doubtful_trouble_worse),
          TEST(test_a_failure_without_a_route_takes_the_host_out_at_once),
          TEST(test_a_location_without_a_name_is_not_noted), TEST(test_a_job_taken_during_the_pause_is_no_trial),
          TEST(test_a_job_taken_at_a_healthy_location_is_no_trial), TEST(test_the_reason_of_a_note_is_the_last_one),
          TEST(test_a_note_does_not_hide_a_failure), TEST(test_failures_without_end_stay_failures),
          TEST(test_a_success_elsewhere_ends_nothing), TEST(test_the_end_of_one_trouble_keeps_the_others),
          TEST(test_only_a_change_of_the_relief_is_news), TEST(test_the_location_with_the_oldest_failure_makes_room),
          TEST(test_of_failures_at_the_same_time_the_first_makes_room))
