/* The arguments of the processes that `cp` starts. Both programs are a script that writes its arguments to "args". */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "producer/cli/supervise.h"
#include "producer/cli/supervise_internal.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/signals.h"
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static struct supervisor s;
static char root[TEMP_DIR_SIZE], text[8192];

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    log_setup("test", LOG_ERROR, false);
    supervisor_clear(&s);
    s.o.journal_dir = "journal";
    file_put_text("program", "#!/bin/sh\necho \"$*\" >args\ncase \"$*\" in *--check*) printf r >&0;; esac\n");
    assert_int_equal(chmod("program", 0700), 0);
    assert_int_equal(buf_add_text(&s.consumer_program, "./program"), 0);
    assert_int_equal(buf_add_text(&s.uploader_program, "./program"), 0);
    return buf_add_text(&s.log_path, "/dev/null");
}

static int teardown(void **state) {
    (void)state;
    buf_release(&s.consumer_program);
    buf_release(&s.uploader_program);
    buf_release(&s.log_path);
    return temp_dir_leave(root);
}

static const char *arguments_of(pid_t *pid) {
    assert_true(*pid > 0);
    assert_int_equal(waitpid(*pid, NULL, 0), *pid);
    *pid = 0;
    return file_read_text("args", text, sizeof text);
}

static const char *uploader_arguments_now(void) {
    uint64_t deadline_ms = UINT64_MAX;
    s.uploaders[0] = (struct child){.wanted = true};
    assert_int_equal(uploaders_service(&s, 1000, &deadline_ms), 0);
    return arguments_of(&s.uploaders[0].pid);
}

static const char *consumer_arguments_now(void) {
    uint64_t deadline_ms = UINT64_MAX;
    s.consumer.start_at_ms = s.consumer_look_ms = 0;
    s.consumer_tries = 0;
    assert_int_equal(consumer_service(&s, false, 1000, &deadline_ms), 0);
    return arguments_of(&s.consumer.pid);
}

static void test_options_that_are_not_given_are_not_passed_on(void **state) {
    (void)state;
    s.o.endpoint_url = "";
    assert_string_equal(uploader_arguments_now(), "--for-cp --journal journal\n");
    assert_string_equal(consumer_arguments_now(), "--for-cp --journal journal\n");
}

static void test_uploader_gets_the_options_of_the_run(void **state) {
    static const char *const roots[] = {"/a", "/b", "/not/given"};
    (void)state;
    s.o = (struct supervise_options){.journal_dir = "journal",
                                     .consumer = "ipc:///c",
                                     .jobs = "ipc:///j",
                                     .slots = 4,
                                     .allow = "s3://bucket",
                                     .roots = roots,
                                     .root_count = 2,
                                     .endpoint_url = "http://store",
                                     .region = "r",
                                     .profile = "p",
                                     .retry_for_ms = 5000,
                                     .drain_for_ms = 600,
                                     .response_timeout_ms = 70,
                                     .keys = {.key = "k", .trust = "t", .insecure = true},
                                     .verbose = true,
                                     .quiet = true};
    assert_string_equal(uploader_arguments_now(),
                        "--for-cp --consumer ipc:///c --jobs ipc:///j --slots 4 --allow s3://bucket --root /a --root "
                        "/b --endpoint-url http://store --region r --profile p --retry-for 5000ms --drain-for 600ms "
                        "--response-timeout 70ms --key k --trust t --insecure -v --quiet\n");
}

static void test_consumer_gets_the_options_of_the_run(void **state) {
    (void)state;
    s.o.lease_ms = 3000;
    s.o.no_second_lease = s.o.verbose = true;
    assert_string_equal(consumer_arguments_now(), "--for-cp --journal journal --lease 3000ms --no-second-lease -v\n");
}

/* A consumer that replaces another one must continue its journal. */
static void test_restarted_consumer_gets_the_id_of_the_first_journal(void **state) {
    static const struct id128 none, first = {{0xab}}, second = {{0xcd}};
    (void)state;
    supervisor_set_journal(&s, &none);
    assert_string_equal(consumer_arguments_now(), "--for-cp --journal journal\n");
    supervisor_set_journal(&s, &first);
    supervisor_set_journal(&s, &second);
    assert_string_equal(consumer_arguments_now(),
                        "--for-cp --journal journal --journal-id ab000000000000000000000000000000\n");
}

/* SIGHUP, which is number 1. */
static bool hangup_is_held(const char *status_line) {
    size_t len = strcspn(status_line, "\n");
    return len > 0 && strchr("13579bdf", status_line[len - 1]) != NULL;
}

/* Whoever moves the log file may send SIGHUP as soon as the process exists. */
static void test_a_hangup_waits_until_the_program_can_handle_it(void **state) {
    (void)state;
    file_put_text(
        "program",
        "#!/bin/sh\nwhile read line; do case $line in SigBlk*) echo $line >args;; esac; done </proc/self/status\n");
    assert_false(hangup_is_held(uploader_arguments_now()));
    assert_false(hangup_is_held(consumer_arguments_now()));
    s.o.log_file = "log";
    assert_true(hangup_is_held(uploader_arguments_now()));
    assert_true(hangup_is_held(consumer_arguments_now()));
}

static void test_check_uses_the_same_arguments(void **state) {
    (void)state;
    assert_int_equal(uploaders_check(&s), 0);
    assert_string_equal(arguments_of(&s.uploaders[0].pid), "--for-cp --journal journal --check\n");
}

static void test_result_of_the_check(void **state) {
    static const struct {
        const char *script;
        int err;
    } cases[] = {{"exit 2\n", ERR_USAGE}, {"exit 3\n", ERR_UNREACHABLE}, {"kill -9 $$\n", ERR_UNREACHABLE}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[64];
        snprintf(script, sizeof script, "#!/bin/sh\n%s", cases[i].script);
        file_put_text("program", script);
        assert_int_equal(uploaders_check(&s), cases[i].err);
    }
    assert_int_equal(unlink("program"), 0);
    assert_int_equal(uploaders_check(&s), ERR_UNREACHABLE);
}

static void test_list_of_arguments_is_bounded(void **state) {
    static struct arguments a;
    (void)state;
    for (int i = 0; i < 2 * ARGUMENTS_MAX; i++)
        arguments_add(&a, "word");
    assert_int_equal(a.count, ARGUMENTS_MAX - 1);
    assert_null(a.items[ARGUMENTS_MAX - 1]);
    assert_non_null(a.items[ARGUMENTS_MAX - 2]);
}

/* The first start and ten more. */
static void test_uploader_that_is_killed_while_it_checks_is_started_eleven_times(void **state) {
    (void)state;
    file_put_text("program", "#!/bin/sh\necho x >>starts\nkill -9 $$\n");
    assert_int_equal(uploaders_check(&s), ERR_UNREACHABLE);
    assert_string_equal(file_read_text("starts", text, sizeof text), "x\nx\nx\nx\nx\nx\nx\nx\nx\nx\nx\n");
}

static unsigned meanwhile_calls;

static int meanwhile_fails(void *arg) {
    const struct supervisor *of = arg;
    assert_true(of->uploaders[0].pid > 0);
    meanwhile_calls++;
    return ERR_BUSY;
}

static void test_error_of_the_work_meanwhile_ends_the_check(void **state) {
    (void)state;
    file_put_text("program", "#!/bin/sh\nexec sleep 60\n");
    s.o.meanwhile = meanwhile_fails;
    s.o.meanwhile_arg = &s;
    assert_int_equal(uploaders_check(&s), ERR_BUSY);
    assert_int_equal(meanwhile_calls, 1);
    pid_t pid = s.uploaders[0].pid;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Its check would take a minute. */
static void test_stop_request_ends_the_check(void **state) {
    static struct capture seen;
    (void)state;
    file_put_text("program", "#!/bin/sh\nexec sleep 60\n");
    log_setup("test", LOG_WARN, false);
    assert_int_equal(signals_init(false), 0);
    raise(SIGTERM);
    uint64_t began_ms = clock_ms();
    capture_begin(&seen, STDERR_FILENO);
    int err = uploaders_check(&s);
    capture_end(&seen);
    assert_int_equal(signals_init(false), 0); /* forgets the request */
    assert_int_equal(err, ERR_UNREACHABLE);
    assert_true(clock_ms() - began_ms < 30000);
    assert_string_equal(seen.text, ""); /* it is not started again */
    assert_int_equal(s.uploaders[0].pid, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_options_that_are_not_given_are_not_passed_on), TEST(test_uploader_gets_the_options_of_the_run),
          TEST(test_consumer_gets_the_options_of_the_run),
          TEST(test_restarted_consumer_gets_the_id_of_the_first_journal), TEST(test_check_uses_the_same_arguments),
          TEST(test_a_hangup_waits_until_the_program_can_handle_it), TEST(test_result_of_the_check),
          TEST(test_list_of_arguments_is_bounded),
          TEST(test_uploader_that_is_killed_while_it_checks_is_started_eleven_times),
          TEST(test_stop_request_ends_the_check), TEST(test_error_of_the_work_meanwhile_ends_the_check))
