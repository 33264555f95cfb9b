/* The lines at the end of a run with transfers in flight (producer_fixture.h). */
#include "producer_fixture.h"

#include "capture.h"
#include "files.h"
#include "producer/cli/driver.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

/* So many small files, each one leased to an uploader. */
static void start_with_leases(unsigned count) {
    static const char *const sources[] = {"src"};
    struct event granted[8];
    struct msg offer;
    char name[32];
    unsigned offered = 0;
    assert_int_equal(mkdir("src", 0700), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "src/%u", i);
        file_put_hole(name, 10);
    }
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    while (offered < count) {
        UNTIL(fixture_next_offer(&offer));
        for (size_t i = 0; i < offer.offer.job_count; i++)
            granted[offered++] = (struct event){.ref = offer.offer.jobs[i].ref, .kind = EVENT_GRANTED};
        msg_release(&offer);
    }
    UNTIL(fixture.tail_waits);
    fixture_send_records(granted, count, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == count);
}

static const char *report(int status) {
    static struct capture c;
    const struct driver_options options = {.summary = false};
    struct driver d;
    log_setup("test", LOG_WARN, false);
    driver_init(&d, fixture.producer, &options, clock_ms());
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(driver_report(&d, status), status);
    return capture_end(&c);
}

static void test_results_that_no_consumer_reports_are_named(void **state) {
    (void)state;
    start_with_leases(2);
    assert_string_equal(report(128 + SIGINT), ""); /* the consumer answers */
    fixture_lose_consumer();
    assert_non_null(strstr(report(128 + SIGINT), "test: 2 transfers were in flight: the result is not known"));
    assert_null(strstr(report(EXIT_UNUSABLE), "in flight")); /* not interrupted */
    assert_null(strstr(report(128), "in flight"));           /* no signal */
}

static void test_one_result_that_is_not_known(void **state) {
    (void)state;
    start_with_leases(1);
    fixture_lose_consumer();
    assert_non_null(strstr(report(128 + SIGINT), "test: 1 transfer was in flight: the result is not known"));
}

static void test_no_result_is_unknown_without_a_transfer(void **state) {
    (void)state;
    start_with_leases(0);
    fixture_lose_consumer();
    assert_null(strstr(report(128 + SIGINT), "in flight"));
}

/* With --delete the summary comes when the producer is gone. */
static void test_the_summary_can_come_after_the_end_of_the_producer(void **state) {
    static struct capture c;
    const struct driver_options options = {.summary = true, .deletes = true};
    struct driver d;
    (void)state;
    start_with_leases(0);
    log_setup("test", LOG_WARN, false);
    driver_init(&d, fixture.producer, &options, clock_ms());
    driver_end(&d, EXIT_DONE);
    producer_destroy(&fixture.producer);
    d.stats.objects_deleted = 3;
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(driver_report(&d, EXIT_SOME_FAILED), EXIT_SOME_FAILED);
    capture_end(&c);
    assert_non_null(strstr(c.text, "/out/: 0 files uploaded (0 B), 0 unchanged, 0 failed"));
    assert_non_null(strstr(c.text, "/out/: 3 objects removed\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
UNIT_MAIN(TEST(test_results_that_no_consumer_reports_are_named), TEST(test_one_result_that_is_not_known),
          TEST(test_no_result_is_unknown_without_a_transfer),
          TEST(test_the_summary_can_come_after_the_end_of_the_producer))
