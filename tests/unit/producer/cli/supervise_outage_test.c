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
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS(code) ((code) << 8) /* of waitpid, for a process that exited */
#define FULL_DIR "/proc"           /* a file system without a free block */

static struct supervisor s;

static const struct statvfs *disk; /* NULL: the real one */

int __real_statvfs(const char *path, struct statvfs *fs);
int __wrap_statvfs(const char *path, struct statvfs *fs);
int __wrap_statvfs(const char *path, struct statvfs *fs) {
    if (!disk)
        return __real_statvfs(path, fs);
    *fs = *disk;
    return 0;
}

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

/* The last line of its log; without one, the place to look at. */
static void test_reason_of_a_failed_consumer_is_shown(void **state) {
    static struct capture c;
    (void)state;
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_UNUSABLE), 1000), ERR_UNREACHABLE);
    capture_end(&c);
    assert_non_null(strstr(c.text, "the journal consumer ended without an error message; see /dev/null\n"));
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

/* The log may be lost with the directory. */
static void test_lost_journal_has_a_reason(void **state) {
    static struct capture c;
    (void)state;
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_LOST), 1000), ERR_UNREACHABLE);
    capture_end(&c);
    assert_non_null(strstr(c.text, ".: the journal was removed or replaced while it was in use; "));
    file_put_text("consumer.log", "chunklift-consumer: another reason\n");
    buf_clear(&s.log_path);
    assert_int_equal(buf_add_text(&s.log_path, "consumer.log"), 0);
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_LOST), 1000), ERR_UNREACHABLE);
    capture_end(&c);
    unlink("consumer.log");
    assert_non_null(strstr(c.text, "another reason\n"));
    assert_null(strstr(c.text, "removed or replaced"));
}

/* The starts of the consumer that lost are not counted. */
static void test_consumer_of_another_run_is_joined(void **state) {
    (void)state;
    s.consumer_tries = 4;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_BUSY), 1000), 0);
    assert_int_equal(s.consumer_tries, 0);
    int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    s.consumer_tries = 4;
    int err = consumer_handle_end(&s, STATUS(EXIT_UNUSABLE), 1000);
    close(fd);
    unlink("lock");
    assert_int_equal(err, 0);
    assert_int_equal(s.consumer_tries, 0);
    assert_false(s.given_up);
}

static void test_lock_that_is_free_is_no_consumer(void **state) {
    (void)state;
    file_put_text("lock", "");
    errno = EWOULDBLOCK; /* of an earlier call */
    bool runs = consumer_is_running(&s);
    unlink("lock");
    assert_false(runs);
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

/* A file system without a fixed number of files reports 0 of them. */
static void test_file_system_without_a_free_file_is_full(void **state) {
    static const struct {
        struct statvfs fs;
        bool full;
    } cases[] = {{{.f_frsize = 1, .f_bfree = 1, .f_bavail = 1}, false},
                 {{.f_frsize = 1, .f_bfree = 1, .f_bavail = 1, .f_files = 9, .f_ffree = 1, .f_favail = 1}, false},
                 {{.f_frsize = 1, .f_bfree = 1, .f_bavail = 1, .f_files = 9}, true},
                 {{.f_files = 9, .f_ffree = 1, .f_favail = 1}, true}};
    (void)state;
    assert_int_equal(consumer_handle_end(&s, STATUS(EXIT_JOURNAL_FULL), 1000), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        disk = &cases[i].fs;
        assert_int_equal(service(false, 3000 + 2000 * i), 0);
        disk = NULL;
        assert_int_equal(was_started(), !cases[i].full);
    }
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
    assert_int_equal(service(false, 2100), 0);
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

static int term_pipe[2]; /* of the children */

static void on_term(int number) {
    (void)number;
    (void)!write(term_pipe[1], "t", 1);
}

/* A child process that ends after ms. It notes each SIGTERM in term_pipe, and its end, unless it is killed. */
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
        (void)!write(term_pipe[1], "e", 1);
        _exit(EXIT_DONE);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Ends a run after the SIGTERM of its uploader, which is not killed; returns the number of further ones. */
static ssize_t stop_draining_uploader(void) {
    char bytes[16];
    assert_int_equal(pipe2(term_pipe, O_NONBLOCK), 0);
    s.draining = true;
    s.o.drain_for_ms = 10000;
    s.was_connected = false;
    s.uploaders[0].pid = start_child(300);
    assert_int_equal(supervisor_stop(&s), 0);
    assert_int_equal(supervisor_uploaders(&s), 0);
    assert_false(s.killed);
    close(term_pipe[1]);
    ssize_t count = read(term_pipe[0], bytes, sizeof bytes);
    close(term_pipe[0]);
    assert_true(count > 0 && bytes[count - 1] == 'e');
    return count - 1;
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

static void test_one_stop_request_during_the_end_kills_nothing(void **state) {
    (void)state;
    assert_int_equal(signals_init(false), 0);
    s.o.consumer = "tcp://host:1";
    raise(SIGINT);
    assert_int_equal(stop_draining_uploader(), 0);
    assert_int_equal(signals_init(false), 0); /* forgets the request */
}

/* It would take a minute to end. */
static void test_uploader_that_does_not_end_is_killed(void **state) {
    static struct capture c;
    (void)state;
    assert_int_equal(pipe2(term_pipe, O_NONBLOCK), 0);
    log_setup("test", LOG_WARN, false);
    s.o.consumer = "tcp://host:1";
    s.given_up = true;
    pid_t pid = s.uploaders[0].pid = start_child(60000);
    capture_begin(&c, STDERR_FILENO);
    assert_int_equal(supervisor_stop(&s), 0);
    capture_end(&c);
    assert_int_equal(supervisor_uploaders(&s), 0);
    assert_int_equal(kill(pid, 0), -1);
    assert_string_equal(c.text, "");
    close(term_pipe[0]);
    close(term_pipe[1]);
}

static void test_stop_waits_for_a_consumer_that_answered(void **state) {
    (void)state;
    s.draining = true;
    assert_int_equal(pipe2(term_pipe, O_NONBLOCK), 0);
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
    close(term_pipe[0]);
    close(term_pipe[1]);
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
          TEST(test_stop_waits_for_a_consumer_that_answered), TEST(test_one_stop_request_during_the_end_kills_nothing),
          TEST(test_uploader_that_does_not_end_is_killed), TEST(test_lost_journal_has_a_reason),
          TEST(test_consumer_of_another_run_is_joined), TEST(test_lock_that_is_free_is_no_consumer),
          TEST(test_file_system_without_a_free_file_is_full))
