#include "unit.h"

#include "uploader/policy/leases.h"
#include "uploader/policy/pace.h"

static void test_a_lease_counts_from_its_claim(void **state) {
    (void)state;
    struct lease l = {0};
    assert_false(lease_is_held(&l));
    assert_true(lease_is_over(&l, 1));
    lease_grant(&l, 1000, 10000); /* the answer may come much later */
    assert_true(lease_is_held(&l));
    assert_false(lease_is_over(&l, 10999));
    assert_true(lease_is_over(&l, 11000));
}

static void test_renewal_never_shortens(void **state) {
    (void)state;
    struct lease l = {0};
    lease_grant(&l, 5000, 10000);
    lease_renew(&l, 2000, 10000); /* the late answer to an old HEARTBEAT */
    assert_int_equal(l.deadline_ms, 15000);
    lease_renew(&l, 7000, 10000);
    assert_int_equal(l.deadline_ms, 17000);
}

static void test_progress_is_bytes_within_a_lease_time(void **state) {
    (void)state;
    struct lease l = {0};
    lease_grant(&l, 0, 1000);
    lease_run(&l, 100);
    assert_true(lease_has_progress(&l, 1100, 1000, 5000));
    assert_false(lease_has_progress(&l, 1101, 1000, 5000));
    lease_note_progress(&l, 4096, false, 1500);
    assert_true(lease_has_progress(&l, 2500, 1000, 5000));
    lease_note_progress(&l, 4096, false, 2400); /* the same bytes are no progress */
    assert_false(lease_has_progress(&l, 2501, 1000, 5000));
}

static void test_awaiting_a_reply_keeps_the_lease_for_the_response_timeout(void **state) {
    (void)state;
    struct lease l = {0};
    lease_grant(&l, 0, 1000);
    lease_run(&l, 0);
    lease_note_progress(&l, 8192, true, 500);
    lease_note_progress(&l, 8192, true, 4000);
    assert_true(lease_has_progress(&l, 5500, 1000, 5000));
    assert_false(lease_has_progress(&l, 5501, 1000, 5000));
    lease_note_progress(&l, 8192, false, 5600);
    assert_false(lease_has_progress(&l, 5600, 1000, 5000));
}

static void test_a_slow_reply_keeps_the_lease_longer(void **state) {
    (void)state;
    struct lease l = {0};
    lease_grant(&l, 0, 1000);
    lease_run(&l, 0);
    lease_note_progress(&l, 8192, true, 500);
    lease_note_progress(&l, 8193, true, 4000);
    assert_true(lease_has_progress(&l, 9000, 1000, 5000));
    assert_false(lease_has_progress(&l, 9001, 1000, 5000));
}

static void test_a_new_attempt_restarts_the_count(void **state) {
    (void)state;
    struct lease l = {0};
    lease_grant(&l, 0, 1000);
    lease_run(&l, 0);
    lease_note_progress(&l, 8192, true, 500);
    lease_run(&l, 9000);
    assert_int_equal(l.awaiting_ms, 0);
    assert_true(lease_has_progress(&l, 10000, 1000, 5000));
    lease_note_progress(&l, 8192, false, 10000); /* the same number of bytes as before is progress of the new attempt */
    assert_true(lease_has_progress(&l, 11000, 1000, 5000));
}

static void test_sent_log_knows_only_recent_numbers(void **state) {
    (void)state;
    static struct sent_log log;
    uint64_t sent_ms = 0;
    assert_false(sent_log_find(&log, 0, &sent_ms));
    assert_false(sent_log_find(&log, 5, &sent_ms));
    sent_log_add(&log, 5, 77);
    assert_true(sent_log_find(&log, 5, &sent_ms));
    assert_int_equal(sent_ms, 77);
    sent_log_add(&log, 5 + SENT_LOG_SIZE, 99);
    assert_false(sent_log_find(&log, 5, &sent_ms)); /* an answer to it must not extend a lease */
    assert_true(sent_log_find(&log, 5 + SENT_LOG_SIZE, &sent_ms));
}

static void test_pace_claims_ahead_until_the_next_offers(void **state) {
    (void)state;
    struct pace p = {0};
    assert_int_equal(pace_ahead(&p, JOB_CHUNK, 8), 1); /* no job is measured yet */
    assert_true(pace_jobs_per_s(&p, JOB_CHUNK, 8) == 0);
    pace_note(&p, JOB_CHUNK, 100000);
    assert_true(pace_jobs_per_s(&p, JOB_CHUNK, 8) == 80);
    assert_int_equal(pace_ahead(&p, JOB_CHUNK, 8), 4); /* 50 ms */
    p.grant_ms = 20;
    assert_int_equal(pace_ahead(&p, JOB_CHUNK, 8), 10); /* and four times 20 ms */
    p.grant_ms = 1000;
    assert_int_equal(pace_ahead(&p, JOB_CHUNK, 8), 32); /* 400 ms */
    p.grant_ms = 0;
    assert_int_equal(pace_ahead(&p, JOB_PUT, 8), 1); /* measured apart */
    pace_note(&p, JOB_PUT, 1);
    assert_int_equal(pace_ahead(&p, JOB_PUT, 8), PACE_AHEAD_MAX);
    for (int i = 0; i < 200; i++)
        pace_note(&p, JOB_CHUNK, 60000000);
    assert_int_equal(pace_ahead(&p, JOB_CHUNK, 8), 1);
}

static void test_the_time_of_grants_is_a_moving_average(void **state) {
    (void)state;
    struct pace p = {0};
    pace_note_grant(&p, 8);
    assert_true(p.grant_ms == 1);
    pace_note_grant(&p, 9);
    assert_true(p.grant_ms == 2);
    for (int i = 0; i < 200; i++)
        pace_note_grant(&p, 0);
    assert_true(p.grant_ms < 0.01);
}

static void test_a_number_of_no_message_is_unknown(void **state) {
    (void)state;
    static struct sent_log log;
    uint64_t sent_ms = 5;
    assert_false(sent_log_find(&log, 0, &sent_ms));
    sent_log_add(&log, SENT_LOG_SIZE, 77); /* the same entry */
    assert_false(sent_log_find(&log, 0, &sent_ms));
    assert_int_equal(sent_ms, 5);
}

static void test_a_renewal_keeps_the_time_of_the_claim(void **state) {
    (void)state;
    struct lease l = {0};
    lease_grant(&l, 5000, 10000);
    lease_renew(&l, 7000, 10000);
    assert_int_equal(l.asked_ms, 5000);
}

static void test_a_job_that_took_no_time_is_measured(void **state) {
    (void)state;
    struct pace p = {0};
    pace_note(&p, JOB_PUT, 0);
    assert_int_equal(pace_ahead(&p, JOB_PUT, 1), PACE_AHEAD_MAX);
}

static void test_the_pace_is_a_moving_average(void **state) {
    (void)state;
    struct pace p = {0};
    pace_note(&p, JOB_PUT, 8000);
    pace_note(&p, JOB_PUT, 16000);
    assert_true(p.other_us == 9000);
    pace_note(&p, JOB_PUT, 1000);
    assert_true(p.other_us == 8000);
    assert_int_equal(pace_ahead(&p, JOB_PUT, 4), 25);
}

UNIT_MAIN(cmocka_unit_test(test_a_lease_counts_from_its_claim), cmocka_unit_test(test_renewal_never_shortens),
          cmocka_unit_test(test_progress_is_bytes_within_a_lease_time),
          cmocka_unit_test(test_awaiting_a_reply_keeps_the_lease_for_the_response_timeout),
          cmocka_unit_test(test_a_slow_reply_keeps_the_lease_longer),
          cmocka_unit_test(test_a_new_attempt_restarts_the_count),
          cmocka_unit_test(test_sent_log_knows_only_recent_numbers),
          cmocka_unit_test(test_pace_claims_ahead_until_the_next_offers),
          cmocka_unit_test(test_the_time_of_grants_is_a_moving_average),
          cmocka_unit_test(test_a_number_of_no_message_is_unknown),
          cmocka_unit_test(test_a_renewal_keeps_the_time_of_the_claim),
          cmocka_unit_test(test_a_job_that_took_no_time_is_measured),
          cmocka_unit_test(test_the_pace_is_a_moving_average))
