/* An open file that goes to another process through a Unix socket. Here both ends are in one process. */
#include "files.h"
#include "unit.h"

#include "system/lent_file.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE], endpoint[TEMP_DIR_SIZE + 16];
static int listener, borrower, lender;

static const struct lent_request question = {{{1, 2}}, {{3, 4}}};

static int set_up(void **state) {
    (void)state;
    temp_dir_enter(root);
    file_put_text("file", "content");
    snprintf(endpoint, sizeof endpoint, "ipc://%s/data", root);
    assert_int_equal(lent_file_listen(endpoint, &listener), 0);
    assert_int_equal(lent_file_connect(endpoint, &borrower), 0);
    lender = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_int_not_equal(lender, -1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close(listener);
    close(borrower);
    close(lender);
    lent_file_unlink(endpoint);
    return temp_dir_leave(root);
}

static void test_the_borrower_has_the_same_file(void **state) {
    struct lent_request asked = {{{0}}, {{0}}};
    struct stat here, there;
    char text[8] = "";
    int file, lent = open("file", O_RDONLY | O_CLOEXEC);
    (void)state;
    assert_int_equal(lent_file_ask(borrower, &question), 0);
    assert_int_equal(lent_file_next(lender, &asked), 0);
    assert_memory_equal(&asked, &question, sizeof asked);
    assert_int_equal(lent_file_answer(lender, lent), 0);
    assert_int_equal(fstat(lent, &here), 0);
    close(lent);
    assert_int_equal(lent_file_take(borrower, &file), 0);
    assert_int_equal(fstat(file, &there), 0);
    assert_true(here.st_ino == there.st_ino && here.st_dev == there.st_dev);
    assert_int_equal(fcntl(file, F_GETFD), FD_CLOEXEC);
    assert_int_equal(pread(file, text, 7, 0), 7);
    assert_string_equal(text, "content");
    close(file);
}

static void test_a_refusal_has_no_file(void **state) {
    int file = 7;
    (void)state;
    assert_int_equal(lent_file_answer(lender, -1), 0);
    assert_int_equal(lent_file_take(borrower, &file), 0);
    assert_int_equal(file, -1);
}

static void test_answers_come_in_order(void **state) {
    int first, second, lent = open("file", O_RDONLY | O_CLOEXEC);
    (void)state;
    assert_int_equal(lent_file_answer(lender, lent), 0);
    assert_int_equal(lent_file_answer(lender, -1), 0);
    assert_int_equal(lent_file_take(borrower, &first), 0);
    assert_int_equal(lent_file_take(borrower, &second), 0);
    assert_true(first >= 0 && second == -1);
    close(first);
    close(lent);
}

static void test_nothing_is_there_yet(void **state) {
    struct lent_request asked;
    int file = 7;
    (void)state;
    assert_int_equal(lent_file_next(lender, &asked), ERR_AGAIN);
    assert_int_equal(lent_file_take(borrower, &file), ERR_AGAIN);
    assert_int_equal(file, -1);
}

static void test_the_other_end_is_gone(void **state) {
    struct lent_request asked;
    int file, lent = open("file", O_RDONLY | O_CLOEXEC);
    (void)state;
    close(borrower);
    assert_int_equal(lent_file_next(lender, &asked), ERR_UNREACHABLE);
    assert_int_equal(lent_file_answer(lender, lent), ERR_UNREACHABLE);
    assert_int_equal(lent_file_connect(endpoint, &borrower), 0);
    close(lender);
    lender = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    close(lender);
    lender = -1;
    assert_int_equal(lent_file_take(borrower, &file), ERR_UNREACHABLE);
    assert_int_equal(lent_file_ask(borrower, &question), ERR_UNREACHABLE);
    close(lent);
}

/* Room for one descriptor has padding for a second one. */
static void test_a_second_descriptor_is_not_taken(void **state) {
    (void)state;
    int files[2] = {open("file", O_RDONLY | O_CLOEXEC), open("file", O_RDONLY | O_CLOEXEC)}, file;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof files)];
    } control = {.bytes = {0}};
    char answer = 1;
    struct iovec byte = {&answer, 1};
    struct msghdr m = {
        .msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof files)};
    control.header =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof files)};
    memcpy(CMSG_DATA(&control.header), files, sizeof files);
    assert_int_equal(sendmsg(lender, &m, 0), 1);
    int before = open_descriptors();
    assert_int_equal(lent_file_take(borrower, &file), 0);
    assert_int_equal(open_descriptors(), before + 1);
    close(file);
    close(files[0]);
    close(files[1]);
}

static void test_requests_of_another_size_break_the_protocol(void **state) {
    static const char bytes[sizeof question + 1] = "";
    struct lent_request asked;
    (void)state;
    for (size_t len = sizeof question - 1; len <= sizeof question + 1; len++) {
        assert_int_equal(send(borrower, bytes, len, 0), len);
        assert_int_equal(lent_file_next(lender, &asked), len == sizeof question ? 0 : ERR_UNREACHABLE);
    }
}

static void test_a_full_socket_takes_no_more(void **state) {
    int err = 0;
    (void)state;
    for (unsigned i = 0; !err && i < 100000; i++)
        err = lent_file_ask(borrower, &question);
    assert_int_equal(err, ERR_AGAIN);
}

static void test_only_ipc_endpoints_with_a_path_lend(void **state) {
    static const char *const others[] = {"tcp://127.0.0.1:1", "ipc://@name", "ipc://*", "ipc://name"};
    char longest[200];
    struct sockaddr_un address;
    int fd;
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(lent_file_listen(others[i], &fd), ERR_NOT_FOUND);
        assert_int_equal(fd, -1);
        assert_int_equal(lent_file_connect(others[i], &fd), ERR_NOT_FOUND);
        lent_file_unlink(others[i]);
    }
    int room = (int)(sizeof address.sun_path - strlen("/.files")); /* with a NUL */
    snprintf(longest, sizeof longest, "ipc:///%.*s", room,
             "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
             "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
    assert_int_equal(lent_file_connect(longest, &fd), ERR_LIMIT);
    longest[strlen(longest) - 1] = '\0';
    assert_int_equal(lent_file_connect(longest, &fd), ERR_UNREACHABLE);
}

static void test_a_live_socket_stays_and_a_dead_one_is_replaced(void **state) {
    int fd;
    (void)state;
    assert_int_equal(lent_file_listen(endpoint, &fd), ERR_BUSY);
    assert_int_equal(fd, -1);
    close(listener);
    assert_int_equal(lent_file_connect(endpoint, &fd), ERR_UNREACHABLE);
    assert_int_equal(lent_file_listen(endpoint, &listener), 0);
    lent_file_unlink(endpoint);
    file_put_text("data.files", "of another program");
    assert_int_equal(lent_file_listen(endpoint, &fd), ERR_BUSY);
    assert_true(file_exists("data.files"));
}

#define SOCKET_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(SOCKET_TEST(test_the_borrower_has_the_same_file), SOCKET_TEST(test_a_refusal_has_no_file),
          SOCKET_TEST(test_answers_come_in_order), SOCKET_TEST(test_nothing_is_there_yet),
          SOCKET_TEST(test_the_other_end_is_gone), SOCKET_TEST(test_a_second_descriptor_is_not_taken),
          SOCKET_TEST(test_requests_of_another_size_break_the_protocol), SOCKET_TEST(test_a_full_socket_takes_no_more),
          SOCKET_TEST(test_only_ipc_endpoints_with_a_path_lend),
          SOCKET_TEST(test_a_live_socket_stays_and_a_dead_one_is_replaced))
