/* The supervisor's decisions about the journal's consumer: restart, wait for the disk, or give up. The test sets the
 * time and reports the end of the process itself. */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "producer/cli/supervise.h"
#include "producer/cli/supervise_internal.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS(code) ((code) << 8) /* of waitpid, for a process that exited */
#define FULL_DIR "/proc"           /* a file system without a free block */

static struct supervisor s;

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_ERROR, false);
    supervisor_clear(&s);
    s.o.journal_dir = ".";
    s.o.retry_for_ms = 10000;
    s.was_connected = true;
    assert_int_equal(buf_add_text(&s.consumer_program, "/bin/true"), 0);
    return buf_add_text(&s.log_path, "/dev/null");
}

static int teardown(void **state) {
    (void)state;
    buf_release(&s.consumer_program);
    buf_release(&s.log_path);
    return 0;
}

static int service(bool connected, uint64_t now_ms) {
    uint64_t deadline_ms = UINT64_MAX;
    return consumer_service(&s, connected, now_ms, &deadline_ms);
}

/* True: a consumer was started; its end is collected. */
static bool was_started(void) {
    pid_t pid = s.consumer.pid;
    if (pid == 0)
        return false;
    s.consumer.pid = 0;
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return true;
}

static void test_outage_ends_the_run_after_retry_for(void **state) {
    (void)state;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), 0);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_DISK), 10999), 0);
    assert_false(s.given_up);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 11000), ERR_UNREACHABLE);
    assert_true(s.given_up);
}

static void test_outage_without_retry_for_lasts_ten_minutes(void **state) {
    (void)state;
    s.o.retry_for_ms = 0;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_DISK), 1000), 0);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_DISK), 600999), 0);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_DISK), 601000), ERR_UNREACHABLE);
}

static void test_settled_consumer_ends_the_outage(void **state) {
    (void)state;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), 0);
    s.consumer.pid = getpid();                /* it runs again, and was due at 2000 */
    assert_int_equal(service(true, 7000), 0); /* for 5 s now */
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 11000), 0);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 20999), 0);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 21000), ERR_UNREACHABLE);
}

static void test_short_connection_does_not_end_the_outage(void **state) {
    (void)state;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), 0);
    s.consumer.pid = getpid();
    assert_int_equal(service(true, 6999), 0);
    assert_int_equal(service(false, 7100), 0);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 11000), ERR_UNREACHABLE);
}

static void test_no_outage_before_the_first_answer(void **state) {
    (void)state;
    s.was_connected = false;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), ERR_UNREACHABLE);
    assert_true(s.given_up);
}

static void test_other_failures_are_no_outage(void **state) {
    (void)state;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_UNUSABLE), 1000), ERR_UNREACHABLE);
    assert_true(s.given_up);
    assert_false(s.journal_is_lost);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_LOST), 1000), ERR_UNREACHABLE);
    assert_true(s.journal_is_lost);
}

/* The last line of consumer.log; without one, the place to look at. */
static void test_reason_of_a_failed_consumer_is_shown(void **state) {
    static struct capture c;
    (void)state;
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_UNUSABLE), 1000), ERR_UNREACHABLE);
    capture_end(&c);
    assert_non_null(strstr(c.text, "the journal consumer ended without an error message; see consumer.log there"));
    file_put_text("consumer.log", "chunklift-consumer: the reason\n");
    buf_clear(&s.log_path);
    assert_int_equal(buf_add_text(&s.log_path, "consumer.log"), 0);
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_UNUSABLE), 1000), ERR_UNREACHABLE);
    capture_end(&c);
    unlink("consumer.log");
    assert_non_null(strstr(c.text, "the reason\n"));
    assert_null(strstr(c.text, "without an error message"));
}

static void test_consumer_is_started_during_an_outage(void **state) {
    (void)state;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), 0);
    assert_int_equal(service(false, 1999), 0);
    assert_false(was_started());
    assert_int_equal(service(false, 2300), 0);
    assert_true(was_started());
}

static void test_full_disk_postpones_the_start(void **state) {
    (void)state;
    s.o.journal_dir = FULL_DIR;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), 0);
    for (uint64_t now_ms = 2000; now_ms < 11000; now_ms += 500) {
        assert_int_equal(service(false, now_ms), 0);
        assert_false(was_started());
    }
    assert_int_equal(service(false, 12000), ERR_UNREACHABLE);
    assert_true(s.given_up);
}

/* The consumer that is started reports why. */
static void test_disk_that_cannot_be_examined_does_not_postpone_the_start(void **state) {
    (void)state;
    s.o.journal_dir = "no such directory";
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_DISK), 1000), 0);
    assert_int_equal(service(false, 2300), 0);
    assert_true(was_started());
}

static void test_full_disk_does_not_prevent_the_first_start(void **state) {
    (void)state;
    s.o.journal_dir = FULL_DIR;
    assert_int_equal(service(false, 1000), 0);
    assert_true(was_started());
}

static void test_five_starts_without_an_answer_are_the_last(void **state) {
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(service(false, i * 1000), 0);
        assert_true(was_started());
    }
    assert_int_equal(service(false, 6000), ERR_UNREACHABLE);
    assert_true(s.given_up);
}

static void test_starts_are_half_a_second_apart(void **state) {
    (void)state;
    assert_int_equal(service(false, 1000), 0);
    assert_true(was_started());
    assert_int_equal(service(false, 1300), 0);
    assert_false(was_started());
    assert_int_equal(service(false, 1600), 0);
    assert_true(was_started());
}

static void test_killed_consumer_is_started_again_at_once(void **state) {
    (void)state;
    assert_int_equal(service(false, 1000), 0);
    assert_true(was_started());
    assert_int_equal(consumer_handle_end(&s, SIGKILL, 1100), 0);
    assert_int_equal(service(false, 1100), 0);
    assert_true(was_started());
}

static void test_no_consumer_is_started_for_a_given_one_or_at_the_end(void **state) {
    (void)state;
    s.stopping = true;
    assert_int_equal(service(false, 1000), 0);
    assert_false(was_started());
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_UNUSABLE), 1000), 0);
    s.stopping = false;
    s.o.consumer = "tcp://host:1";
    assert_int_equal(service(false, 2000), 0);
    assert_false(was_started());
}

static void test_silence_of_a_consumer_that_answered_is_no_error(void **state) {
    (void)state;
    s.consumer.pid = getpid();
    for (int connected = 1; connected >= 0; connected--) {
        s.was_connected = connected != 0;
        s.silent_since_ms = 1000;
        assert_int_equal(service(false, 16000), 0);
        assert_int_equal(service(false, 16001), connected ? 0 : ERR_UNREACHABLE);
    }
    s.silent_since_ms = 0; /* the first turn */
    assert_int_equal(service(false, 40000), 0);
    assert_int_equal(service(true, 50000), 0); /* an answer ends the silence */
    assert_int_equal(service(false, 65000), 0);
}

/* --- the end of a run --- */

static int term_pipe[2];

static void on_term(int number) {
    (void)number;
    (void)!write(term_pipe[1], "t", 1);
}

/* A child process that ends after ms; it notes each SIGTERM in term_pipe. */
static pid_t start_child(unsigned ms) {
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before); /* until the handler is set */
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGTERM, on_term);
        sigprocmask(SIG_SETMASK, &before, NULL);
        for (uint64_t end_ms = clock_ms() + ms; clock_ms() < end_ms;)
            poll(NULL, 0, 10);
        _exit(EXIT_DONE);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Ends a run after the SIGTERM of its uploader; returns the number of further ones. */
static ssize_t stop_draining_uploader(void) {
    char bytes[16];
    assert_int_equal(pipe2(term_pipe, O_NONBLOCK), 0);
    s.draining = true;
    s.o.drain_for_ms = 10000;
    s.was_connected = false;
    s.uploaders[0].pid = start_child(300);
    assert_int_equal(supervisor_stop(&s), 0);
    assert_int_equal(supervisor_uploaders(&s), 0);
    close(term_pipe[1]);
    ssize_t count = read(term_pipe[0], bytes, sizeof bytes);
    close(term_pipe[0]);
    return count;
}

static void test_uploaders_of_a_given_consumer_finish_their_results(void **state) {
    (void)state;
    s.o.consumer = "tcp://host:1";
    assert_int_equal(stop_draining_uploader(), 0);
}

static void test_uploaders_without_a_consumer_drop_their_results(void **state) {
    (void)state;
    assert_int_equal(stop_draining_uploader(), 1);
}

static void test_uploaders_of_a_running_consumer_finish_their_results(void **state) {
    (void)state;
    int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    ssize_t count = stop_draining_uploader();
    close(fd);
    unlink("lock");
    assert_int_equal(count, 0);
}

/* The uploader would take a minute to end. */
static void test_a_second_stop_request_during_the_end_kills_the_uploaders(void **state) {
    (void)state;
    assert_int_equal(pipe2(term_pipe, O_NONBLOCK), 0);
    assert_int_equal(signals_init(false), 0);
    s.o.consumer = "tcp://host:1";
    s.o.drain_for_ms = 60000;
    s.uploaders[0].pid = start_child(60000);
    raise(SIGINT);
    raise(SIGINT);
    uint64_t began_ms = clock_ms();
    assert_int_equal(supervisor_stop(&s), 0);
    assert_true(clock_ms() - began_ms < 30000);
    assert_true(s.killed);
    assert_int_equal(supervisor_uploaders(&s), 0);
    close(term_pipe[0]);
    close(term_pipe[1]);
    assert_int_equal(signals_init(false), 0); /* forgets the requests */
}

static void test_stop_waits_for_a_consumer_that_answered(void **state) {
    (void)state;
    s.draining = true;
    for (int connected = 0; connected <= 1; connected++) {
        pid_t pid = start_child(connected ? 300 : 60000);
        s.consumer.pid = pid;
        s.was_connected = connected != 0;
        uint64_t began_ms = clock_ms();
        assert_int_equal(supervisor_stop(&s), 0);
        assert_int_equal(s.consumer.pid, connected ? 0 : pid);
        if (!connected) {
            assert_true(clock_ms() - began_ms < 900);
            kill(pid, SIGKILL);
            assert_int_equal(waitpid(pid, NULL, 0), pid);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_outage_ends_the_run_after_retry_for), TEST(test_outage_without_retry_for_lasts_ten_minutes),
          TEST(test_settled_consumer_ends_the_outage), TEST(test_short_connection_does_not_end_the_outage),
          TEST(test_no_outage_before_the_first_answer), TEST(test_other_failures_are_no_outage),
          TEST(test_reason_of_a_failed_consumer_is_shown), TEST(test_consumer_is_started_during_an_outage),
          TEST(test_full_disk_postpones_the_start), TEST(test_disk_that_cannot_be_examined_does_not_postpone_the_start),
          TEST(test_full_disk_does_not_prevent_the_first_start), TEST(test_five_starts_without_an_answer_are_the_last),
          TEST(test_starts_are_half_a_second_apart), TEST(test_killed_consumer_is_started_again_at_once),
          TEST(test_no_consumer_is_started_for_a_given_one_or_at_the_end),
          TEST(test_silence_of_a_consumer_that_answered_is_no_error),
          TEST(test_uploaders_of_a_given_consumer_finish_their_results),
          TEST(test_a_second_stop_request_during_the_end_kills_the_uploaders),
          TEST(test_uploaders_without_a_consumer_drop_their_results),
          TEST(test_uploaders_of_a_running_consumer_finish_their_results),
          TEST(test_stop_waits_for_a_consumer_that_answered))
