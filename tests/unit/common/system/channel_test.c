#include "unit.h"

#include "system/channel.h"
#include "system/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child's end as standard input of this process. */
struct ends {
    int own, saved_input;
};

static struct ends ends_open(void) {
    struct ends e;
    int childs;
    e.saved_input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_int_equal(channel_open(&e.own, &childs), 0);
    assert_int_equal(dup2(childs, STDIN_FILENO), STDIN_FILENO);
    close(childs);
    return e;
}

static void ends_restore_input(const struct ends *e) {
    if (e->saved_input == -1)
        close(STDIN_FILENO);
    else
        dup2(e->saved_input, STDIN_FILENO);
    close(e->saved_input);
}

static void test_the_childs_report_is_read_once(void **state) {
    (void)state;
    struct ends e = ends_open();
    assert_int_equal(channel_read(e.own), CHANNEL_SILENT);
    channel_report_ready();
    assert_int_equal(channel_read(e.own), CHANNEL_READY);
    assert_int_equal(channel_read(e.own), CHANNEL_SILENT);
    ends_restore_input(&e);
    assert_int_equal(channel_read(e.own), CHANNEL_ENDED);
    channel_close(&e.own);
}

static void test_the_child_sees_the_end_of_the_command(void **state) {
    (void)state;
    struct ends e = ends_open();
    assert_false(channel_has_ended());
    channel_close(&e.own);
    assert_int_equal(e.own, -1);
    assert_true(channel_has_ended());
    channel_report_ready(); /* no SIGPIPE */
    channel_close(&e.own);  /* no effect */
    ends_restore_input(&e);
}

static void test_other_input_is_a_channel_that_ended(void **state) {
    (void)state;
    int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(null != -1);
    assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
    channel_report_ready();
    assert_true(channel_has_ended());
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(null);
}

/* Only the child's standard input holds the other end, so that its death is seen. */
static void test_a_program_gets_it_as_standard_input(void **state) {
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "printf r >&0; read line; exit 3", NULL};
    int own, childs, status = 0;
    pid_t pid = 0;
    assert_int_equal(channel_open(&own, &childs), 0);
    assert_int_equal(spawn(&(struct spawn_options){.argv = argv, .input_fd = childs}, &pid), 0);
    close(childs);
    struct pollfd fd = {.fd = own, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_int_equal(channel_read(own), CHANNEL_READY);
    assert_int_equal(shutdown(own, SHUT_WR), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_int_equal(channel_read(own), CHANNEL_ENDED);
    channel_close(&own);
}

UNIT_MAIN(cmocka_unit_test(test_the_childs_report_is_read_once),
          cmocka_unit_test(test_the_child_sees_the_end_of_the_command),
          cmocka_unit_test(test_other_input_is_a_channel_that_ended),
          cmocka_unit_test(test_a_program_gets_it_as_standard_input))
