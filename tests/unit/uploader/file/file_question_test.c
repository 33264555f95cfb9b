/* head and read of a file at its destination. */
#include "file_fixture.h"

/* The file at the destination has the content of the source. */
static int setup(void **state) {
    int err = file_fixture_setup(state);
    struct task t = task_make(JOB_PUT, "", 0);
    if (!err)
        task_run(&t);
    return err || t.result.outcome != OUTCOME_DONE;
}

static struct task_result read_range(uint64_t offset, uint64_t length) {
    struct task t = task_make(JOB_READ, "", 0);
    t.job.offset = offset;
    t.job.length = length;
    task_run(&t);
    assert_int_equal(t.result.sent_bytes, 0);
    return t.result;
}

static void assert_read(struct task_result r, uint64_t offset, uint64_t length) {
    assert_int_equal(r.outcome, OUTCOME_DONE);
    assert_true(r.exists && r.has_crc);
    assert_int_equal(r.size, length);
    assert_int_equal(r.crc, crc32c_add(0, disk.content + offset, length));
}

static void test_a_range_is_read(void **state) {
    (void)state;
    assert_read(read_range(0, SIZE), 0, SIZE);
    assert_read(read_range(5, 100), 5, 100);
    assert_read(read_range(SIZE - 1, 1), SIZE - 1, 1);
}

static void test_a_range_ends_with_the_file(void **state) {
    (void)state;
    assert_read(read_range(SIZE - 10, 50), SIZE - 10, 10);
    assert_read(read_range(SIZE + 10, 50), SIZE, 0);
}

#define FILE_READ_STEP (4u << 20) /* more than a step moves */

/* The loop of the uploader has other work, too. */
static void test_a_large_range_takes_several_steps(void **state) {
    (void)state;
    struct task t = task_make(JOB_READ, "", 0);
    bool done;
    t.job.length = 2 * FILE_READ_STEP;
    assert_int_equal(truncate(final_path(), (off_t)t.job.length), 0);
    task_start(&t, &done);
    for (unsigned steps = 1; disk.backend->ops->step(disk.backend) || !done; steps++) {
        assert_true(steps < 100);
        assert_false(done && steps < 3);
    }
    assert_true(done);
    assert_int_equal(t.result.size, 2 * FILE_READ_STEP);
}

static void test_what_is_no_file_is_no_object(void **state) {
    (void)state;
    assert_int_equal(unlink(final_path()), 0);
    struct task_result r = read_range(0, 10);
    assert_int_equal(r.outcome, OUTCOME_DONE);
    assert_false(r.exists);
    assert_int_equal(mkdir(final_path(), 0700), 0);
    assert_false(read_range(0, 10).exists);
    assert_int_equal(rmdir(final_path()), 0);
    assert_int_equal(symlink(disk.source_path, final_path()), 0);
    assert_false(read_range(0, 10).exists); /* a link is not followed */
    struct task t = task_make(JOB_HEAD, "", 0);
    task_run(&t);
    assert_true(t.result.outcome == OUTCOME_DONE && !t.result.exists);
}

static void test_a_directory_that_is_missing_has_no_objects(void **state) {
    (void)state;
    snprintf(disk.dest, sizeof disk.dest, "%snowhere/file.bin", disk.allow);
    assert_false(read_range(0, 10).exists);
    struct task t = task_make(JOB_HEAD, "", 0);
    task_run(&t);
    assert_true(t.result.outcome == OUTCOME_DONE && !t.result.exists);
    assert_int_not_equal(access(final_path(), F_OK), 0);
}

static void test_head_tells_the_size(void **state) {
    (void)state;
    struct task t = task_make(JOB_HEAD, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_true(t.result.exists && t.result.size == SIZE && !t.result.has_crc);
}

#define QUESTION_TEST(name) cmocka_unit_test_setup_teardown(name, setup, file_fixture_teardown)
UNIT_MAIN(QUESTION_TEST(test_a_range_is_read), QUESTION_TEST(test_a_range_ends_with_the_file),
          QUESTION_TEST(test_a_large_range_takes_several_steps), QUESTION_TEST(test_what_is_no_file_is_no_object),
          QUESTION_TEST(test_a_directory_that_is_missing_has_no_objects), QUESTION_TEST(test_head_tells_the_size))
