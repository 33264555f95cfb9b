/* The lock between runs of cp on one journal. A child process is the other run. */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "producer/cli/run_lock.h"
#include "system/log.h"
#include "system/signals.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];
static struct capture said;
static struct run_lock lock;
static bool waited;
static int let_go[2]; /* a pipe: the other run ends when this end closes it */

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    log_setup("test", LOG_INFO, false);
    lock = (struct run_lock)RUN_LOCK_INIT;
    return signals_init(false);
}

static int teardown(void **state) {
    (void)state;
    run_lock_release(&lock);
    return temp_dir_leave(root);
}

/* Starts another run, which has its lock when this returns. It holds the lock until run_let_go. */
static pid_t run_start(bool with_option) {
    int ready[2];
    char byte = 0;
    assert_true(pipe(ready) == 0 && pipe(let_go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct run_lock other = RUN_LOCK_INIT;
        close(let_go[1]);
        if (!with_option)
            run_lock_mark(&other, "j");
        else if (run_lock_take(&other, "j", 0, &waited) != 0)
            _exit(1);
        _exit(write(ready[1], &byte, 1) == 1 && read(let_go[0], &byte, 1) >= 0 ? 0 : 1);
    }
    close(ready[1]);
    close(let_go[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* number: a signal for it; 0: none. */
static void run_let_go(pid_t pid, int number) {
    int status;
    if (number)
        kill(pid, number);
    close(let_go[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_a_free_lock_is_taken_at_once(void **state) {
    struct stat st;
    (void)state;
    assert_int_equal(run_lock_take(&lock, "new/j", 0, &waited), 0); /* the directory is made */
    assert_false(waited);
    assert_int_equal(stat("new/j/runs", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 0);
}

static void test_a_run_with_or_without_the_option_is_named(void **state) {
    char expected[200];
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    for (int with = 0; with <= 1; with++) {
        pid_t pid = run_start(with);
        capture_begin(&said, STDERR_FILENO);
        assert_int_equal(run_lock_take(&lock, "j", 0, &waited), ERR_BUSY);
        snprintf(expected, sizeof expected, "j: process %d still uploads with this journal, and --lock-wait is over",
                 (int)pid);
        assert_non_null(strstr(capture_end(&said), expected));
        assert_false(waited);
        run_lock_release(&lock);
        run_let_go(pid, 0);
    }
}

static void test_a_killed_run_frees_the_lock(void **state) {
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    for (int with = 0; with <= 1; with++) {
        run_let_go(run_start(with), SIGKILL);
        assert_int_equal(run_lock_take(&lock, "j", 0, &waited), 0);
        run_lock_release(&lock);
    }
}

/* The grandchild ends the other run once this one has said that it waits. */
static void test_it_waits_for_the_end_of_the_other_run(void **state) {
    int status, err[2], saved = dup(STDERR_FILENO);
    char text[300];
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    pid_t pid = run_start(true);
    assert_int_equal(pipe(err), 0);
    pid_t ender = fork();
    if (ender == 0)
        _exit(read(err[0], text, sizeof text) > 0 && kill(pid, SIGKILL) == 0 ? 0 : 1);
    dup2(err[1], STDERR_FILENO);
    int result = run_lock_take(&lock, "j", 600000, &waited);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(err[0]);
    close(err[1]);
    assert_int_equal(result, 0);
    assert_true(waited);
    assert_int_equal(waitpid(ender, &status, 0), ender);
    assert_int_equal(status, 0);
    run_let_go(pid, 0);
}

static void test_runs_without_the_option_do_not_exclude_each_other(void **state) {
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    pid_t pid = run_start(false);
    run_lock_mark(&lock, "j");
    assert_true(lock.fd >= 0);
    run_let_go(pid, 0);
    pid = run_start(false); /* this run has its own byte: the other one is not hindered */
    run_let_go(pid, 0);
}

static void test_a_run_without_the_option_needs_no_directory(void **state) {
    (void)state;
    capture_begin(&said, STDERR_FILENO);
    run_lock_mark(&lock, "nowhere");
    assert_string_equal(capture_end(&said), "");
    assert_int_equal(lock.fd, -1);
}

static void test_a_stop_request_ends_the_wait(void **state) {
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    pid_t pid = run_start(true);
    raise(SIGTERM);
    capture_begin(&said, STDERR_FILENO);
    assert_int_equal(run_lock_take(&lock, "j", 600000, &waited), ERR_BUSY);
    assert_string_equal(capture_end(&said), "");
    run_let_go(pid, 0);
}

static void test_a_file_that_cannot_be_opened(void **state) {
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    assert_int_equal(mkdir("j/runs", 0700), 0);
    capture_begin(&said, STDERR_FILENO);
    assert_int_equal(run_lock_take(&lock, "j", 600000, &waited), ERR_IO);
    assert_non_null(strstr(capture_end(&said), "j/runs: cannot be locked: Is a directory; "));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_a_free_lock_is_taken_at_once), TEST(test_a_run_with_or_without_the_option_is_named),
          TEST(test_a_killed_run_frees_the_lock), TEST(test_it_waits_for_the_end_of_the_other_run),
          TEST(test_runs_without_the_option_do_not_exclude_each_other),
          TEST(test_a_run_without_the_option_needs_no_directory), TEST(test_a_file_that_cannot_be_opened),
          TEST(test_a_stop_request_ends_the_wait))
