/* The start of a producer: its endpoints, the wait for a consumer, and its exit status. */
#include "capture.h"
#include "files.h"
#include "insecure.h"
#include "unit.h"

#include "producer/producer.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];
static const char *sources[] = {"src"};
static struct producer_config config;
static struct producer *producer;
static struct capture seen;

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    log_setup("test", LOG_ERROR, false);
    assert_int_equal(mkdir("src", 0700), 0);
    config = (struct producer_config){
        .sources = sources, .source_count = 1, .dest = "out", .recursive = true, .journal_dir = "."};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    producer_destroy(&producer);
    endpoint_shutdown_all();
    return temp_dir_leave(root);
}

static int start(void) {
    const struct producer_events events = {.arg = NULL};
    capture_begin(&seen, STDERR_FILENO);
    int err = producer_new(&producer, &config, &events);
    capture_end(&seen);
    return err;
}

/* The error of a turn at this time; its messages are in seen. */
static int step(uint64_t now_ms, uint64_t *deadline_ms) {
    *deadline_ms = UINT64_MAX;
    capture_begin(&seen, STDERR_FILENO);
    int err = producer_step(producer, now_ms, deadline_ms);
    capture_end(&seen);
    return err;
}

/* ---- the consumer ---- */

static void test_consumer_or_journal_is_needed(void **state) {
    (void)state;
    config.journal_dir = NULL;
    assert_int_equal(start(), ERR_USAGE);
    assert_non_null(strstr(seen.text, "--consumer or --journal is needed"));
    assert_null(producer);
}

static void test_start_waits_for_a_consumer(void **state) {
    uint64_t deadline_ms;
    (void)state;
    file_put_text("src/a", "a");
    config.consumer_wait_ms = 1000;
    assert_int_equal(start(), 0);
    assert_int_equal(step(50000, &deadline_ms), 0);
    assert_int_equal(step(50999, &deadline_ms), 0);
    assert_in_range(deadline_ms, 0, 51000);
    assert_int_equal(step(51000, &deadline_ms), ERR_UNREACHABLE);
    assert_non_null(strstr(seen.text, "test: .: no consumer answers; start one with 'chunklift consumer'"));
}

static void test_consumer_that_does_not_answer_is_named(void **state) {
    uint64_t deadline_ms;
    (void)state;
    config.consumer = "ipc:///nowhere";
    config.consumer_wait_ms = 1000;
    assert_int_equal(start(), 0);
    assert_int_equal(step(50000, &deadline_ms), 0);
    assert_int_equal(step(51000, &deadline_ms), ERR_UNREACHABLE);
    assert_non_null(strstr(seen.text, "ipc:///nowhere: "));
}

static void test_start_waits_for_its_own_consumer_without_limit(void **state) {
    uint64_t deadline_ms;
    (void)state;
    file_put_text("src/a", "a");
    assert_int_equal(start(), 0);
    assert_int_equal(step(50000, &deadline_ms), 0);
    assert_int_equal(step(500000, &deadline_ms), 0);
    assert_false(producer_is_finished(producer));
}

/* ---- endpoints ---- */

static void make_socket(const char *path, bool listens, int *fd) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    *fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&name, sizeof name), 0);
    if (listens)
        assert_int_equal(listen(*fd, 1), 0);
}

static char address[100];

/* The ipc address of a file in a directory with a short path. */
static const char *make_address(char dir[32]) {
    snprintf(dir, 32, "/tmp/start-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(address, sizeof address, "ipc://%s/jobs", dir);
    return address + strlen("ipc://");
}

static void test_socket_of_a_killed_producer_is_replaced(void **state) {
    char dir[32];
    int fd;
    (void)state;
    const char *path = make_address(dir);
    make_socket(path, false, &fd);
    close(fd);
    config.jobs_endpoint = address;
    assert_int_equal(start(), 0);
    assert_string_equal(producer_jobs_endpoint(producer), address);
    producer_destroy(&producer);
    unlink(path);
    rmdir(dir);
}

static void test_socket_of_a_running_producer_is_kept(void **state) {
    char dir[32];
    int fd;
    (void)state;
    const char *path = make_address(dir);
    make_socket(path, true, &fd);
    config.jobs_endpoint = address;
    assert_int_equal(start(), ERR_BUSY);
    assert_true(file_exists(path));
    close(fd);
    config.jobs_endpoint = NULL;
    config.data_endpoint = address;
    assert_int_equal(start(), 0); /* the listener is gone */
    producer_destroy(&producer);
    unlink(path);
    rmdir(dir);
}

static void test_other_files_are_kept(void **state) {
    char dir[32];
    (void)state;
    const char *path = make_address(dir);
    file_put_text(path, "text");
    config.jobs_endpoint = address;
    assert_int_equal(start(), ERR_BUSY);
    config.jobs_endpoint = NULL;
    config.data_endpoint = address;
    assert_int_equal(start(), ERR_BUSY);
    assert_null(strstr(seen.text, "name another one with --data")); /* it was named */
    assert_true(file_exists(path));
    unlink(path);
    rmdir(dir);
}

static void test_file_data_needs_a_port(void **state) {
    static const char *const last[] = {"tcp://127.0.0.1:65534", "tcp://127.0.0.1:65535"};
    int err = ERR_BUSY;
    (void)state;
    for (int i = 0; i < 2 && err == ERR_BUSY; i++) {
        config.jobs_endpoint = last[i];
        err = start();
    }
    assert_int_equal(err, ERR_USAGE);
    assert_non_null(strstr(seen.text, "no port is left for file data; name one with --data"));
    endpoint_shutdown_all(); /* the port is free afterwards */
    config.data_endpoint = "tcp://127.0.0.1:*";
    assert_int_equal(start(), 0);
}

static void test_start_without_errors_logs_nothing(void **state) {
    uint64_t deadline_ms;
    (void)state;
    config.jobs_endpoint = config.data_endpoint = "tcp://127.0.0.1:*";
    assert_int_equal(start(), 0);
    assert_string_equal(seen.text, "");
    assert_int_equal(step(50000, &deadline_ms), 0);
    assert_string_equal(seen.text, "");
}

/* Linux takes a path without a terminating zero, ZeroMQ does not. */
static void test_socket_with_the_longest_path_is_kept(void **state) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char dir[32], path[sizeof name.sun_path + 1], longest[sizeof path + 8];
    (void)state;
    make_address(dir);
    memset(path, 'n', sizeof path);
    memcpy(path, dir, strlen(dir));
    path[strlen(dir)] = '/';
    path[sizeof path - 1] = '\0';
    memcpy(name.sun_path, path, sizeof name.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    close(fd);
    snprintf(longest, sizeof longest, "ipc://%s", path);
    config.jobs_endpoint = longest;
    assert_int_not_equal(start(), 0);
    assert_true(file_exists(path));
    unlink(path);
    rmdir(dir);
}

static void test_socket_with_the_name_of_a_port_is_kept(void **state) {
    int fd;
    (void)state;
    make_socket("127.0.0.1:*", false, &fd);
    close(fd);
    config.jobs_endpoint = config.data_endpoint = "tcp://127.0.0.1:*";
    assert_int_equal(start(), 0);
    assert_true(file_exists("127.0.0.1:*"));
}

/* The port of the jobs may be in use too; another one is tried then. */
static void test_default_port_of_file_data_that_is_in_use(void **state) {
    bool named = false;
    (void)state;
    for (int i = 0; i < 50 && !named; i++) {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof name;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
        snprintf(address, sizeof address, "tcp://127.0.0.1:%d", ntohs(name.sin_port) - 2);
        config.jobs_endpoint = address;
        assert_int_equal(start(), ERR_BUSY);
        named = strstr(seen.text, "the default endpoint for file data is in use; name another one with --data");
        close(fd);
    }
    assert_true(named);
}

/* ---- the end ---- */

static int status_of_run(void) {
    uint64_t deadline_ms;
    assert_int_equal(start(), 0);
    for (int i = 0; i < 10 && !producer_is_finished(producer); i++)
        assert_int_equal(step(1000, &deadline_ms), 0);
    assert_true(producer_is_finished(producer));
    return producer_exit_status(producer);
}

static void test_status_of_a_run_without_files(void **state) {
    (void)state;
    assert_int_equal(status_of_run(), EXIT_DONE);
}

static void test_status_of_a_run_with_an_unusable_source(void **state) {
    (void)state;
    sources[0] = "missing";
    int status = status_of_run();
    sources[0] = "src";
    assert_int_equal(status, EXIT_SOME_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_consumer_or_journal_is_needed), TEST(test_start_waits_for_a_consumer),
          TEST(test_consumer_that_does_not_answer_is_named), TEST(test_start_waits_for_its_own_consumer_without_limit),
          TEST(test_socket_of_a_killed_producer_is_replaced), TEST(test_socket_of_a_running_producer_is_kept),
          TEST(test_start_without_errors_logs_nothing), TEST(test_socket_with_the_longest_path_is_kept),
          TEST(test_socket_with_the_name_of_a_port_is_kept), TEST(test_default_port_of_file_data_that_is_in_use),
          TEST(test_other_files_are_kept), TEST(test_file_data_needs_a_port), TEST(test_status_of_a_run_without_files),
          TEST(test_status_of_a_run_with_an_unusable_source))
