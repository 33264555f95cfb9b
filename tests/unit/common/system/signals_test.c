#include "unit.h"

#include "system/signals.h"
#include <fcntl.h>
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
    assert_int_equal(signals_init_with_hangup(true), 0);
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

/* A program that was started with SIGHUP held (spawn.h) gets it when it can handle it. */
static void test_a_hangup_that_was_held_is_news(void **state) {
    (void)state;
    sigset_t hangup, now;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_BLOCK, &hangup, NULL);
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(signals_init_with_hangup(true), 0);
    assert_true(signals_hung_up());
    assert_int_equal(signals_stop_count(), 0);
    sigprocmask(SIG_BLOCK, NULL, &now);
    assert_false(sigismember(&now, SIGHUP));
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

/* The child writes a byte when it is ready, and its main thread looks at no signal until a byte comes. */
struct hanging {
    pid_t pid;
    int ready, go;
};

static int run_hanging(int ready, int go) {
    char byte = 0;
    int dev_null = open("/dev/null", O_WRONLY);
    dup2(dev_null, STDERR_FILENO);
    if (signals_init_with_hangup(false) || signals_end_when_hung() || write(ready, "x", 1) != 1)
        return 1;
    while (read(go, &byte, 1) == 1) {
        while (!readable(10000))
            ;
        signals_drain();
        byte = (char)signals_stop_count();
        if (write(ready, &byte, 1) != 1)
            return 2;
    }
    return signals_hung_up() ? 3 : 4;
}

static struct hanging start_hanging(void) {
    int ready[2], go[2];
    char byte;
    assert_int_equal(pipe(ready) | pipe(go), 0);
    struct hanging h = {.pid = fork(), .ready = ready[0], .go = go[1]};
    if (h.pid == 0) {
        close(go[1]);
        _exit(run_hanging(ready[1], go[0]));
    }
    close(ready[1]);
    close(go[0]);
    assert_int_equal(read(h.ready, &byte, 1), 1);
    return h;
}

static int end_hanging(struct hanging *h) {
    int status;
    close(h->go);
    close(h->ready);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Lets its main thread look once. Returns the stop requests that it saw. */
static int stops_seen(struct hanging *h) {
    char byte = -1;
    assert_int_equal(write(h->go, "x", 1), 1);
    assert_int_equal(read(h->ready, &byte, 1), 1);
    return byte;
}

static void test_a_second_stop_request_ends_a_process_that_hangs(void **state) {
    (void)state;
    struct hanging h = start_hanging();
    char byte;
    kill(h.pid, SIGINT);
    while (stops_seen(&h) < 1)
        ;
    kill(h.pid, SIGTERM);
    assert_int_equal(read(h.ready, &byte, 1), 0); /* its end */
    assert_int_equal(end_hanging(&h), 128 + SIGINT);
}

static void test_a_stop_request_that_is_seen_ends_nothing(void **state) {
    (void)state;
    struct hanging h = start_hanging();
    for (int count = 1; count <= 3; count++) {
        kill(h.pid, SIGTERM);
        while (stops_seen(&h) < count)
            ;
    }
    poll(NULL, 0, SIGNALS_HUNG_MS + 500); /* longer than a process may hang */
    assert_int_equal(end_hanging(&h), 4);
}

static void test_one_stop_request_does_not_end_a_process_that_hangs(void **state) {
    (void)state;
    struct hanging h = start_hanging();
    kill(h.pid, SIGTERM);
    poll(NULL, 0, SIGNALS_HUNG_MS + 500);
    assert_int_equal(stops_seen(&h), 1);
    assert_int_equal(end_hanging(&h), 4);
}

static void test_hangups_do_not_end_a_process_that_hangs(void **state) {
    (void)state;
    struct hanging h = start_hanging();
    kill(h.pid, SIGHUP);
    assert_int_equal(stops_seen(&h), 0);
    assert_int_equal(end_hanging(&h), 3);
}

static void test_the_thread_leaves_ignored_signals_alone(void **state) {
    (void)state;
    signal(SIGINT, SIG_IGN);
    struct hanging h = start_hanging();
    signal(SIGINT, SIG_DFL);
    kill(h.pid, SIGINT);
    kill(h.pid, SIGTERM);
    assert_int_equal(stops_seen(&h), 1);
    assert_int_equal(end_hanging(&h), 4);
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
          TEST(test_hangup_as_news), TEST(test_a_hangup_that_was_held_is_news),
          TEST(test_ignored_at_start_stays_ignored), TEST(test_broken_pipe_is_no_signal),
          TEST(test_child_exit_is_told_once), TEST(test_flood_does_not_block),
          TEST(test_blocked_signals_are_let_through), TEST(test_a_second_stop_request_ends_a_process_that_hangs),
          TEST(test_a_stop_request_that_is_seen_ends_nothing), TEST(test_hangups_do_not_end_a_process_that_hangs),
          TEST(test_one_stop_request_does_not_end_a_process_that_hangs),
          TEST(test_the_thread_leaves_ignored_signals_alone))
