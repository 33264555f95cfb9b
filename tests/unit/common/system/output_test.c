/* stdout that cannot be written. Each case runs in a child process, because its first error is remembered. */
#include "unit.h"

#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static char logged[4096];

/* Runs body with this stdout; returns its exit status. `logged` gets its stderr. */
static int run(int (*body)(void), int out) {
    int err = open("logged", O_RDWR | O_CREAT | O_TRUNC, 0600), status;
    assert_true(err >= 0 && out >= 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        log_setup("test", LOG_ERROR, false);
        output_setup();
        _exit(body());
    }
    close(out);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ssize_t n = pread(err, logged, sizeof logged - 1, 0);
    logged[n > 0 ? n : 0] = '\0';
    close(err);
    unlink("logged");
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int full(void) {
    return open("/dev/full", O_WRONLY);
}

static int closed_pipe(void) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    return fds[1];
}

static unsigned logged_lines(void) {
    unsigned lines = 0;
    for (const char *at = logged; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

static int print_twice(void) {
    puts("text");
    int first = output_flush();
    puts("text");
    int second = output_flush();
    return first == second && second == output_check() ? output_status(0) : 99;
}

static int print_events(void) {
    puts("{}");
    output_event();
    puts("{}");
    output_event();
    return output_end(EXIT_DONE);
}

static int print_events_and_fail(void) {
    puts("{}");
    output_event();
    return output_end(EXIT_USAGE);
}

/* They would be the next opened files otherwise, and error texts would be written into those. */
static int open_with_closed_descriptors(void) {
    char byte;
    int fd = open("/dev/null", O_RDWR);
    if (fd <= STDERR_FILENO)
        return 1;
    if (read(STDIN_FILENO, &byte, 1) != -1 || errno != EBADF)
        return 2;
    for (int out = STDOUT_FILENO; out <= STDERR_FILENO; out++)
        if (write(out, "x", 1) != -1 || errno != EBADF)
            return 3;
    return 0;
}

static void test_closed_standard_descriptors_are_not_used_for_files(void **state) {
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
        output_setup();
        _exit(open_with_closed_descriptors());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_what_can_be_written(void **state) {
    (void)state;
    assert_int_equal(run(print_twice, open("/dev/null", O_WRONLY)), EXIT_DONE);
    assert_int_equal(run(print_events, open("/dev/null", O_WRONLY)), EXIT_DONE);
    assert_int_equal(run(print_events_and_fail, open("/dev/null", O_WRONLY)), EXIT_USAGE);
    assert_string_equal(logged, "");
}

static void test_an_error_is_logged_once(void **state) {
    (void)state;
    assert_int_equal(run(print_twice, full()), EXIT_UNUSABLE);
    assert_int_equal(logged_lines(), 1);
    assert_non_null(strstr(logged, strerror(ENOSPC)));
    assert_int_equal(run(print_events, full()), EXIT_UNUSABLE);
    assert_int_equal(logged_lines(), 1);
    assert_int_equal(run(print_events_and_fail, full()), EXIT_USAGE);
}

/* The reader of a command's output left. Lost events are an error. */
static void test_a_closed_pipe(void **state) {
    (void)state;
    assert_int_equal(run(print_twice, closed_pipe()), EXIT_DONE);
    assert_string_equal(logged, "");
    assert_int_equal(run(print_events, closed_pipe()), EXIT_UNUSABLE);
    assert_int_equal(logged_lines(), 1);
}

UNIT_MAIN(cmocka_unit_test(test_what_can_be_written), cmocka_unit_test(test_an_error_is_logged_once),
          cmocka_unit_test(test_a_closed_pipe),
          cmocka_unit_test(test_closed_standard_descriptors_are_not_used_for_files))
