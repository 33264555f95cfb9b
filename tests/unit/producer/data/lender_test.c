/* The lender: connections, requests and their bounds. The test plays the uploaders. */
#include "files.h"
#include "unit.h"

#include "producer/data/lender.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define BORROWED_ID 5 /* requests for an upload with this first byte are granted */

static char root[TEMP_DIR_SIZE], endpoint[TEMP_DIR_SIZE + 16];
static struct lender *lender;
static unsigned requests;
static uint64_t now_ms = 1000;

static int open_for(void *arg, const struct lent_request *request) {
    requests++;
    return request->upload.b[0] == BORROWED_ID ? *(int *)arg : -1;
}

static int set_up(void **state) {
    static int file;
    (void)state;
    temp_dir_enter(root);
    file_put_text("file", "content");
    file = open("file", O_RDONLY | O_CLOEXEC);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/data", root);
    requests = 0;
    assert_int_equal(lender_new(&lender, endpoint, open_for, &file), 0);
    *state = &file;
    return 0;
}

static int tear_down(void **state) {
    lender_destroy(&lender);
    close(*(int *)*state);
    return temp_dir_leave(root);
}

static bool lender_has_work(void) {
    struct pollfd p = {.fd = lender_fd(lender), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static int connect_one(void) {
    int fd;
    assert_int_equal(lent_file_connect(endpoint, &fd), 0);
    lender_step(lender, now_ms);
    return fd;
}

static void ask(int fd, uint8_t first_byte) {
    struct lent_request request = {{{1}}, {{first_byte}}};
    assert_int_equal(lent_file_ask(fd, &request), 0);
}

static void test_a_file_is_lent_or_refused(void **state) {
    (void)state;
    int fd = connect_one(), file;
    assert_false(lender_has_work());
    ask(fd, BORROWED_ID);
    ask(fd, BORROWED_ID + 1);
    assert_true(lender_has_work());
    lender_step(lender, now_ms);
    assert_int_equal(lent_file_take(fd, &file), 0);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(lent_file_take(fd, &file), 0);
    assert_int_equal(file, -1);
    assert_false(lender_has_work());
    close(fd);
}

static void test_a_step_has_a_bound(void **state) {
    (void)state;
    int fd = connect_one(), other = connect_one();
    for (unsigned i = 0; i < LENDER_REQUESTS_A_STEP; i++) {
        ask(fd, 0);
        ask(other, 0);
    }
    lender_step(lender, now_ms);
    assert_int_equal(requests, LENDER_REQUESTS_A_STEP);
    assert_true(lender_has_work());
    lender_step(lender, now_ms);
    assert_int_equal(requests, 2 * LENDER_REQUESTS_A_STEP);
    assert_false(lender_has_work());
    close(fd);
    close(other);
}

static void test_connections_have_a_bound_and_their_places_are_used_again(void **state) {
    int clients[LENDER_CLIENTS_MAX], file;
    (void)state;
    for (unsigned i = 0; i < LENDER_CLIENTS_MAX; i++)
        clients[i] = connect_one();
    int more = connect_one();
    assert_int_equal(lent_file_take(more, &file), ERR_UNREACHABLE); /* it was closed */
    close(more);
    close(clients[3]);
    lender_step(lender, now_ms);
    more = connect_one();
    ask(more, BORROWED_ID);
    lender_step(lender, now_ms);
    assert_int_equal(lent_file_take(more, &file), 0);
    close(file);
    clients[3] = more;
    for (unsigned i = 0; i < LENDER_CLIENTS_MAX; i++)
        close(clients[i]);
    lender_step(lender, now_ms);
}

/* Its answers are not kept for it. */
static void test_a_client_that_does_not_read_is_dropped(void **state) {
    (void)state;
    int fd = connect_one(), before = open_descriptors();
    for (unsigned i = 0; open_descriptors() == before && i < 10000; i++) {
        struct lent_request request = {{{1}}, {{0}}};
        (void)!lent_file_ask(fd, &request);
        lender_step(lender, now_ms);
    }
    assert_int_equal(open_descriptors(), before - 1);
    close(fd);
}

static void test_a_broken_request_ends_the_connection(void **state) {
    int file;
    (void)state;
    int fd = connect_one();
    assert_int_equal(write(fd, "short", 5), 5);
    lender_step(lender, now_ms);
    assert_int_equal(lent_file_take(fd, &file), ERR_UNREACHABLE);
    close(fd);
}

static void test_an_idle_connection_is_closed(void **state) {
    (void)state;
    int idle = connect_one(), used = connect_one(), file;
    now_ms += LENDER_IDLE_MS - 1;
    ask(used, BORROWED_ID + 1);
    lender_step(lender, now_ms);
    assert_int_equal(lent_file_take(used, &file), 0);
    assert_int_equal(lent_file_take(idle, &file), ERR_AGAIN);
    now_ms++;
    lender_step(lender, now_ms);
    assert_int_equal(lent_file_take(idle, &file), ERR_UNREACHABLE);
    assert_int_equal(lent_file_take(used, &file), ERR_AGAIN);
    close(idle);
    close(used);
}

/* Otherwise the connection, which stays in the queue, would keep the loop awake. */
static void test_without_descriptors_it_waits_a_second(void **state) {
    (void)state;
    struct rlimit before, none;
    int fd, file;
    assert_int_equal(lent_file_connect(endpoint, &fd), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    lender_step(lender, now_ms);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(lender_has_work());
    lender_step(lender, now_ms + 999);
    assert_false(lender_has_work());
    lender_step(lender, now_ms + 1000);
    assert_true(lender_has_work());
    lender_step(lender, now_ms + 1000);
    ask(fd, BORROWED_ID);
    lender_step(lender, now_ms + 1000);
    assert_int_equal(lent_file_take(fd, &file), 0);
    close(file);
    close(fd);
}

static void test_few_descriptors_are_few_connections(void **state) {
    (void)state;
    struct rlimit before, few;
    int clients[3], file;
    lender_destroy(&lender);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){(rlim_t)open_descriptors() + 16, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(lender_new(&lender, endpoint, open_for, *state), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < 3; i++)
        clients[i] = connect_one();
    assert_int_equal(lent_file_take(clients[1], &file), ERR_AGAIN); /* two of sixteen */
    assert_int_equal(lent_file_take(clients[2], &file), ERR_UNREACHABLE);
    for (unsigned i = 0; i < 3; i++)
        close(clients[i]);
}

static void test_nothing_stays(void **state) {
    (void)state;
    int before = open_descriptors();
    struct lender *l;
    assert_int_equal(lender_new(&l, "tcp://127.0.0.1:1", open_for, NULL), ERR_NOT_FOUND);
    assert_null(l);
    assert_int_equal(lender_new(&l, endpoint, open_for, NULL), ERR_BUSY);
    assert_null(l);
    assert_int_equal(open_descriptors(), before);
    assert_true(file_exists("data.files"));
    int fd = connect_one();
    lender_destroy(&lender);
    assert_false(file_exists("data.files"));
    lender_destroy(&lender);
    close(fd);
}

#define LENDER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(LENDER_TEST(test_a_file_is_lent_or_refused), LENDER_TEST(test_a_step_has_a_bound),
          LENDER_TEST(test_connections_have_a_bound_and_their_places_are_used_again),
          LENDER_TEST(test_a_client_that_does_not_read_is_dropped),
          LENDER_TEST(test_a_broken_request_ends_the_connection), LENDER_TEST(test_an_idle_connection_is_closed),
          LENDER_TEST(test_without_descriptors_it_waits_a_second),
          LENDER_TEST(test_few_descriptors_are_few_connections), LENDER_TEST(test_nothing_stays))
