/* DIR/consumer: the processes that may hold leases, for the next consumer. */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "consumer/holders.h"
#include "system/fileid.h"
#include "system/log.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIR "journal"
#define DEAD 4000001 /* no process has this pid */

static struct peers peers;
static struct holders h;
static pid_t living;
static uint64_t started;

static int setup(void **state) {
    (void)state;
    log_setup("test", (enum log_level) - 1, false);
    peers_init(&peers);
    dir_remove(DIR);
    assert_int_equal(mkdir(DIR, 0700), 0);
    living = fork(); /* this process can be process 1 of a namespace, which stands for an unknown one */
    if (living == 0)
        for (;;)
            pause();
    return living > 0 ? process_starttime(living, &started) : -1;
}

static int teardown(void **state) {
    (void)state;
    kill(living, SIGKILL);
    waitpid(living, NULL, 0);
    holders_release(&h);
    peers_release(&peers);
    dir_remove(DIR);
    return 0;
}

/* The file of the last consumer. boot NULL: of this boot. */
static void former(const char *boot, const struct consumer_holder *holders, size_t count) {
    struct consumer_file f = {
        .endpoint = "ipc:///x", .pid = DEAD, .holders = (struct consumer_holder *)holders, .holder_count = count};
    snprintf(f.boot, sizeof f.boot, "%s", boot ? boot : boot_id());
    assert_int_equal(consumer_file_write(DIR, &f), 0);
    holders_init(&h, DIR, false);
}

static void join(uint8_t number, enum role role, pid_t pid, bool visible) {
    struct msg_hello hello = {.role = role, .pid = (uint64_t)pid, .starttime = started};
    struct id128 id = {{number}};
    struct peer *peer;
    assert_int_equal(peers_add(&peers, &id, &hello, &peer), 0);
    peer->process_visible = visible;
}

/* Writes the file. Returns its number of holders. */
static size_t written(bool grace) {
    struct consumer_file f;
    assert_int_equal(holders_write(&h, "ipc:///y", &peers, grace), 0);
    assert_int_equal(consumer_file_read(DIR, &f), 0);
    size_t count = f.holder_count;
    assert_string_equal(f.endpoint, "ipc:///y");
    assert_int_equal(f.pid, getpid());
    consumer_file_release(&f);
    return count;
}

static bool names(pid_t pid) {
    struct consumer_file f;
    bool found = false;
    assert_int_equal(consumer_file_read(DIR, &f), 0);
    for (size_t i = 0; i < f.holder_count; i++)
        found = found || f.holders[i].pid == pid;
    consumer_file_release(&f);
    return found;
}

static void test_uploaders_of_this_host_are_written(void **state) {
    (void)state;
    holders_init(&h, DIR, true);
    assert_int_equal(written(false), 0);
    join(1, ROLE_PRODUCER, living, true);
    join(2, ROLE_READER, living, false);
    assert_int_equal(written(false), 0); /* they hold no lease */
    join(3, ROLE_UPLOADER, living, true);
    assert_int_equal(written(false), 1);
    assert_true(names(living));
    join(4, ROLE_UPLOADER, 5, false);
    join(5, ROLE_UPLOADER, 6, false);
    assert_int_equal(written(false), 2); /* one entry for all that cannot be checked */
    assert_true(names(1));
}

static void test_living_holders_of_before_stay_while_their_leases_may_live(void **state) {
    (void)state;
    const struct consumer_holder holders[] = {{.pid = living, .starttime = started}, {.pid = DEAD, .starttime = 5}};
    former(NULL, holders, 2);
    assert_int_equal(written(true), 1);
    assert_true(names(living));
    assert_int_equal(written(false), 0);
}

static void test_a_pid_that_was_used_again_is_no_holder(void **state) {
    (void)state;
    const struct consumer_holder holder = {.pid = living, .starttime = started + 1};
    former(NULL, &holder, 1);
    assert_true(holders_are_gone(&h));
    assert_int_equal(written(true), 0);
}

static void test_an_unknown_holder_of_before_stays_unknown(void **state) {
    (void)state;
    const struct consumer_holder holders[] = {{.pid = 1}, {.pid = living, .starttime = started}};
    former(NULL, holders, 2);
    assert_false(holders_are_gone(&h));
    assert_int_equal(written(true), 2);
    assert_true(names(1) && names(living));
    assert_int_equal(written(false), 0);
}

static void test_without_a_file_the_holders_are_unknown(void **state) {
    (void)state;
    holders_init(&h, DIR, false);
    assert_false(holders_are_gone(&h));
    assert_int_equal(written(true), 1);
    assert_true(names(1));
    assert_int_equal(written(false), 0);
}

/* Each peer is a holder, and process 1 stands for those of before: one more than there are peers. */
static void test_unknown_holders_are_beside_those_of_all_peers(void **state) {
    (void)state;
    holders_init(&h, DIR, false);
    join(1, ROLE_UPLOADER, living, true);
    assert_int_equal(written(true), 2);
    assert_true(names(1) && names(living));
}

static void test_the_holders_of_another_boot_are_unknown(void **state) {
    (void)state;
    const struct consumer_holder holder = {.pid = DEAD, .starttime = 5};
    former("0123456789abcdef0123456789abcdef", &holder, 1);
    assert_false(holders_are_gone(&h));
    assert_int_equal(written(true), 1);
    assert_true(names(1));
}

static void test_after_a_clean_end_there_are_no_holders(void **state) {
    (void)state;
    const struct consumer_holder holder = {.pid = living, .starttime = started};
    former(NULL, &holder, 1);
    assert_false(holders_are_gone(&h));
    holders_release(&h);
    holders_init(&h, DIR, true);
    assert_true(holders_are_gone(&h));
    assert_int_equal(written(true), 0);
}

static void test_an_endpoint_that_is_too_long_is_not_written(void **state) {
    (void)state;
    struct consumer_file f;
    char endpoint[sizeof f.endpoint + 1];
    memset(endpoint, 'e', sizeof endpoint);
    memcpy(endpoint, "ipc:///", 7);
    endpoint[sizeof f.endpoint] = '\0';
    holders_init(&h, DIR, true);
    assert_int_equal(holders_write(&h, endpoint, &peers, false), ERR_LIMIT);
    assert_false(file_exists(DIR "/consumer"));
    endpoint[sizeof f.endpoint - 1] = '\0';
    assert_int_equal(holders_write(&h, endpoint, &peers, false), 0);
    assert_int_equal(consumer_file_read(DIR, &f), 0);
    assert_string_equal(f.endpoint, endpoint);
    consumer_file_release(&f);
}

static void test_only_its_own_file_is_removed(void **state) {
    (void)state;
    former(NULL, NULL, 0);
    holders_remove(&h);
    assert_true(file_exists(DIR "/consumer"));
    assert_int_equal(written(false), 0);
    holders_remove(&h);
    assert_false(file_exists(DIR "/consumer"));
    former(NULL, NULL, 0);
    assert_int_equal(mkdir(DIR "/consumer.new", 0700), 0); /* so that nothing can be written */
    assert_int_not_equal(holders_write(&h, "ipc:///y", &peers, false), 0);
    holders_remove(&h);
    assert_true(file_exists(DIR "/consumer"));
    assert_int_equal(rmdir(DIR "/consumer.new"), 0);
}

static void test_a_file_that_cannot_be_removed_is_logged(void **state) {
    (void)state;
    static struct capture c;
    holders_init(&h, DIR, true);
    log_setup("test", LOG_DEBUG, false);
    assert_int_equal(written(false), 0);
    capture_begin(&c, STDERR_FILENO);
    holders_remove(&h);
    assert_string_equal(capture_end(&c), "");
    assert_int_equal(written(false), 0);
    assert_int_equal(remove(DIR "/consumer"), 0);
    capture_begin(&c, STDERR_FILENO);
    holders_remove(&h);
    assert_non_null(strstr(capture_end(&c), DIR "/consumer: cannot be removed"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_uploaders_of_this_host_are_written),
          TEST(test_living_holders_of_before_stay_while_their_leases_may_live),
          TEST(test_a_pid_that_was_used_again_is_no_holder), TEST(test_an_unknown_holder_of_before_stays_unknown),
          TEST(test_without_a_file_the_holders_are_unknown), TEST(test_unknown_holders_are_beside_those_of_all_peers),
          TEST(test_the_holders_of_another_boot_are_unknown), TEST(test_after_a_clean_end_there_are_no_holders),
          TEST(test_an_endpoint_that_is_too_long_is_not_written), TEST(test_only_its_own_file_is_removed),
          TEST(test_a_file_that_cannot_be_removed_is_logged))
