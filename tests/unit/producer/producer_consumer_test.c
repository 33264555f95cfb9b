/* The producer and a consumer that reports errors, refuses --bwlimit or is silent (producer_fixture.h). */
#include "producer_fixture.h"

#include "capture.h"
#include "files.h"
#include "pure/geometry.h"
#include "system/clock.h"
#include "system/log.h"

/* Turns until producer_step fails. Returns its error. */
static int until_error(void) {
    int err = 0;
    for (uint64_t end = clock_ms() + PATIENCE_MS; !err; err = fixture_turn_err())
        assert_true(clock_ms() < end);
    return err;
}

static void test_error_of_the_consumer_is_noticed_once(void **state) {
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    assert_null(producer_trouble(fixture.producer));
    fixture_send_error(PROTOCOL_TOO_MANY, "too many requests");
    UNTIL(producer_trouble(fixture.producer));
    assert_string_equal(producer_trouble(fixture.producer), "the consumer reports: too many requests");
    assert_string_equal(fixture.notice, "the consumer reports: too many requests");
    fixture_send_error(PROTOCOL_TOO_MANY, "again");
    UNTIL(strstr(producer_trouble(fixture.producer), "again"));
    assert_int_equal(fixture.notices, 1);
}

static void test_consumer_that_stops_is_trouble_without_a_notice(void **state) {
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    fixture_send_error(PROTOCOL_STOPPING, "the journal failed");
    UNTIL(producer_trouble(fixture.producer));
    assert_int_equal(fixture.notices, 0);
}

static void test_trouble_ends_with_the_next_welcome(void **state) {
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    fixture_send_error(PROTOCOL_STOPPING, "the journal failed");
    UNTIL(producer_trouble(fixture.producer));
    endpoint_close(&fixture.router);
    fixture_open_consumer();
    UNTIL(fixture.welcomes > 1);
    UNTIL(!producer_trouble(fixture.producer));
}

static void test_another_protocol_version_ends_the_run(void **state) {
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    fixture_send_error(PROTOCOL_VERSION, "version 9");
    assert_int_equal(until_error(), ERR_VERSION);
}

static void test_limit_is_set_before_anything_is_planned(void **state) {
    uint64_t began_ms = clock_ms();
    (void)state;
    fixture.set_bwlimit = true;
    fixture_start_one_file();
    UNTIL(fixture.set.asked > 0);
    for (int i = 0; i < 5; i++)
        fixture_turn();
    assert_true(fixture.set.asked == 1 || clock_ms() - began_ms >= 1000); /* it is repeated after a second */
    assert_int_equal(fixture.plans, 0);
    assert_int_equal(fixture.set.last.flags, SET_BWLIMIT);
    assert_int_equal(fixture.set.last.bwlimit, 1234);
    fixture.set.answer = SET_DONE;
    UNTIL(fixture.plans > 0);
    assert_true(fixture.set.asked > 1);
}

static void test_answer_to_another_set_does_not_count(void **state) {
    (void)state;
    fixture.set_bwlimit = true;
    fixture.set.answer = SET_OF_ANOTHER;
    fixture_start_one_file();
    UNTIL(fixture.set.asked > 1);
    assert_int_equal(fixture.plans, 0);
}

static void test_limit_that_cannot_be_stored_ends_the_run(void **state) {
    (void)state;
    fixture.set_bwlimit = true;
    fixture.set.answer = SET_FAILED;
    fixture_start_one_file();
    assert_int_equal(until_error(), ERR_IO);
}

static void test_limit_that_the_key_may_not_set_ends_the_run(void **state) {
    (void)state;
    fixture.set_bwlimit = true;
    fixture.set.answer = SET_REFUSED;
    fixture_start_one_file();
    assert_int_equal(until_error(), ERR_DENIED);
}

static void test_other_errors_do_not_answer_the_limit(void **state) {
    (void)state;
    fixture.set_bwlimit = true;
    fixture_start_one_file();
    UNTIL(fixture.set.asked > 0);
    fixture_send_error(PROTOCOL_TOO_MANY, "too many requests");
    UNTIL(producer_trouble(fixture.producer));
    fixture.set.answer = SET_DONE;
    UNTIL(fixture.plans > 0);
}

static void test_silent_consumer_is_reported_until_it_answers(void **state) {
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    fixture_lose_consumer();
    UNTIL(fixture.notices == 1);
    assert_string_equal(fixture.notice, "the consumer does not answer; waiting for it");
    fixture_open_consumer();
    UNTIL(fixture.notices == 2);
    assert_string_equal(fixture.notice, "the consumer answers again");
}

/* ---- TAIL ---- */

static void test_lines_that_cannot_be_read_end_the_run(void **state) {
    static struct capture c;
    (void)state;
    log_setup("test", LOG_ERROR, false);
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    fixture.bad_lines = "no record\n";
    fixture_send_records(NULL, 0, NULL, 0);
    capture_begin(&c, STDERR_FILENO);
    int err = until_error();
    const char *text = capture_end(&c);
    assert_int_equal(err, ERR_INVALID);
    assert_non_null(strstr(text, "use programs of one version"));
}

static void test_first_uploader_is_noticed_soon(void **state) {
    (void)state;
    fixture.uploaders = 0;
    fixture_start_one_file();
    UNTIL(fixture.tail_waits);
    assert_int_equal(fixture.tail.wait_ms, 50);
    fixture.uploaders = 1;
    fixture_send_records(NULL, 0, NULL, 0);
    UNTIL(fixture.tail_waits);
    assert_int_equal(fixture.tail.wait_ms, 500);
    assert_int_equal(producer_stats(fixture.producer)->uploaders, 1);
}

/* An offer that no uploader has answered. */
static struct event grant_of_the_offer(void) {
    struct msg offer;
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    struct event granted = {.ref = offer.offer.jobs[0].ref, .kind = EVENT_GRANTED};
    msg_release(&offer);
    return granted;
}

static void test_answer_to_another_tail_does_not_count(void **state) {
    (void)state;
    fixture_start_one_file();
    struct event granted = grant_of_the_offer();
    UNTIL(fixture.tail_waits);
    fixture.tail_number++;
    fixture_send_records(&granted, 1, NULL, 0);
    for (int i = 0; i < 3; i++)
        fixture_turn();
    assert_int_equal(producer_stats(fixture.producer)->leases, 0);
    fixture.tail_waits = true; /* still outstanding */
    fixture.tail_number--;
    fixture_send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == 1);
}

static void test_second_answer_to_a_tail_does_not_count(void **state) {
    (void)state;
    fixture_start_one_file();
    struct event granted = grant_of_the_offer();
    UNTIL(fixture.tail_waits);
    fixture_send_records(NULL, 0, NULL, 0);
    fixture.tail_waits = true;
    fixture.tail_number = 0;
    fixture_send_records(&granted, 1, NULL, 0);
    UNTIL(fixture.tail_waits); /* the next one */
    assert_int_equal(producer_stats(fixture.producer)->leases, 0);
}

/* ---- offers to several uploaders ---- */

static struct endpoint *second_pull;

static bool both_got_an_offer(bool got[2], struct msg *last) {
    struct endpoint *first = fixture.pull;
    for (int i = 0; i < 2; i++) {
        fixture.pull = i == 0 ? first : second_pull;
        if (fixture_next_offer(last)) {
            got[i] = true;
            msg_release(last);
        }
    }
    fixture.pull = first;
    return got[0] && got[1];
}

/* Its holder may be stuck. */
static void test_expired_job_is_offered_to_two_uploaders(void **state) {
    bool got[2] = {false, false};
    struct msg offer;
    (void)state;
    fixture.uploaders = 2;
    fixture_start_one_file();
    struct event e = grant_of_the_offer();
    assert_int_equal(endpoint_open(&second_pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture.tail_waits);
    fixture_send_records(&e, 1, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == 1);
    UNTIL(fixture.tail_waits);
    e.kind = EVENT_EXPIRED;
    fixture_send_records(&e, 1, NULL, 0);
    UNTIL(both_got_an_offer(got, &offer));
    endpoint_close(&second_pull);
}

/* Rule 12. */
static void test_slow_job_is_offered_once_more(void **state) {
    struct msg offer;
    bool hedged = false;
    (void)state;
    fixture.uploaders = 2;
    file_put_hole("a", CHUNK_ALIGN + 1);
    fixture.plan_state = PLANNED_OPEN;
    fixture.plan_done = slice_make("\1", 1);
    static const char *const sources[] = {"a"};
    fixture_start(sources, 1, "out");
    struct event granted = grant_of_the_offer();
    UNTIL(fixture.tail_waits);
    fixture_send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == 1);
    UNTIL(fixture.tail_waits);
    fixture.slow = granted.ref;
    fixture.slow_count = 1;
    fixture_send_records(NULL, 0, NULL, 0);
    while (!hedged) {
        UNTIL(fixture_next_offer(&offer));
        assert_int_equal(offer.offer.job_count, 1);
        assert_int_equal(offer.offer.jobs[0].ref.chunk, 1);
        hedged = offer.offer.jobs[0].second;
        msg_release(&offer);
    }
    assert_int_equal(producer_stats(fixture.producer)->leases, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
UNIT_MAIN(TEST(test_error_of_the_consumer_is_noticed_once), TEST(test_consumer_that_stops_is_trouble_without_a_notice),
          TEST(test_trouble_ends_with_the_next_welcome), TEST(test_another_protocol_version_ends_the_run),
          TEST(test_limit_is_set_before_anything_is_planned), TEST(test_answer_to_another_set_does_not_count),
          TEST(test_limit_that_cannot_be_stored_ends_the_run), TEST(test_limit_that_the_key_may_not_set_ends_the_run),
          TEST(test_other_errors_do_not_answer_the_limit), TEST(test_silent_consumer_is_reported_until_it_answers),
          TEST(test_lines_that_cannot_be_read_end_the_run), TEST(test_first_uploader_is_noticed_soon),
          TEST(test_answer_to_another_tail_does_not_count), TEST(test_second_answer_to_a_tail_does_not_count),
          TEST(test_expired_job_is_offered_to_two_uploaders), TEST(test_slow_job_is_offered_once_more))
