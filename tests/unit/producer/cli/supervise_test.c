/*
 * The number of uploaders, changed during the run. The supervisor finds its programs next to its own. Therefore each
 * test runs in a copy of this program in ./bin, where chunklift-uploader is a shell script that takes a while to end.
 */
#include "unit.h"

#include "producer/cli/supervise.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/signals.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static const char script[] = "#!/bin/sh\n"
                             "[ ! -e die ] || { rm die; echo $$ >>died; kill -9 $$; }\n"
                             "case \"$*\" in *--check*) printf r >&0;; esac\n"
                             "left=-1\n"
                             "trap 'left=8; echo $$ >>told' TERM\n"
                             "echo $$ >>started\n"
                             "while [ $left -ne 0 ]; do sleep 0.05; left=$((left - 1)); done\n"
                             "[ ! -e read-input ] || read line || echo $$ >>input-ended\n";

static struct supervisor *s;

static void until(size_t alive) {
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 20;
        assert_int_equal(supervisor_step(s, true, now, &deadline), 0);
        if (supervisor_uploaders(s) == alive)
            return;
        if (now > end_ms)
            fail_msg("%zu uploaders, not %zu", supervisor_uploaders(s), alive);
        poll(NULL, 0, 5);
    }
}

/* The pids in a file: of all uploaders that were started, or that got SIGTERM. */
static size_t noted(const char *file, pid_t pids[64]) {
    size_t count = 0;
    long pid;
    FILE *f = fopen(file, "r");
    while (f && count < 64 && fscanf(f, "%ld", &pid) == 1) /* NOLINT: our own script wrote it */
        pids[count++] = (pid_t)pid;
    if (f)
        fclose(f);
    return count;
}

static size_t started(pid_t pids[64]) {
    return noted("started", pids);
}

static size_t until_started(size_t count, pid_t pids[64]) {
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    while (started(pids) < count) {
        assert_true(clock_ms() < end_ms);
        poll(NULL, 0, 5);
    }
    return started(pids);
}

static int access_error; /* of the directory "denied" */

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode) {
    if (strcmp(path, "denied") != 0)
        return __real_access(path, mode);
    errno = access_error;
    return -1;
}

static void begin_in(const char *journal_dir, const char *consumer, uint64_t uploaders) {
    struct supervise_options o = {.journal_dir = journal_dir,
                                  .consumer = consumer,
                                  .uploaders = uploaders,
                                  .slots = 1,
                                  .jobs = "ipc:///nowhere",
                                  .allow = "file:///nowhere/"};
    log_setup("test", LOG_ERROR, false);
    assert_int_equal(signals_init(true), 0);
    assert_int_equal(supervisor_new(&s, &o), 0);
}

static void begin(uint64_t uploaders) {
    begin_in(".", "ipc:///nowhere", uploaders);
}

static void begin_all(uint64_t uploaders) {
    begin(uploaders);
    supervisor_want_all(s);
}

static void end(void) {
    supervisor_kill(s);
    assert_int_equal(supervisor_stop(s), 0);
    supervisor_destroy(&s);
}

static void more_and_fewer(void) {
    pid_t pids[64];
    begin_all(2);
    until(2);
    assert_int_equal(until_started(2, pids), 2);
    supervisor_set_uploaders(s, 5);
    until(5);
    assert_int_equal(until_started(5, pids), 5);
    supervisor_set_uploaders(s, 1);
    until(1);
    assert_true(kill(pids[0], 0) == 0 || kill(pids[1], 0) == 0); /* the last one leaves first */
    supervisor_set_uploaders(s, 0);                              /* as it was started */
    until(2);
    assert_int_equal(until_started(6, pids), 6); /* a surplus uploader is not replaced */
    end();
}

static void more_while_some_leave(void) {
    pid_t pids[64];
    begin_all(4);
    until(4);
    until_started(4, pids);
    supervisor_set_uploaders(s, 1);
    supervisor_set_uploaders(s, 3); /* three are still leaving */
    until(3);
    assert_int_equal(until_started(6, pids), 6);
    end();
}

static void one_that_dies_comes_again(void) {
    pid_t pids[64];
    begin_all(1);
    supervisor_set_uploaders(s, 2);
    until(2);
    until_started(2, pids);
    assert_int_equal(kill(pids[1], SIGKILL), 0);
    until(1);
    until(2);
    assert_int_equal(until_started(3, pids), 3);
    end();
}

/* A second SIGTERM would cut off the transfers of the leaving uploaders. */
static void draining_leaves_the_leaving_alone(void) {
    pid_t pids[64];
    begin_all(2);
    until(2);
    until_started(2, pids);
    supervisor_set_uploaders(s, 1);
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; noted("told", pids) < 1; poll(NULL, 0, 5))
        assert_true(clock_ms() < end_ms);
    supervisor_drain(s);
    supervisor_set_uploaders(s, 5); /* no uploader is started any more */
    until(0);
    assert_int_equal(started(pids), 2);
    assert_int_equal(noted("told", pids), 2); /* each once */
    end();
}

/* Hides the end of a process from its parent, as if it hung in the kernel: another process traces it and does not wait
 * for it. false: tracing is not permitted. */
static bool hold_on_to(pid_t victim, pid_t *tracer) {
    int fds[2];
    char answer = 0;
    assert_int_equal(pipe(fds), 0);
    *tracer = fork();
    if (*tracer == 0) {
        bool held = ptrace(PTRACE_SEIZE, victim, NULL, NULL) == 0;
        (void)!write(fds[1], held ? "y" : "n", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(fds[0], &answer, 1), 1);
    close(fds[0]);
    close(fds[1]);
    return answer == 'y';
}

static void killed_is_left_behind(void) {
    pid_t pids[64], tracer;
    begin_all(2);
    until(2);
    until_started(2, pids);
    if (hold_on_to(pids[0], &tracer)) {
        uint64_t began_ms = clock_ms();
        supervisor_kill(s);
        assert_int_equal(supervisor_stop(s), 0);
        assert_int_equal(supervisor_uploaders(s), 1);
        assert_in_range(clock_ms() - began_ms, 0, 3000);
    }
    kill(tracer, SIGKILL);
    waitpid(tracer, NULL, 0);
    end();
}

static void one_until_there_is_more_work(void) {
    pid_t pids[64];
    begin(3);
    until(1);
    until_started(1, pids);
    for (int i = 0; i < 3; i++) {
        uint64_t now = clock_ms(), deadline = now + 20;
        assert_int_equal(supervisor_step(s, true, now, &deadline), 0);
    }
    assert_int_equal(supervisor_uploaders(s), 1);
    supervisor_want_all(s);
    until(3);
    assert_int_equal(until_started(3, pids), 3);
    end();
}

/* It has SIGTERM, and its standard input ends: see the script. */
static void finished_uploaders_see_the_end_of_their_input(void) {
    pid_t pids[64];
    FILE *f = fopen("read-input", "w");
    assert_non_null(f);
    fclose(f);
    begin_all(2);
    until(2);
    until_started(2, pids);
    supervisor_drain(s);
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; noted("told", pids) < 2; poll(NULL, 0, 5))
        assert_true(clock_ms() < end_ms);
    assert_int_equal(noted("input-ended", pids), 0);
    supervisor_finish(s);
    until(0);
    assert_int_equal(noted("input-ended", pids), 2);
    end();
}

static void killed_while_it_checks(void) {
    pid_t pids[64];
    FILE *f = fopen("die", "w");
    assert_non_null(f);
    fclose(f);
    begin(1);
    assert_int_equal(noted("died", pids), 1);
    until(1);
    end();
}

static int begin_refused(const char *journal_dir, const char *consumer) {
    struct supervise_options o = {.journal_dir = journal_dir,
                                  .consumer = consumer,
                                  .uploaders = 2,
                                  .slots = 1,
                                  .jobs = "ipc:///nowhere",
                                  .allow = "file:///nowhere/"};
    log_setup("test", LOG_ERROR, false);
    assert_int_equal(signals_init(true), 0);
    int err = supervisor_new(&s, &o);
    assert_null(s);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left */
    return err;
}

static void refused_settings(void) {
    FILE *f = fopen("bin/chunklift-uploader", "w");
    assert_non_null(f);
    fputs("#!/bin/sh\nexit 2\n", f);
    fclose(f);
    assert_int_equal(begin_refused(".", "ipc:///nowhere"), ERR_USAGE);
}

static void journal_that_cannot_be_made(void) {
    assert_int_equal(begin_refused("/proc/none", NULL), ERR_NOT_FOUND);
}

static void journal_that_cannot_be_written(void) {
    static const int errors[] = {EACCES, EROFS, EIO};
    for (int i = 0; i < 3; i++) {
        access_error = errors[i];
        assert_int_equal(begin_refused("denied", NULL), errors[i] == EIO ? ERR_IO : ERR_DENIED);
    }
    assert_int_equal(rmdir("denied"), 0);
}

static void journal_is_made_unless_a_consumer_is_given(void) {
    begin_in("made", "ipc:///nowhere", 1);
    end();
    assert_int_equal(rmdir("made"), -1);
    begin_in("made", NULL, 1);
    end();
    assert_int_equal(rmdir("made"), 0);
}

static void (*const insides[])(void) = {more_and_fewer,
                                        more_while_some_leave,
                                        one_that_dies_comes_again,
                                        draining_leaves_the_leaving_alone,
                                        killed_is_left_behind,
                                        one_until_there_is_more_work,
                                        finished_uploaders_see_the_end_of_their_input,
                                        refused_settings,
                                        journal_that_cannot_be_made,
                                        killed_while_it_checks,
                                        journal_that_cannot_be_written,
                                        journal_is_made_unless_a_consumer_is_given};

/* ---- outside ---- */

static void write_script(void) {
    FILE *f = fopen("bin/chunklift-uploader", "w");
    assert_non_null(f);
    fputs(script, f);
    fclose(f);
    assert_int_equal(chmod("bin/chunklift-uploader", 0700), 0);
}

static void run_inside(const char *number) {
    assert_int_equal(system("rm -rf bin started told read-input input-ended died && mkdir bin && cp /proc/$PPID/exe "
                            "bin/supervise_test && "
                            "cp bin/supervise_test bin/chunklift-consumer"),
                     0);
    write_script();
    pid_t child = fork();
    if (child == 0) {
        execl("bin/supervise_test", "supervise_test", "--inside", number, (char *)NULL);
        _exit(98);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_more_and_fewer(void **state) {
    (void)state;
    run_inside("0");
}
static void test_more_while_some_leave(void **state) {
    (void)state;
    run_inside("1");
}
static void test_an_uploader_that_dies_is_restarted(void **state) {
    (void)state;
    run_inside("2");
}
static void test_a_drain_sends_no_second_signal(void **state) {
    (void)state;
    run_inside("3");
}

static void test_killed_is_left_behind(void **state) {
    (void)state;
    run_inside("4");
}

static void test_one_uploader_until_there_is_more_work(void **state) {
    (void)state;
    run_inside("5");
}

static void test_finished_uploaders_see_the_end_of_their_input(void **state) {
    (void)state;
    run_inside("6");
}

static void test_refused_settings_end_the_start(void **state) {
    (void)state;
    run_inside("7");
}

static void test_a_journal_that_cannot_be_made_leaves_no_uploader(void **state) {
    (void)state;
    run_inside("8");
}

static void test_an_uploader_killed_while_it_checks_is_restarted(void **state) {
    (void)state;
    run_inside("9");
}

static void test_a_journal_that_cannot_be_written_is_refused(void **state) {
    (void)state;
    run_inside("10");
}

static void test_the_journal_of_a_given_consumer_is_not_made(void **state) {
    (void)state;
    run_inside("11");
}

static size_t inside;
static void test_inside(void **state) {
    (void)state;
    insides[inside]();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_more_and_fewer),
                                       cmocka_unit_test(test_more_while_some_leave),
                                       cmocka_unit_test(test_an_uploader_that_dies_is_restarted),
                                       cmocka_unit_test(test_a_drain_sends_no_second_signal),
                                       cmocka_unit_test(test_killed_is_left_behind),
                                       cmocka_unit_test(test_one_uploader_until_there_is_more_work),
                                       cmocka_unit_test(test_finished_uploaders_see_the_end_of_their_input),
                                       cmocka_unit_test(test_refused_settings_end_the_start),
                                       cmocka_unit_test(test_a_journal_that_cannot_be_made_leaves_no_uploader),
                                       cmocka_unit_test(test_an_uploader_killed_while_it_checks_is_restarted),
                                       cmocka_unit_test(test_a_journal_that_cannot_be_written_is_refused),
                                       cmocka_unit_test(test_the_journal_of_a_given_consumer_is_not_made)};
    const struct CMUnitTest itself[] = {cmocka_unit_test(test_inside)};
    if (argc == 3 && strcmp(argv[1], "--inside") == 0) {
        inside = strtoul(argv[2], NULL, 10) % (sizeof insides / sizeof *insides);
        return cmocka_run_group_tests(itself, NULL, NULL);
    }
    return unit_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
