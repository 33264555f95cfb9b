#include "unit.h"

#include "system/signals.h"
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool readable(int timeout_ms) {
    struct pollfd p = {.fd = signals_fd(), .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0); /* interrupted by the very signal */
    return n > 0;
}

static int setup(void **state) {
    (void)state;
    signal(SIGINT, SIG_DFL); /* the tests may run in the background of a script */
    signal(SIGTERM, SIG_DFL);
    return signals_init(true);
}

static void test_nothing_at_first(void **state) {
    (void)state;
    assert_false(readable(0));
    assert_int_equal(signals_stop_count(), 0);
    assert_int_equal(signals_stop_signal(), 0);
    assert_false(signals_child_exited());
}

static void test_first_and_second_stop(void **state) {
    (void)state;
    assert_int_equal(raise(SIGTERM), 0);
    assert_true(readable(0));
    assert_int_equal(signals_stop_count(), 1);
    signals_drain();
    assert_false(readable(0));
    assert_int_equal(raise(SIGINT), 0);
    assert_true(readable(0));
    assert_int_equal(signals_stop_count(), 2);
    assert_int_equal(signals_stop_signal(), SIGTERM);
}

static void test_hangup_is_a_stop(void **state) {
    (void)state;
    signal(SIGHUP, SIG_DFL); /* the tests may run under nohup */
    assert_int_equal(signals_init(true), 0);
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(signals_stop_count(), 1);
    assert_int_equal(signals_stop_signal(), SIGHUP);
}

static void test_ignored_at_start_stays_ignored(void **state) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        signal(numbers[i], SIG_IGN);
        assert_int_equal(signals_init(true), 0);
        assert_int_equal(raise(numbers[i]), 0);
        assert_int_equal(signals_stop_count(), 0);
        signal(numbers[i], SIG_DFL);
    }
}

/* "From now on SIGHUP is news, no stop request; also under nohup(1)" */
static void test_hangup_as_news(void **state) {
    (void)state;
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(signals_init(true), 0);
    assert_int_equal(signals_catch_hangup(), 0);
    assert_false(signals_hung_up());
    assert_int_equal(raise(SIGHUP), 0);
    assert_true(readable(0));
    assert_true(signals_hung_up());
    assert_false(signals_hung_up());
    assert_int_equal(signals_stop_count(), 0);
    assert_int_equal(signals_init(true), 0); /* as it was */
    assert_int_equal(raise(SIGHUP), 0);
    assert_false(signals_hung_up());
    assert_int_equal(signals_stop_count(), 1);
    signal(SIGHUP, SIG_DFL);
}

static void test_broken_pipe_is_no_signal(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    close(fds[1]);
    assert_int_equal(signals_stop_count(), 0);
}

static void test_child_exit_is_told_once(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_true(readable(10000));
    assert_true(signals_child_exited());
    assert_false(signals_child_exited());
    assert_int_equal(signals_stop_count(), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_flood_does_not_block(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) /* more than the pipe holds */
        raise(SIGTERM);
    assert_true(signals_stop_count() >= 2);
    signals_drain();
    assert_false(readable(0));
}

static void test_blocked_signals_are_let_through(void **state) {
    (void)state;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    assert_int_equal(signals_init(true), 0);
    raise(SIGTERM);
    assert_int_equal(signals_stop_count(), 1);
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)
UNIT_MAIN(TEST(test_nothing_at_first), TEST(test_first_and_second_stop), TEST(test_hangup_is_a_stop),
          TEST(test_hangup_as_news), TEST(test_ignored_at_start_stays_ignored), TEST(test_broken_pipe_is_no_signal),
          TEST(test_child_exit_is_told_once), TEST(test_flood_does_not_block),
          TEST(test_blocked_signals_are_let_through))
