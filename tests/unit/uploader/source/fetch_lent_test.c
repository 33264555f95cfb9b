/* Fetched sources with a lent file: the test plays the producer and the lender. */
#include "fetch_fixture.h"
#include "files.h"

#include "system/fileid.h"
#include "system/lent_file.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define RANGE ((uint64_t)3 * PIECE + 100)

static char root[TEMP_DIR_SIZE], address[TEMP_DIR_SIZE + 16];
static int listener, lender, lent;

static void lender_listen(void) {
    assert_int_equal(lent_file_listen(address, &listener), 0);
}

static int set_up(void **state) {
    struct buf content = BUF_INIT;
    fetch_fixture_setup(state);
    temp_dir_enter(root);
    endpoint_close(&producer);
    snprintf(address, sizeof address, "ipc://%s/data", root);
    assert_int_equal(endpoint_open(&producer, ENDPOINT_DATA, address), 0);
    lender_listen();
    lender = lent = -1;
    assert_int_equal(buf_reserve(&content, OFFSET + sizeof bytes), 0);
    memset(content.data, 'x', OFFSET);
    memcpy(content.data + OFFSET, bytes, sizeof bytes);
    file_put("file", slice_make(content.data, OFFSET + RANGE));
    buf_release(&content);
    struct stat st;
    assert_int_equal(stat("file", &st), 0);
    fileid_from_stat(&st, &planned.file);
    planned.boot = slice_of(boot_id());
    return 0;
}

static int tear_down(void **state) {
    int err = fetch_fixture_teardown(state);
    close(listener);
    close(lender);
    close(lent);
    lent_file_unlink(address);
    planned = (struct source_ref){0};
    return temp_dir_leave(root) || err;
}

/* Receives the request for the file. */
static void expect_request(void) {
    struct lent_request request;
    if (lender == -1)
        lender = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_int_equal(lent_file_next(lender, &request), 0);
    assert_true(id_equal(&request.journal, &journal) && id_equal(&request.upload, &upload));
}

static void lend(void) {
    expect_request();
    close(lent);
    lent = open("file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(lent_file_answer(lender, lent), 0);
    assert_false(fetch_is_primed(source));
    assert_true(fetches_recv(fetches, now_ms));
    assert_true(fetch_is_primed(source));
}

/* Opens `source` and lets it ask for the file. */
static void open_and_run(bool ahead) {
    open_range(RANGE, ahead);
    fetch_run(source, now_ms);
}

static void open_lent(bool ahead) {
    open_and_run(ahead);
    lend();
}

/* Reads up to the last byte, which waits. */
static void read_up_to_the_last_byte(void) {
    uint64_t read = 0;
    ssize_t n;
    assert_true(source_is_ready(source));
    while ((n = source_read(source, got + read, 100000)) > 0)
        read += (uint64_t)n;
    assert_int_equal(n, ERR_AGAIN);
    assert_int_equal(read, RANGE - 1);
    assert_int_equal(source_position(source), RANGE - 1);
    assert_false(source_is_ready(source));
    assert_int_equal(source_read(source, got, 1), ERR_AGAIN);
}

static void test_the_bytes_come_from_the_file(void **state) {
    (void)state;
    open_lent(false);
    assert_true(source_is_fetched(source));
    assert_false(asked(50)); /* nothing before the end */
    read_up_to_the_last_byte();
    expect_question(RANGE, RANGE);
    assert_int_equal(question.fetch.length, RANGE);
    send_answer((struct msg_data){.state = DATA_UNCHANGED, .position = RANGE});
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got + RANGE - 1, 100), 1);
    assert_memory_equal(got, bytes, RANGE);
    assert_int_equal(source_crc(source), crc32c_add(0, bytes, RANGE));
    assert_int_equal(fetches_bytes(fetches), RANGE);
    assert_int_equal(source_read(source, got, 1), 0);
    assert_true(source_is_ready(source));
    char why[100];
    assert_int_equal(source_check(source, why, sizeof why), 0);
}

static void test_one_large_read_keeps_the_last_byte(void **state) {
    (void)state;
    open_lent(false);
    assert_int_equal(source_read(source, got, sizeof got), RANGE - 1);
    assert_int_equal(source_read(source, got, sizeof got), ERR_AGAIN);
}

static void test_a_file_that_changed_gives_no_last_byte(void **state) {
    (void)state;
    char why[100];
    open_lent(false);
    read_up_to_the_last_byte();
    expect_question(RANGE, RANGE);
    send_answer((struct msg_data){.state = DATA_CHANGED, .position = RANGE, .why = slice_of("mtime moved")});
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 1), ERR_CHANGED);
    assert_int_equal(source_check(source, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "mtime moved");
}

static void test_a_file_that_became_shorter(void **state) {
    (void)state;
    char why[100];
    open_lent(false);
    assert_int_equal(truncate("file", OFFSET + 10), 0);
    assert_int_equal(source_read(source, got, 100), 10);
    assert_int_equal(source_read(source, got, 100), ERR_AGAIN);
    assert_false(source_is_ready(source));
    expect_question(RANGE, RANGE); /* the producer says what is wrong */
    send_answer((struct msg_data){.state = DATA_CHANGED, .position = RANGE, .why = slice_of("size 10, not 20")});
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 100), ERR_CHANGED);
    assert_int_equal(source_check(source, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "size 10, not 20");
}

/* Files of some file systems have fewer bytes than their size says. */
static void test_an_unchanged_file_that_ends_early_cannot_be_read(void **state) {
    (void)state;
    char why[200], expected[200];
    open_lent(false);
    assert_int_equal(truncate("file", OFFSET + 10), 0);
    assert_int_equal(source_read(source, got, 100), 10);
    assert_int_equal(source_read(source, got, 100), ERR_AGAIN);
    expect_question(RANGE, RANGE);
    send_answer((struct msg_data){.state = DATA_UNCHANGED, .position = RANGE});
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, 100), ERR_IO);
    assert_int_equal(source_check(source, why, sizeof why), ERR_IO);
    fileid_explain_short(OFFSET + 10, OFFSET + RANGE, expected, sizeof expected);
    assert_string_equal(why, expected);
}

static void test_the_range_is_read_again_after_a_rewind(void **state) {
    (void)state;
    open_lent(true);
    uint32_t crc;
    for (unsigned i = 0; i < 2; i++) {
        read_up_to_the_last_byte();
        expect_question(RANGE, RANGE);
        send_answer((struct msg_data){.state = DATA_UNCHANGED, .position = RANGE});
        assert_true(ready(PATIENCE_MS));
        assert_int_equal(source_read(source, got + RANGE - 1, 1), 1);
        assert_int_equal(source_crc(source), crc32c_add(0, bytes, RANGE));
        assert_false(source_announced_crc(source, &crc));
        assert_int_equal(source_rewind(source, 0), 0);
        assert_int_equal(source_crc(source), 0);
    }
    assert_true(source_is_ready(source));
}

static void test_a_rewind_forgets_the_answer(void **state) {
    (void)state;
    open_lent(false);
    read_up_to_the_last_byte();
    expect_question(RANGE, RANGE);
    assert_int_equal(source_rewind(source, 0), 0);
    send_answer((struct msg_data){.state = DATA_UNCHANGED, .position = RANGE}); /* of the first reading */
    settle();
    read_up_to_the_last_byte();
}

static void expect_pieces(void) {
    expect_question(0, RANGE);
    send_answer(piece(DATA_BYTES, 0, PIECE));
    assert_true(ready(PATIENCE_MS));
    assert_int_equal(source_read(source, got, PIECE), PIECE);
    assert_memory_equal(got, bytes, PIECE);
}

static void test_a_refused_loan_is_fetched_in_pieces(void **state) {
    (void)state;
    open_and_run(false);
    expect_request();
    assert_false(fetch_was_answered(source));
    assert_int_equal(lent_file_answer(lender, -1), 0);
    assert_true(fetches_recv(fetches, now_ms));
    assert_true(fetch_was_answered(source));
    assert_false(fetch_is_primed(source));
    expect_pieces();
}

/* Lends a descriptor that must not be used. */
static void lend_useless(int file) {
    assert_true(file >= 0);
    open_and_run(false);
    expect_request();
    assert_false(asked(50)); /* the connection is made during this time */
    int before = open_descriptors();
    assert_int_equal(lent_file_answer(lender, file), 0);
    assert_true(fetches_recv(fetches, now_ms));
    assert_int_equal(open_descriptors(), before); /* it was closed */
    assert_false(fetch_is_primed(source));
    expect_pieces();
    close(file);
}

static void test_another_file_is_not_used(void **state) {
    (void)state;
    file_put_text("other", "content");
    lend_useless(open("other", O_RDONLY | O_CLOEXEC));
}

static void test_a_file_with_another_time_is_not_used(void **state) {
    (void)state;
    planned.file.mtime_ns++;
    lend_useless(open("file", O_RDONLY | O_CLOEXEC));
}

static void test_a_descriptor_for_writing_is_not_used(void **state) {
    (void)state;
    lend_useless(open("file", O_RDWR | O_CLOEXEC));
}

static void test_a_descriptor_of_a_path_is_not_used(void **state) {
    (void)state;
    lend_useless(open("file", O_PATH | O_CLOEXEC));
}

static void test_a_directory_is_not_used(void **state) {
    (void)state;
    struct stat st;
    assert_int_equal(stat(".", &st), 0);
    fileid_from_stat(&st, &planned.file);
    lend_useless(open(".", O_RDONLY | O_CLOEXEC));
}

/* Its reads could block: it is not on a local file system. */
static void test_a_file_of_proc_is_not_used(void **state) {
    (void)state;
    struct stat st;
    assert_int_equal(stat("/proc/version", &st), 0);
    fileid_from_stat(&st, &planned.file);
    lend_useless(open("/proc/version", O_RDONLY | O_CLOEXEC));
}

static void test_a_lender_that_is_silent_is_given_up_after_a_second(void **state) {
    (void)state;
    open_and_run(false);
    expect_request();
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms), now_ms + 1000);
    now_ms += 999;
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms), now_ms + 1);
    assert_false(asked(50));
    now_ms += 1;
    fetches_tick(fetches, LEASE_MS, now_ms);
    expect_pieces();
    int before = open_descriptors();
    lent = open("file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(lent_file_answer(lender, lent), 0);
    assert_true(fetches_recv(fetches, now_ms)); /* the late file is closed */
    assert_int_equal(open_descriptors(), before + 1);
}

static void test_a_silent_lender_costs_no_more_than_a_lost_message(void **state) {
    (void)state;
    open_and_run(false);
    expect_request();
    assert_int_equal(fetches_tick(fetches, 1000, now_ms), now_ms + 200); /* a fifth of the lease */
}

static void test_a_lender_that_dies(void **state) {
    (void)state;
    struct source *second;
    open_and_run(false);
    assert_int_equal(open_at(&second, address, 0, RANGE, false), 0);
    fetch_run(second, now_ms);
    expect_request();
    close(lender);
    lender = -1;
    assert_true(fetches_recv(fetches, now_ms)); /* both are refused */
    assert_false(fetch_is_primed(source) || fetch_is_primed(second));
    fetches_send(fetches, now_ms);
    assert_true(asked(PATIENCE_MS) && asked(PATIENCE_MS));
    source_close(&second);
    source_close(&source);
    open_and_run(false); /* connected less than a second ago: it does not ask for a loan */
    assert_true(asked(PATIENCE_MS));
    source_close(&source);
    now_ms += 1000;
    open_lent(false);
}

static void test_a_lender_that_dies_without_a_loan_costs_no_turns(void **state) {
    (void)state;
    struct pollfd fds[FETCH_FDS_MAX];
    size_t count = 0;
    uint64_t wake_ms = UINT64_MAX;
    open_lent(false);
    close(lender);
    lender = -1;
    (void)fetches_wait(fetches, fds, &count, now_ms, &wake_ms);
    assert_int_equal(count, 1); /* not the end of the connection, which would stay readable */
    source_close(&source);
    open_and_run(false); /* the request fails */
    assert_true(asked(PATIENCE_MS));
    source_close(&source);
    now_ms += 1000;
    open_lent(false);
}

/* A queued job holds no descriptor. */
static void test_the_file_is_asked_for_when_the_source_runs(void **state) {
    struct lent_request request;
    (void)state;
    open_range(RANGE, false);
    assert_false(asked(50));
    lender = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_int_equal(lent_file_next(lender, &request), ERR_AGAIN);
    fetch_run(source, now_ms);
    lend();
}

static void test_the_patience_for_the_end_begins_at_the_end(void **state) {
    (void)state;
    open_lent(false);
    now_ms += PATIENCE_MS;
    fetches_tick(fetches, LEASE_MS, now_ms);
    read_up_to_the_last_byte();
    fetches_tick(fetches, LEASE_MS, now_ms);
    assert_int_equal(fetch_problem(source, got, sizeof got), 0);
    expect_question(RANGE, RANGE);
    assert_int_equal(fetches_tick(fetches, LEASE_MS, now_ms + LEASE_MS * 3 / 5), now_ms + LEASE_MS * 3 / 5);
    assert_int_equal(fetch_problem(source, got, sizeof got), ERR_UNREACHABLE);
}

static void test_a_source_that_closes_before_the_answer(void **state) {
    (void)state;
    open_and_run(false);
    expect_request();
    assert_false(asked(50)); /* the connection is made during this time */
    source_close(&source);
    int before = open_descriptors();
    lent = open("file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(lent_file_answer(lender, lent), 0);
    assert_true(fetches_recv(fetches, now_ms));
    assert_int_equal(open_descriptors(), before + 1);
}

static void test_a_closed_source_closes_its_file(void **state) {
    (void)state;
    open_lent(false);
    assert_false(asked(50)); /* the connection is made during this time */
    int before = open_descriptors();
    source_close(&source);
    assert_int_equal(open_descriptors(), before - 1);
}

static void test_short_ranges_and_checks_are_no_loans(void **state) {
    (void)state;
    struct lent_request request;
    open_range(PIECE, false);
    fetch_run(source, now_ms);
    expect_question(0, PIECE);
    source_close(&source);
    open_range(0, false);
    fetch_run(source, now_ms);
    source_close(&source);
    assert_int_equal(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), -1); /* not even connected */
    open_range(PIECE + 1, false);
    fetch_run(source, now_ms);
    lender = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_int_equal(lent_file_next(lender, &request), 0);
}

static void test_the_loop_waits_for_the_lender(void **state) {
    (void)state;
    struct pollfd fds[FETCH_FDS_MAX];
    size_t count = 0;
    uint64_t wake_ms = UINT64_MAX;
    open_and_run(false);
    assert_false(asked(50)); /* the connection is made during this time */
    assert_false(fetches_recv(fetches, now_ms));
    (void)fetches_wait(fetches, fds, &count, now_ms, &wake_ms);
    assert_int_equal(count, 2);
    assert_int_equal(poll(fds, count, 0), 0);
    expect_request();
    assert_int_equal(lent_file_answer(lender, -1), 0);
    assert_int_equal(poll(fds, count, 1000), 1);
    assert_int_equal(fds[1].revents, POLLIN);
}

#define LENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(LENT_TEST(test_the_bytes_come_from_the_file), LENT_TEST(test_one_large_read_keeps_the_last_byte),
          LENT_TEST(test_a_file_that_changed_gives_no_last_byte), LENT_TEST(test_a_file_that_became_shorter),
          LENT_TEST(test_an_unchanged_file_that_ends_early_cannot_be_read), LENT_TEST(test_another_file_is_not_used),
          LENT_TEST(test_a_file_with_another_time_is_not_used), LENT_TEST(test_a_descriptor_for_writing_is_not_used),
          LENT_TEST(test_a_descriptor_of_a_path_is_not_used), LENT_TEST(test_a_directory_is_not_used),
          LENT_TEST(test_a_file_of_proc_is_not_used), LENT_TEST(test_a_silent_lender_costs_no_more_than_a_lost_message),
          LENT_TEST(test_a_lender_that_dies_without_a_loan_costs_no_turns),
          LENT_TEST(test_the_file_is_asked_for_when_the_source_runs),
          LENT_TEST(test_the_patience_for_the_end_begins_at_the_end),
          LENT_TEST(test_the_range_is_read_again_after_a_rewind), LENT_TEST(test_a_rewind_forgets_the_answer),
          LENT_TEST(test_a_refused_loan_is_fetched_in_pieces),
          LENT_TEST(test_a_lender_that_is_silent_is_given_up_after_a_second), LENT_TEST(test_a_lender_that_dies),
          LENT_TEST(test_a_source_that_closes_before_the_answer), LENT_TEST(test_a_closed_source_closes_its_file),
          LENT_TEST(test_short_ranges_and_checks_are_no_loans), LENT_TEST(test_the_loop_waits_for_the_lender))
