#include "unit.h"

#include "uploader/policy/trials.h"

#define RETRY_FOR_MS 8000

static struct ref job(uint32_t chunk) {
    return (struct ref){.kind = JOB_CHUNK, .upload = {{1}}, .chunk = chunk};
}

static void test_a_job_that_always_fails_ends_after_retry_for(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    struct ref a = job(0);
    for (unsigned i = 0; i < 8; i++)
        assert_false(trials_fail(&t, &a, 1000 + i * 1000, RETRY_FOR_MS));
    assert_true(trials_fail(&t, &a, 9000, RETRY_FOR_MS));
}

static void test_few_failures_do_not_end_a_job(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    struct ref a = job(0);
    for (unsigned i = 1; i < TRIALS_LEAST; i++)
        assert_false(trials_fail(&t, &a, i * 60000, RETRY_FOR_MS));
    assert_true(trials_fail(&t, &a, TRIALS_LEAST * 60000, RETRY_FOR_MS));
}

static void test_a_job_that_succeeds_is_forgotten(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    struct ref a = job(0), b = job(1);
    for (unsigned i = 0; i < TRIALS_LEAST; i++)
        (void)trials_fail(&t, &a, 1000, RETRY_FOR_MS);
    assert_int_equal(t.count, 1);
    trials_forget(&t, &b);
    assert_int_equal(t.count, 1);
    trials_forget(&t, &a);
    assert_int_equal(t.count, 0);
    assert_false(trials_fail(&t, &a, 20000, RETRY_FOR_MS));
}

static void test_an_old_failure_does_not_count(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    struct ref a = job(0);
    for (unsigned i = 0; i < TRIALS_LEAST; i++)
        (void)trials_fail(&t, &a, 1000, RETRY_FOR_MS);
    assert_false(trials_fail(&t, &a, 1001 + TRIALS_IDLE_MS, RETRY_FOR_MS));
}

static void test_a_full_table_forgets_the_oldest(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    for (uint32_t i = 0; i <= TRIALS_MAX; i++) {
        struct ref a = job(i);
        (void)trials_fail(&t, &a, 1000, RETRY_FOR_MS);
    }
    assert_int_equal(t.count, TRIALS_MAX);
    struct ref last = job(TRIALS_MAX);
    for (unsigned i = 2; i < TRIALS_LEAST; i++)
        (void)trials_fail(&t, &last, 1000, RETRY_FOR_MS);
    assert_true(trials_fail(&t, &last, 9000, RETRY_FOR_MS));
}

static void test_a_pause_of_the_idle_time_still_counts(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    struct ref a = job(0);
    for (unsigned i = 0; i < TRIALS_LEAST; i++)
        (void)trials_fail(&t, &a, 1000, RETRY_FOR_MS);
    assert_true(trials_fail(&t, &a, 1000 + TRIALS_IDLE_MS, RETRY_FOR_MS));
}

static bool is_known(const struct trials *t, uint32_t chunk) {
    struct trials copy = *t;
    struct ref a = job(chunk);
    trials_forget(&copy, &a);
    return copy.count < t->count;
}

static void test_a_full_table_replaces_one_after_the_other(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    for (uint32_t i = 0; i < TRIALS_MAX + 3; i++) {
        struct ref a = job(i);
        (void)trials_fail(&t, &a, 1000, RETRY_FOR_MS);
    }
    for (uint32_t i = 0; i < TRIALS_MAX + 3; i++)
        assert_int_equal(is_known(&t, i), i >= 3);
}

static void test_a_forgotten_job_makes_room(void **state) {
    (void)state;
    struct trials t = {.count = 0};
    for (uint32_t i = 0; i < TRIALS_MAX; i++) {
        struct ref a = job(i);
        (void)trials_fail(&t, &a, 1000, RETRY_FOR_MS);
    }
    struct ref seventh = job(7), next = job(TRIALS_MAX);
    trials_forget(&t, &seventh);
    (void)trials_fail(&t, &next, 1000, RETRY_FOR_MS);
    assert_int_equal(t.count, TRIALS_MAX);
    for (uint32_t i = 0; i <= TRIALS_MAX; i++)
        assert_int_equal(is_known(&t, i), i != 7);
}

UNIT_MAIN(cmocka_unit_test(test_a_job_that_always_fails_ends_after_retry_for),
          cmocka_unit_test(test_few_failures_do_not_end_a_job), cmocka_unit_test(test_a_job_that_succeeds_is_forgotten),
          cmocka_unit_test(test_an_old_failure_does_not_count), cmocka_unit_test(test_a_full_table_forgets_the_oldest),
          cmocka_unit_test(test_a_pause_of_the_idle_time_still_counts),
          cmocka_unit_test(test_a_full_table_replaces_one_after_the_other),
          cmocka_unit_test(test_a_forgotten_job_makes_room))
