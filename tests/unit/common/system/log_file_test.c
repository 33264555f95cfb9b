/* --log-file: where the lines go, also after the file was moved. */
#include "unit.h"

#include "capture.h"
#include "files.h"
#include "system/log.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int terminal = -1; /* stderr of the test program */
static char text[4096];

static int setup(void **state) {
    (void)state;
    terminal = dup(STDERR_FILENO);
    log_setup("test", LOG_INFO, false);
    return terminal == -1 || system("rm -rf log log.1 pipe dir");
}

static int teardown(void **state) {
    (void)state;
    int fd = dup2(terminal, STDERR_FILENO);
    close(terminal);
    return fd == -1;
}

static const char *content(const char *path) {
    return file_read_text(path, text, sizeof text);
}

/* Opens "log" and writes this line. */
static void open_and_write(const char *line) {
    assert_int_equal(log_set_file("log"), 0);
    log_info("%s", line);
}

static void test_lines_are_appended_with_their_time(void **state) {
    (void)state;
    file_put_text("log", "before\n");
    open_and_write("hello");
    const char *seen = content("log");
    assert_int_equal(strncmp(seen, "before\n2", 8), 0);
    assert_non_null(strstr(seen, "Z test: hello\n"));
    assert_true(log_has_file());
}

static void test_a_new_file_is_not_for_others(void **state) {
    (void)state;
    struct stat st;
    mode_t mask = umask(0);
    open_and_write("hello");
    umask(mask);
    assert_int_equal(stat("log", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void test_without_a_path_nothing_changes(void **state) {
    (void)state;
    struct capture seen;
    assert_int_equal(log_set_file(NULL), 0);
    capture_begin(&seen, STDERR_FILENO);
    log_info("here");
    assert_non_null(strstr(capture_end(&seen), "test: here\n"));
}

/* The message goes to stderr, which stays what it was. */
static void assert_refused(const char *path, const char *reason) {
    struct capture seen;
    capture_begin(&seen, STDERR_FILENO);
    int err = log_set_file(path);
    log_info("still here");
    const char *said = capture_end(&seen);
    assert_int_equal(err, ERR_USAGE);
    assert_non_null(strstr(said, reason));
    assert_non_null(strstr(said, "still here\n"));
}

static void test_a_file_that_cannot_be_opened_is_refused(void **state) {
    (void)state;
    assert_refused("dir/log", "--log-file dir/log: cannot be opened for writing: No such file");
    assert_int_equal(mkdir("dir", 0700), 0);
    assert_refused("dir", "Is a directory");
}

/* Its reader could stop the program. */
static void test_a_pipe_is_refused(void **state) {
    (void)state;
    assert_int_equal(mkfifo("pipe", 0600), 0);
    int reader = open("pipe", O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_refused("pipe", "Illegal seek");
    close(reader);
}

static void test_a_moved_file_is_opened_again(void **state) {
    (void)state;
    open_and_write("first");
    assert_int_equal(rename("log", "log.1"), 0);
    log_info("second");
    log_reopen_file();
    log_info("third");
    assert_non_null(strstr(content("log.1"), "second"));
    assert_null(strstr(content("log.1"), "third"));
    assert_non_null(strstr(content("log"), "third"));
}

static void test_a_file_that_cannot_be_opened_again_stays_in_use(void **state) {
    (void)state;
    open_and_write("first");
    assert_int_equal(rename("log", "log.1"), 0);
    assert_int_equal(mkdir("log", 0700), 0);
    log_reopen_file();
    log_info("second");
    assert_non_null(strstr(content("log.1"), "cannot be opened again: Is a directory"));
    assert_non_null(strstr(content("log.1"), "second"));
}

/* logrotate(8) moves the file and makes a new one. */
static void test_a_new_file_of_the_same_path_is_followed(void **state) {
    (void)state;
    open_and_write("first");
    log_follow_file();
    assert_int_equal(rename("log", "log.1"), 0);
    log_follow_file(); /* there is no other one yet */
    log_info("second");
    assert_int_not_equal(access("log", F_OK), 0);
    file_put_text("log", "");
    log_follow_file();
    log_info("third");
    assert_non_null(strstr(content("log.1"), "second"));
    assert_null(strstr(content("log.1"), "third"));
    assert_non_null(strstr(content("log"), "third"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_without_a_path_nothing_changes), TEST(test_a_file_that_cannot_be_opened_is_refused),
          TEST(test_a_pipe_is_refused), TEST(test_lines_are_appended_with_their_time),
          TEST(test_a_new_file_is_not_for_others), TEST(test_a_moved_file_is_opened_again),
          TEST(test_a_file_that_cannot_be_opened_again_stays_in_use),
          TEST(test_a_new_file_of_the_same_path_is_followed))
