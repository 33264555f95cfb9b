#include "files.h"
#include "unit.h"

#include "capture.h"
#include "system/descriptors.h"
#include "system/spawn.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int wait_for(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static pid_t shell(const char *script, struct spawn_options o) {
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    pid_t pid = 0;
    o.argv = argv;
    assert_int_equal(spawn(&o, &pid), 0);
    assert_true(pid > 0);
    return pid;
}

static void test_runs_with_its_arguments(void **state) {
    (void)state;
    pid_t pid = shell("exit 7", (struct spawn_options){0});
    int status = wait_for(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void test_missing_program(void **state) {
    (void)state;
    const char *argv[] = {"./none", NULL};
    struct spawn_options o = {.argv = argv};
    struct capture said;
    pid_t pid = -5;
    capture_begin(&said, 2);
    int err = spawn(&o, &pid);
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_string_equal(said.text, "chunklift: ./none: cannot be started: No such file or directory\n");
    assert_int_equal(pid, -5);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left */
    argv[0] = "/etc/passwd";
    capture_begin(&said, 2);
    err = spawn(&o, &pid);
    capture_end(&said);
    assert_int_equal(err, ERR_DENIED);
}

static void test_no_descriptor_leaks_in(void **state) {
    (void)state;
    int kept = dup(1), high = fcntl(1, F_DUPFD, 500); /* both without CLOEXEC */
    int status = wait_for(shell("for f in /proc/self/fd/*; do case ${f##*/} in [0-3]) ;; *) exit 1;; esac; done",
                                (struct spawn_options){0}));
    close(kept);
    close(high);
    assert_int_equal(status, 0);
}

static void test_signals_are_as_new(void **state) {
    (void)state;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    int status = wait_for(shell("kill -PIPE $$; exit 3", (struct spawn_options){0}));
    int second = wait_for(shell("kill -TERM $$; exit 3", (struct spawn_options){0}));
    sigset_t now;
    sigprocmask(SIG_UNBLOCK, &blocked, &now);
    signal(SIGPIPE, SIG_DFL);
    assert_true(sigismember(&now, SIGTERM)); /* our own mask is as before */
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGPIPE);
    assert_true(WIFSIGNALED(second));
    assert_int_equal(WTERMSIG(second), SIGTERM);
}

static int exit_status_after(const char *script) {
    int status = wait_for(shell(script, (struct spawn_options){0}));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_an_ignored_hangup_stays_ignored(void **state) {
    (void)state;
    signal(SIGHUP, SIG_IGN); /* as under nohup(1) */
    assert_int_equal(exit_status_after("kill -HUP $$; exit 3"), 3);
    signal(SIGHUP, SIG_DFL);
    assert_int_equal(exit_status_after("kill -HUP $$; exit 3"), 128 + SIGHUP);
    signal(SIGINT, SIG_IGN);
    assert_int_equal(exit_status_after("kill -INT $$; exit 3"), 128 + SIGINT);
    signal(SIGINT, SIG_DFL);
}

static void test_a_new_session_dies_with_its_parent_too(void **state) {
    (void)state;
    pid_t pid = shell("exec sleep 60", (struct spawn_options){.death_signal = SIGTERM, .new_session = true});
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(getsid(pid), pid);
    kill(pid, SIGKILL);
    wait_for(pid);
}

/* The parent's own descriptors are as before each call, also after an error. */
static void test_no_descriptor_is_left_in_the_parent(void **state) {
    (void)state;
    const char *argv[] = {"./none", NULL};
    struct spawn_options bad = {.argv = argv, .new_session = true, .log_path = "log"};
    struct capture said;
    pid_t pid;
    size_t before = descriptors_free();
    assert_int_equal(exit_status_after("exit 0"), 0);
    capture_begin(&said, 2);
    assert_int_equal(spawn(&bad, &pid), ERR_NOT_FOUND);
    bad.log_path = "none/log";
    assert_int_equal(spawn(&bad, &pid), ERR_NOT_FOUND);
    capture_end(&said);
    assert_int_equal(descriptors_free(), before);
}

static void test_death_signal_means_own_group(void **state) {
    (void)state;
    pid_t pid = shell("exec sleep 60", (struct spawn_options){.death_signal = SIGTERM});
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(getsid(pid), getsid(0));
    kill(pid, SIGKILL);
    wait_for(pid);
    pid = shell("exec sleep 60", (struct spawn_options){0});
    assert_int_equal(getpgid(pid), getpgid(0));
    kill(pid, SIGKILL);
    wait_for(pid);
}

/* Only the grandchild has the writing end of the pipe, so the pipe ends with it. */
static void test_child_dies_with_its_parent(void **state) {
    (void)state;
    int alive[2];
    assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        dup2(alive[1], 1);
        pid_t child = shell("echo ready; exec sleep 60", (struct spawn_options){.death_signal = SIGKILL});
        _exit(child > 0 ? 0 : 1);
    }
    close(alive[1]);
    assert_int_equal(wait_for(parent), 0);
    struct pollfd p = {.fd = alive[0], .events = POLLIN};
    char bytes[64];
    ssize_t n;
    do { /* perhaps "ready"; then the end */
        assert_int_equal(poll(&p, 1, 10000), 1);
        n = read(alive[0], bytes, sizeof bytes);
    } while (n > 0);
    assert_int_equal(n, 0);
    close(alive[0]);
}

static void test_new_session_has_null_and_a_log(void **state) {
    (void)state;
    char text[4096];
    unlink("log");
    struct spawn_options o = {.new_session = true, .log_path = "log"};
    const char *script = "for n in 0 1; do test /proc/self/fd/$n -ef /dev/null && echo null >&2; done; :";
    pid_t pid = shell(script, o);
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(wait_for(shell("echo again >&2", o)), 0);
    file_read_text("log", text, sizeof text);
    assert_int_equal(strncmp(text, "null\nnull\n", 10), 0);
    assert_non_null(strstr(text, "again\n")); /* appended */
    struct stat st;
    assert_int_equal(stat("log", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    pid = shell("exec sleep 60", o);
    assert_int_equal(getsid(pid), pid);
    kill(pid, SIGKILL);
    wait_for(pid);
}

static void test_log_that_cannot_be_opened(void **state) {
    (void)state;
    const char *argv[] = {"/bin/true", NULL};
    struct spawn_options o = {.argv = argv, .new_session = true, .log_path = "none/log"};
    struct capture said;
    pid_t pid;
    capture_begin(&said, 2);
    int err = spawn(&o, &pid);
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_string_equal(said.text, "chunklift: none/log: No such file or directory\n");
}

/* A program started with closed standard descriptors gets pipe ends numbered 0 to 2. */
static void test_works_with_standard_descriptors_closed(void **state) {
    (void)state;
    unlink("low");
    pid_t parent = fork();
    if (parent == 0) {
        close(0);
        close(1);
        close(2);
        pid_t pid = 0;
        const char *argv[] = {"/bin/sh", "-c", "echo here >&2", NULL};
        struct spawn_options o = {.argv = argv, .new_session = true, .log_path = "low"};
        _exit(spawn(&o, &pid) == 0 && wait_for(pid) == 0 ? 0 : 1);
    }
    assert_int_equal(wait_for(parent), 0);
    char text[100];
    file_read_text("low", text, sizeof text);
    assert_string_equal(text, "here\n");
}

static void test_an_error_is_reported_with_standard_descriptors_closed(void **state) {
    (void)state;
    pid_t parent = fork();
    if (parent == 0) {
        close(0);
        close(1);
        close(2);
        pid_t pid = 0;
        const char *argv[] = {"./none", NULL};
        struct spawn_options o = {.argv = argv, .new_session = true, .log_path = "low"};
        _exit(spawn(&o, &pid) == ERR_NOT_FOUND ? 0 : 1);
    }
    assert_int_equal(wait_for(parent), 0);
}

static void test_sibling_program(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    assert_int_equal(spawn_sibling_path(strrchr(self, '/') + 1, &path), 0);
    assert_string_equal(path.data, self);
    struct capture said;
    capture_begin(&said, 2);
    int err = spawn_sibling_path("no-such-sibling", &path);
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_non_null(strstr(said.text, "/no-such-sibling: not found"));
    buf_release(&path);
}

/* It waits for a handler of the program; other signals work. */
static void test_a_hangup_can_be_held(void **state) {
    (void)state;
    const struct spawn_options held = {.hold_hangup = true};
    signal(SIGHUP, SIG_DFL);
    int status = wait_for(shell("kill -HUP $$; exit 3", held));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    status = wait_for(shell("kill -HUP $$; kill -TERM $$; exit 3", held));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

UNIT_MAIN(cmocka_unit_test(test_a_hangup_can_be_held), cmocka_unit_test(test_runs_with_its_arguments),
          cmocka_unit_test(test_missing_program), cmocka_unit_test(test_no_descriptor_leaks_in),
          cmocka_unit_test(test_signals_are_as_new), cmocka_unit_test(test_death_signal_means_own_group),
          cmocka_unit_test(test_child_dies_with_its_parent), cmocka_unit_test(test_new_session_has_null_and_a_log),
          cmocka_unit_test(test_log_that_cannot_be_opened),
          cmocka_unit_test(test_works_with_standard_descriptors_closed), cmocka_unit_test(test_sibling_program),
          cmocka_unit_test(test_an_ignored_hangup_stays_ignored),
          cmocka_unit_test(test_a_new_session_dies_with_its_parent_too),
          cmocka_unit_test(test_an_error_is_reported_with_standard_descriptors_closed),
          cmocka_unit_test(test_no_descriptor_is_left_in_the_parent))
