/* The steps of the server of FETCH: how much each one does, when it asks for the next one, and how it reads. */
#include "data_server_fixture.h"
#include "system/clock.h"
#include <errno.h>
#include <unistd.h>

static const struct id128 large_upload = {{5}};
static size_t read_max;         /* bytes of one pread; 0: as many as wanted */
static unsigned reads_to_retry; /* so many calls are interrupted first */

ssize_t __real_pread(int fd, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset) {
    if (reads_to_retry > 0) {
        reads_to_retry--;
        errno = EINTR;
        return -1;
    }
    return __real_pread(fd, bytes, read_max && count > read_max ? read_max : count, offset);
}

static int set_up(void **state) {
    read_max = 0;
    reads_to_retry = 0;
    return served_set_up(state);
}

static int tear_down(void **state) {
    unlink("large");
    return served_tear_down(state);
}

/* Steps until so many transfers are known. */
static void step_until_transfers(size_t count) {
    uint64_t end = clock_ms() + PATIENCE_MS;
    while (data_server_transfers(served.data) < count) {
        assert_true(clock_ms() < end);
        served_step();
    }
}

/* A file that is read ahead in several steps. */
static void ask_for_a_large_checksum(void) {
    const uint64_t size = (uint64_t)10 * DATA_STEP_BYTES;
    file_put_hole("large", size);
    served_add_file("large", &large_upload);
    served_ask(1, (struct msg_fetch){.upload = large_upload, .length = size, .ahead = true});
    step_until_transfers(1);
}

/* --- reading --- */

static void test_short_and_interrupted_reads_are_continued(void **state) {
    (void)state;
    read_max = 1000;
    reads_to_retry = 3;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = 5000, .credit = 5000});
    served_expect_bytes(DATA_UNCHANGED, 0, 0, 5000);
}

static void test_unchanged_file_is_looked_up_at_its_path(void **state) {
    struct msg_fetch q = {.upload = served_upload};
    (void)state;
    served_ask(1, q);
    served_expect(DATA_UNCHANGED);
    assert_int_equal(rename("d", "moved") | mkdir("d", 0700), 0); /* the open file shows no difference */
    served_write_file();
    served_ask(2, q);
    served_expect(DATA_CHANGED);
    assert_int_equal(unlink("moved/f") | rmdir("moved"), 0);
}

/* --- how much a step does --- */

/* Reading without sending counts half. */
static void test_step_reads_so_many_bytes(void **state) {
    (void)state;
    ask_for_a_large_checksum();
    assert_int_equal(served.deadline_ms, served.now_ms); /* there is more to read */
    served.now_ms += 1000;
    served_step();
    served_expect(DATA_WAITING);
    assert_int_equal(served.answer.data.position, 2 * DATA_STEP_BYTES + PROTO_PIECE_MAX);
}

static void test_checksum_that_takes_long_is_announced_each_second(void **state) {
    struct wait_item item = {.endpoint = served.peer, .want = ENDPOINT_IN};
    (void)state;
    ask_for_a_large_checksum();
    served.now_ms += 999;
    served_step();
    served.now_ms += 1;
    served_step();
    assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
    assert_int_equal(endpoint_recv(served.peer, &served.frame), 0);
    assert_int_equal(msg_decode(served.frame.data, &served.answer), 0);
    assert_int_equal(served.answer.data.state, DATA_WAITING);
    assert_int_equal(served.answer.data.position, 4 * DATA_STEP_BYTES + PROTO_PIECE_MAX);
    served_expect(DATA_AHEAD); /* not announced again */
}

/* Small files cost more than their bytes. All requests may be there before the step that reads them. */
static void test_many_small_requests_take_several_steps(void **state) {
    enum { REQUESTS = 250 };
    uint64_t end = clock_ms() + PATIENCE_MS, number = 0;
    bool more = false;
    (void)state;
    while (!more) {
        assert_true(clock_ms() < end);
        for (unsigned i = 0; i < REQUESTS; i++)
            served_ask(++number, (struct msg_fetch){.upload = served_upload, .length = 10, .credit = 10});
        for (unsigned answers = 0; answers < REQUESTS;) {
            usleep(2000);
            served_step();
            more = more || served.deadline_ms == served.now_ms;
            while (endpoint_recv(served.peer, &served.frame) == 0)
                answers++;
        }
    }
}

/* --- when the next step is due --- */

static void test_transfer_without_credit_needs_no_step(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = SERVED_SIZE, .credit = 10});
    step_until_transfers(1);
    assert_int_equal(served.deadline_ms, served.now_ms + 1000);
    served_expect_bytes(DATA_BYTES, 0, 0, 10);
    assert_int_equal(served.deadline_ms, served.now_ms + 1000);
}

/* Idle transfers are looked for once a second. */
static void test_transfer_is_dropped_a_second_after_the_last_look(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = SERVED_SIZE, .credit = 10});
    served_expect_bytes(DATA_BYTES, 0, 0, 10);
    served.now_ms += DATA_TRANSFER_IDLE_MS - 1000;
    served_step();
    served.now_ms += 1000;
    served_step();
    assert_int_equal(data_server_transfers(served.data), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
UNIT_MAIN(TEST(test_short_and_interrupted_reads_are_continued), TEST(test_unchanged_file_is_looked_up_at_its_path),
          TEST(test_step_reads_so_many_bytes), TEST(test_checksum_that_takes_long_is_announced_each_second),
          TEST(test_many_small_requests_take_several_steps), TEST(test_transfer_without_credit_needs_no_step),
          TEST(test_transfer_is_dropped_a_second_after_the_last_look))
