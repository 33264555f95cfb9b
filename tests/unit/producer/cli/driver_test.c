/* The loop around a producer: stop requests, hooks, progress and the lines at the end. Each run is in a child process,
 * because stop requests are counted for the whole process. */
#include "scripted_consumer.h"

#include "producer/cli/driver.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>

static struct driver_options options;
static const char *sources[] = {"src"};
static bool with_consumer;
static int step_error; /* of the hook, in its first call */
static int signals_at_once;
static bool kill_after_drain; /* another stop request after the first one was handled */
static bool over_after_drain;
static int error_after_trouble; /* of the hook */

/* Written by the child process. */
static struct seen { int steps, drains, kills, signals; } * seen;

static struct producer *producer;

static int hook_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    (void)arg;
    if (step_error)
        return step_error;
    bool trouble = producer_trouble(producer) != NULL;
    if (trouble && error_after_trouble)
        return error_after_trouble;
    if (*deadline_ms > now_ms + 5)
        *deadline_ms = now_ms + 5;
    bool ready = with_consumer ? producer_stats(producer)->connected || trouble : ++seen->steps == 20;
    if (ready && seen->signals == 0)
        for (; seen->signals < signals_at_once; seen->signals++)
            kill(getpid(), seen->signals == 0 ? SIGTERM : SIGINT);
    if (kill_after_drain && seen->drains && seen->signals == 1) {
        kill(getpid(), SIGINT);
        seen->signals++;
    }
    return 0;
}

static void hook_drain(void *arg) {
    (void)arg;
    seen->drains++;
}

static void hook_kill(void *arg) {
    (void)arg;
    seen->kills++;
}

static bool hook_is_over(void *arg) {
    (void)arg;
    return over_after_drain;
}

static int drive(void) {
    const struct producer_config config = {.sources = sources,
                                           .source_count = 1,
                                           .dest = "out",
                                           .recursive = true,
                                           .consumer = with_consumer ? scripted_address : NULL,
                                           .journal_dir = test_journal.dir};
    const struct producer_events events = {.arg = NULL};
    struct driver d;
    log_setup("test", LOG_INFO, false);
    if (signals_init(true) || producer_new(&producer, &config, &events))
        return 90;
    driver_init(&d, producer, &options, clock_ms() - 10000); /* a drawing is due at once */
    d.hooks = (struct driver_hooks){NULL, hook_step, hook_drain, NULL, hook_kill, hook_is_over};
    int status = driver_run(&d);
    status = driver_report(&d, status);
    producer_destroy(&producer);
    endpoint_shutdown_all();
    fflush(NULL);
    return status;
}

/* Returns the exit status. */
static int run(void) {
    memset(seen, 0, sizeof *seen);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("stdout", "w", stdout) || !freopen("stderr", "w", stderr))
            _exit(99);
        _exit(drive());
    }
    if (!with_consumer)
        return command_finish(pid);
    scripted_bind();
    return scripted_until_end(pid);
}

static int setup(void **state) {
    options = (struct driver_options){.summary = false};
    with_consumer = kill_after_drain = over_after_drain = false;
    step_error = signals_at_once = error_after_trouble = 0;
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(seen != MAP_FAILED);
    assert_int_equal(scripted_setup(state), 0);
    scripted.role = ROLE_PRODUCER;
    assert_int_equal(mkdir("src", 0700), 0);
    return 0;
}

static int teardown(void **state) {
    munmap(seen, sizeof *seen);
    unlink("src/a");
    rmdir("src");
    return scripted_teardown(state);
}

/* The run does not end by itself: no consumer plans this file. */
static void add_file(void) {
    file_put_text("src/a", "a");
}

static unsigned count_of(const char *text, const char *part) {
    unsigned count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

/* ---- the end ---- */

static void test_finished_producer_ends_the_run(void **state) {
    (void)state;
    assert_int_equal(run(), EXIT_DONE);
    assert_int_equal(seen->drains, 0);
    assert_string_equal(command_err, "");
}

static void test_failed_source_is_the_status(void **state) {
    (void)state;
    sources[0] = "missing";
    int status = run();
    sources[0] = "src";
    assert_int_equal(status, EXIT_SOME_FAILED);
}

static void test_error_of_the_step_hook_ends_the_run(void **state) {
    (void)state;
    add_file();
    step_error = ERR_USAGE;
    assert_int_equal(run(), EXIT_USAGE);
    step_error = ERR_UNREACHABLE;
    assert_int_equal(run(), EXIT_UNUSABLE);
}

/* ---- stop requests ---- */

static void test_first_stop_request_drains(void **state) {
    (void)state;
    add_file();
    signals_at_once = 1;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(seen->drains, 1);
    assert_int_equal(seen->kills, 0);
    assert_int_equal(count_of(command_err, "stopping; nothing is in flight\n"), 1);
}

static void test_one_stop_request_ends_a_run_that_stops_at_once(void **state) {
    (void)state;
    add_file();
    options.stops_at_once = true;
    signals_at_once = 1;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(seen->drains, 0);
    assert_int_equal(seen->kills, 0);
}

static void test_two_stop_requests_at_once_kill(void **state) {
    (void)state;
    add_file();
    signals_at_once = 2;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(seen->kills, 1);
}

static void test_second_stop_request_kills(void **state) {
    (void)state;
    add_file();
    with_consumer = true;
    scripted.lost = INT_MAX; /* the drain is not confirmed */
    signals_at_once = 1;
    kill_after_drain = true;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(seen->drains, 1);
    assert_int_equal(seen->kills, 1);
}

static void test_run_ends_when_nothing_is_left_to_finish(void **state) {
    (void)state;
    add_file();
    with_consumer = true;
    scripted.lost = INT_MAX;
    signals_at_once = 1;
    over_after_drain = true;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(seen->drains, 1);
    assert_int_equal(seen->kills, 0);
}

/* ---- trouble ---- */

static void test_trouble_at_the_end_is_reported(void **state) {
    (void)state;
    add_file();
    with_consumer = scripted.refuse = true;
    signals_at_once = 1;
    over_after_drain = true;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(count_of(command_err, "test: the consumer reports: too many peers\n"), 1);
}

/* The step hook logged its own error, which is the cause of the end. */
static void test_trouble_is_not_reported_beside_an_error_of_the_step_hook(void **state) {
    (void)state;
    add_file();
    with_consumer = scripted.refuse = true;
    error_after_trouble = ERR_UNREACHABLE;
    assert_int_equal(run(), EXIT_UNUSABLE);
    assert_string_equal(command_err, "");
}

/* ---- progress and summary ---- */

static void test_json_progress_is_once_a_second(void **state) {
    (void)state;
    add_file();
    options.json = true;
    signals_at_once = 1;
    uint64_t began_ms = clock_ms();
    assert_int_equal(run(), 128 + SIGTERM); /* after 20 steps of 5 ms */
    assert_in_range(count_of(command_out, "{\"event\":\"progress\","), 1, 1 + (clock_ms() - began_ms) / 1000);
    assert_string_equal(command_err, "test: stopping; nothing is in flight\n");
}

static void test_progress_is_drawn_when_it_is_due(void **state) {
    (void)state;
    add_file();
    options.progress = true;
    options.stats_ms = 5000;
    signals_at_once = 1;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_int_equal(count_of(command_err, ", ETA "), 1);
    assert_string_equal(command_out, "");
}

static void test_summary_of_an_interrupted_run(void **state) {
    (void)state;
    add_file();
    options.summary = true;
    options.where = "/the/journal";
    signals_at_once = 1;
    assert_int_equal(run(), 128 + SIGTERM);
    assert_non_null(strstr(command_err, "0 files uploaded (0 B), "));
    assert_non_null(strstr(command_err, "journal: /the/journal\n"));
    assert_non_null(strstr(command_err, "interrupted; the same command resumes the upload\n"));
}

static void test_summary_of_a_finished_run(void **state) {
    (void)state;
    options.summary = true;
    assert_int_equal(run(), 0);
    assert_non_null(strstr(command_err, "0 failed in 10."));
    assert_null(strstr(command_err, "interrupted"));
}

static void test_summary_is_left_out_when_nothing_was_started(void **state) {
    (void)state;
    add_file();
    options.summary = true;
    step_error = ERR_USAGE;
    assert_int_equal(run(), EXIT_USAGE);
    assert_string_equal(command_err, "");
}

static void test_quiet_run_has_no_summary(void **state) {
    (void)state;
    options.summary = options.quiet = true;
    assert_int_equal(run(), 0);
    assert_string_equal(command_err, "");
}

static void test_summary_for_programs(void **state) {
    (void)state;
    options.summary = options.json = options.quiet = true;
    assert_int_equal(run(), 0);
    assert_int_equal(count_of(command_out, "{\"event\":\"summary\","), 1);
    assert_non_null(strstr(command_out, "\"status\":0"));
    assert_string_equal(command_err, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_finished_producer_ends_the_run), TEST(test_failed_source_is_the_status),
          TEST(test_error_of_the_step_hook_ends_the_run), TEST(test_first_stop_request_drains),
          TEST(test_one_stop_request_ends_a_run_that_stops_at_once), TEST(test_two_stop_requests_at_once_kill),
          TEST(test_second_stop_request_kills), TEST(test_run_ends_when_nothing_is_left_to_finish),
          TEST(test_json_progress_is_once_a_second), TEST(test_progress_is_drawn_when_it_is_due),
          TEST(test_summary_of_an_interrupted_run), TEST(test_summary_of_a_finished_run),
          TEST(test_summary_is_left_out_when_nothing_was_started), TEST(test_quiet_run_has_no_summary),
          TEST(test_summary_for_programs), TEST(test_trouble_at_the_end_is_reported),
          TEST(test_trouble_is_not_reported_beside_an_error_of_the_step_hook))
