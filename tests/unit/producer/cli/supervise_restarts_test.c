/* Restarts of uploaders that end by themselves: after a pause, and ten of one position within a minute. The test sets
 * the time and reports the end of the process itself. */
#include "capture.h"
#include "unit.h"

#include "producer/cli/supervise.h"
#include "producer/cli/supervise_internal.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS(code) ((code) << 8) /* of waitpid, for a process that exited */

static struct supervisor s;
static uint64_t deadline_ms;

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_ERROR, false);
    supervisor_clear(&s);
    s.o.journal_dir = ".";
    s.uploaders[0].wanted = true;
    supervisor_want_all(&s);
    return buf_add_text(&s.uploader_program, "/bin/true");
}

static int teardown(void **state) {
    (void)state;
    buf_release(&s.uploader_program);
    return 0;
}

static int service(uint64_t now_ms) {
    deadline_ms = UINT64_MAX;
    return uploaders_service(&s, now_ms, &deadline_ms);
}

/* True: the uploader of this position runs. Its process is collected; end() reports its end. */
static bool runs(size_t position) {
    pid_t pid = s.uploaders[position].pid;
    if (pid > 0)
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid > 0;
}

static int end(size_t position, int status, uint64_t now_ms) {
    return uploader_handle_end(&s, &s.uploaders[position], status, now_ms);
}

/* Starts it and ends it, so often. */
static void restart(unsigned times, uint64_t from_ms, uint64_t interval_ms) {
    for (unsigned i = 0; i < times; i++) {
        uint64_t now_ms = from_ms + i * interval_ms;
        assert_int_equal(service(now_ms), 0);
        assert_true(runs(0));
        assert_int_equal(end(0, STATUS(EXIT_UNUSABLE), now_ms), 0);
    }
}

static void test_restart_after_a_pause(void **state) {
    (void)state;
    restart(1, 1000, 0);
    assert_int_equal(service(1199), 0);
    assert_false(runs(0));
    assert_int_equal(deadline_ms, 1200);
    assert_int_equal(service(1200), 0);
    assert_true(runs(0));
    assert_int_equal(end(0, SIGKILL, 1300), 0);
    assert_int_equal(s.uploaders[0].restarts, 2);
}

static void test_ten_restarts_within_a_minute_are_the_last(void **state) {
    (void)state;
    restart(11, 100000, 1000);
    assert_int_equal(service(120000), ERR_UNREACHABLE);
    assert_false(runs(0));
}

static void test_last_restart_is_announced_and_its_end_is_an_error(void **state) {
    static struct capture c;
    (void)state;
    log_setup("test", LOG_WARN, false);
    restart(9, 100000, 1000);
    capture_begin(&c, STDERR_FILENO);
    restart(1, 110000, 0);
    capture_end(&c);
    assert_non_null(strstr(c.text, "ended with status 3; started again (10 of 10)"));
    assert_null(strstr(c.text, "not started again"));
    capture_begin(&c, STDERR_FILENO);
    restart(1, 111000, 0);
    capture_end(&c);
    assert_non_null(strstr(c.text, "an uploader ended 11 times within a minute; it is not started again"));
}

static void test_restarts_are_counted_for_a_minute(void **state) {
    (void)state;
    restart(10, 100000, 1000); /* the minute began with the first end */
    restart(10, 160001, 1000);
    assert_int_equal(service(175000), 0);
    assert_true(runs(0));
}

static void test_the_minute_includes_its_end(void **state) {
    (void)state;
    restart(10, 100000, 1000);
    restart(1, 160000, 0);
    assert_int_equal(service(175000), ERR_UNREACHABLE);
}

/* The run goes on as long as one position can be served. */
static void test_other_positions_go_on(void **state) {
    (void)state;
    s.uploaders[1].wanted = true;
    restart(11, 100000, 1000);
    assert_int_equal(service(120000), 0);
    assert_false(runs(0));
    assert_true(runs(1));
}

static void test_one_job_has_one_position(void **state) {
    (void)state;
    s.many_jobs = false;
    s.uploaders[1].wanted = true;
    restart(11, 100000, 1000);
    assert_false(runs(1));
    assert_int_equal(service(120000), ERR_UNREACHABLE);
}

static void test_wrong_usage_ends_the_run(void **state) {
    (void)state;
    assert_int_equal(service(1000), 0);
    assert_true(runs(0));
    assert_int_equal(end(0, STATUS(EXIT_USAGE), 1000), ERR_USAGE);
}

static void test_unwanted_uploaders_are_not_restarted(void **state) {
    (void)state;
    s.uploaders[1].wanted = true;
    assert_int_equal(service(1000), 0);
    assert_true(runs(0));
    assert_true(runs(1));
    s.uploaders[1].wanted = false;
    assert_int_equal(end(1, STATUS(EXIT_USAGE), 1000), 0);
    assert_int_equal(service(5000), 0);
    assert_false(runs(1));
    s.draining = true;
    assert_int_equal(end(0, STATUS(EXIT_USAGE), 6000), 0);
    assert_int_equal(service(9000), 0);
    assert_false(runs(0));
}

static void test_position_of_a_leaving_uploader_is_not_reused(void **state) {
    (void)state;
    s.uploaders[1].wanted = true;
    s.uploaders[1].pid = 0;
    supervisor_set_uploaders(&s, 1);
    assert_false(s.uploaders[1].wanted);
    s.uploaders[1].pid = -1; /* still leaving */
    supervisor_set_uploaders(&s, 2);
    assert_false(s.uploaders[1].wanted);
    assert_true(s.uploaders[2].wanted);
    s.uploaders[1].pid = 0;
}

static volatile sig_atomic_t terms;

static void on_term(int number) {
    (void)number;
    terms++;
}

/* SIGTERM to this process, and to its process group, is counted. */
static void count_terms(void) {
    struct sigaction action = {.sa_handler = on_term};
    terms = 0;
    assert_int_equal(sigaction(SIGTERM, &action, NULL), 0);
}

static void test_surplus_uploader_gets_one_signal(void **state) {
    (void)state;
    count_terms();
    s.uploaders[1] = (struct child){.wanted = true, .pid = getpid(), .channel = -1};
    supervisor_set_uploaders(&s, 1);
    assert_int_equal(terms, 1);
    supervisor_set_uploaders(&s, 1);
    assert_int_equal(terms, 1);
    assert_true(s.uploaders[0].wanted);
    s.uploaders[1].pid = 0;
}

static void test_position_without_a_process_gets_no_signal(void **state) {
    (void)state;
    count_terms();
    s.uploaders[1].wanted = true;
    supervisor_set_uploaders(&s, 1);
    supervisor_drain(&s);
    assert_int_equal(terms, 0);
}

/* All uploaders have got their signal. */
static void test_number_does_not_change_during_a_drain(void **state) {
    (void)state;
    count_terms();
    s.draining = true;
    s.uploaders[1] = (struct child){.wanted = true, .pid = getpid(), .channel = -1};
    supervisor_set_uploaders(&s, 1);
    assert_int_equal(terms, 0);
    s.uploaders[1].pid = 0;
}

static void test_the_last_of_many_uploaders_leave(void **state) {
    (void)state;
    supervisor_set_uploaders(&s, 6);
    s.uploaders[2].pid = -1; /* it runs */
    supervisor_set_uploaders(&s, 3);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(s.uploaders[i].wanted, i < 3);
    s.uploaders[2].pid = 0;
}

/* Every free position is used; the others follow later. */
static void test_more_uploaders_than_free_positions(void **state) {
    (void)state;
    for (size_t i = 1; i < POSITIONS; i++)
        s.uploaders[i].pid = i == 7 ? 0 : -1; /* -1: leaving */
    supervisor_set_uploaders(&s, 4);
    for (size_t i = 0; i < POSITIONS; i++)
        assert_int_equal(s.uploaders[i].wanted, i == 0 || i == 7);
    for (size_t i = 0; i < POSITIONS; i++)
        s.uploaders[i].pid = 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_restart_after_a_pause), TEST(test_ten_restarts_within_a_minute_are_the_last),
          TEST(test_last_restart_is_announced_and_its_end_is_an_error), TEST(test_restarts_are_counted_for_a_minute),
          TEST(test_the_minute_includes_its_end), TEST(test_other_positions_go_on), TEST(test_one_job_has_one_position),
          TEST(test_wrong_usage_ends_the_run), TEST(test_unwanted_uploaders_are_not_restarted),
          TEST(test_position_of_a_leaving_uploader_is_not_reused), TEST(test_surplus_uploader_gets_one_signal),
          TEST(test_position_without_a_process_gets_no_signal), TEST(test_number_does_not_change_during_a_drain),
          TEST(test_the_last_of_many_uploaders_leave), TEST(test_more_uploaders_than_free_positions))
