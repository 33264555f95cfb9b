/* The loop of the uploader: its drain, its end without an answer, and its end without a consumer. */
#include "capture.h"
#include "unit.h"
#include "uploader_world.h"

#include "system/exit_status.h"
#include "system/signals.h"
#include <signal.h>
#include <sys/wait.h>

static struct capture seen;

static struct uploader *up(void) {
    return uploader_world.u;
}

/* Runs until its end; the log is in `seen`. */
static int run(enum log_level level) {
    log_setup("test", level, false);
    capture_begin(&seen, STDERR_FILENO);
    int status = uploader_run(up());
    capture_end(&seen);
    return status;
}

static void begin_drain(void) {
    up()->draining = true;
    up()->drain_ms = up()->last_task_ms = clock_ms();
}

static void add_result(uint32_t chunk) {
    const struct result r = {.ref = {.kind = JOB_CHUNK, .upload = {{1}}, .chunk = chunk}, .outcome = OUTCOME_DONE};
    assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
}

static void test_a_drain_without_work_ends_when_its_sockets_are_closed(void **state) {
    (void)state;
    uint64_t began_ms = clock_ms();
    begin_drain();
    assert_int_equal(run(LOG_WARN), EXIT_DONE);
    assert_true(clock_ms() - began_ms >= 190); /* offers on their way were declined */
    assert_int_equal(up()->offer_sockets.count, 0);
    assert_string_equal(seen.text, "");
}

static void test_a_drain_sends_its_releases_first(void **state) {
    (void)state;
    const struct ref ref = {.kind = JOB_PUT, .upload = {{3}}};
    begin_drain();
    releases_add(&up()->releases, &ref, WHY_DRAIN, 0, NULL, 0);
    assert_int_equal(run(LOG_WARN), EXIT_DONE);
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_result_without_an_answer_ends_the_drain_with_an_error(void **state) {
    (void)state;
    uploader_world.settings.drain_for_ms = 300;
    begin_drain();
    add_result(7);
    assert_int_equal(run(LOG_WARN), EXIT_UNUSABLE);
    assert_non_null(strstr(seen.text, "1 result was not acknowledged within 0.3 s of --drain-for"));
    assert_non_null(strstr(seen.text, "not acknowledged: chunk 7 "));
    assert_true(clock_ms() >= up()->last_task_ms + 300);
}

static void test_several_results_without_an_answer_are_counted(void **state) {
    (void)state;
    uploader_world.settings.drain_for_ms = 1;
    begin_drain();
    add_result(7);
    add_result(8);
    assert_int_equal(run(LOG_WARN), EXIT_UNUSABLE);
    assert_non_null(strstr(seen.text, "2 results were not acknowledged"));
}

static void test_the_first_reason_to_end_decides_the_status(void **state) {
    (void)state;
    uploader_end(up(), EXIT_UNUSABLE);
    uploader_end(up(), EXIT_DONE);
    assert_int_equal(run(LOG_WARN), EXIT_UNUSABLE);
}

/* --- a consumer that does not answer --- */

static unsigned occurrences(const char *text) {
    unsigned count = 0;
    for (const char *at = seen.text; (at = strstr(at, text)); at++)
        count++;
    return count;
}

static void test_a_consumer_that_does_not_come_back_ends_the_uploader(void **state) {
    (void)state;
    uint64_t began_ms = clock_ms();
    uploader_world.settings.retry_for_ms = 1; /* at least 5 s */
    add_result(7);
    assert_int_equal(run(LOG_WARN), EXIT_UNUSABLE);
    assert_true(clock_ms() - began_ms >= 4000);
    assert_int_equal(occurrences("the consumer does not answer; waiting for it"), 1);
    assert_int_equal(occurrences("the journal's consumer has not answered for 5 s; start it again"), 1);
    assert_int_equal(occurrences("not acknowledged: chunk 7 "), 1);
}

static void test_silence_before_a_cp_ends_is_logged_by_cp(void **state) {
    (void)state;
    uploader_world.settings.retry_for_ms = 1;
    uploader_world.settings.for_cp = true;
    assert_int_equal(run(LOG_WARN), EXIT_UNUSABLE);
    assert_int_equal(occurrences("waiting for it"), 0);
    assert_int_equal(occurrences("has not answered"), 1);
}

/* --- stop requests --- */

static uint8_t transfers;
static bool for_cp;

/* Two stop requests while transfers run, in a process of their own. */
static int stop_twice(const char *expected) {
    pid_t child = fork();
    if (child == 0) {
        if (uploader_world_setup(NULL) || signals_init(false))
            _exit(99);
        uploader_world.settings.for_cp = for_cp;
        for (uint8_t i = 1; i <= transfers; i++) {
            struct job put = world_job(JOB_PUT, i);
            world_run(&put)->task.moved_bytes = WORLD_CHUNK;
        }
        struct job queued = world_job(JOB_PUT, 9);
        world_grant(&queued);
        raise(SIGTERM);
        raise(SIGINT);
        int status = run(LOG_INFO);
        bool said = *expected ? strstr(seen.text, expected) != NULL : seen.text[0] == '\0';
        bool released = world_find(&queued) == NULL;
        _exit(said && released ? status : 98);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_stop_request_says_what_is_left(void **state) {
    (void)state;
    transfers = 1;
    assert_int_equal(stop_twice("finishing 1 transfer (128 KiB left); again to stop now"), 128 + SIGTERM);
    transfers = 2;
    assert_int_equal(stop_twice("finishing 2 transfers (256 KiB left); again to stop now"), 128 + SIGTERM);
}

static void test_a_stop_request_without_transfers_says_nothing(void **state) {
    (void)state;
    transfers = 0;
    assert_int_equal(stop_twice(""), 128 + SIGTERM);
}

static void test_a_stop_request_for_uploaders_of_cp_is_logged_by_cp(void **state) {
    (void)state;
    transfers = 1;
    for_cp = true;
    assert_int_equal(stop_twice(""), 128 + SIGTERM);
    for_cp = false;
}

UNIT_MAIN(cmocka_unit_test(test_a_stop_request_says_what_is_left),
          cmocka_unit_test(test_a_stop_request_without_transfers_says_nothing),
          cmocka_unit_test(test_a_stop_request_for_uploaders_of_cp_is_logged_by_cp),
          WORLD_TEST(test_a_drain_without_work_ends_when_its_sockets_are_closed),
          WORLD_TEST(test_a_drain_sends_its_releases_first),
          WORLD_TEST(test_a_result_without_an_answer_ends_the_drain_with_an_error),
          WORLD_TEST(test_several_results_without_an_answer_are_counted),
          WORLD_TEST(test_the_first_reason_to_end_decides_the_status),
          WORLD_TEST(test_a_consumer_that_does_not_come_back_ends_the_uploader),
          WORLD_TEST(test_silence_before_a_cp_ends_is_logged_by_cp))
