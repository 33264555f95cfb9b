/* put and stat. */
#include "file_fixture.h"

static void test_put_makes_directories_and_file(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_made_the_file(&t);
}

static void test_put_replaces_and_empty_files_are_put(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    source_write(0);
    t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, 0);
    assert_final(0);
}

static void test_put_of_a_file_that_changed_replaces_nothing(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    disk.backend->ops->step(disk.backend); /* open */
    disk.backend->ops->step(disk.backend); /* write */
    source_write(SIZE - 1);
    backend_step_all();
    assert_true(done);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_CHANGED);
    assert_int_equal(access(final_path(), F_OK), -1);
    char path[400];
    dest_dir(path);
    assert_int_equal(dir_count(path), 0);
    source_close(&t.source);
}

static void test_put_that_shrinks_while_read(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    disk.backend->ops->step(disk.backend);
    assert_int_equal(truncate(disk.source_path, 10), 0);
    backend_step_all();
    assert_int_equal(t.result.class, FAIL_CHANGED);
    assert_int_equal(access(final_path(), F_OK), -1);
    source_close(&t.source);
}

static void test_two_puts_of_one_upload_do_not_mix(void **state) {
    (void)state;
    struct task first = task_make(JOB_PUT, "", 0), second = task_make(JOB_PUT, "", 0);
    bool first_done;
    task_start(&first, &first_done);
    disk.backend->ops->step(disk.backend);
    char temp[500];
    snprintf(temp, sizeof temp, "%s/a/b/.chunklift-abcd0000000000000000000000000000.put", disk.out);
    int other = open(temp, O_RDWR);
    assert_true(other >= 0);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1); /* locked during the write */
    close(other);
    backend_step_all();
    assert_true(first_done);
    other = open(temp, O_RDWR | O_CREAT, 0600); /* held by another live uploader */
    assert_int_equal(flock(other, LOCK_EX), 0);
    task_run(&second);
    assert_int_equal(second.result.outcome, OUTCOME_FAILED);
    assert_true(second.result.transient);
    assert_int_equal(access(temp, F_OK), 0);
    close(other); /* that uploader died and left a half-written file */
    second = task_make(JOB_PUT, "", 0);
    task_run(&second);
    assert_int_equal(second.result.outcome, OUTCOME_DONE);
    assert_final(SIZE);
    source_close(&first.source);
}

static void test_cancelled_put_leaves_nothing(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    disk.backend->ops->step(disk.backend);
    disk.backend->ops->step(disk.backend);
    disk.backend->ops->cancel(disk.backend, &t);
    char path[400];
    dest_dir(path);
    assert_int_equal(dir_count(path), 0);
    source_close(&t.source);
}

static void test_stat(void **state) {
    (void)state;
    struct task t = task_make(JOB_STAT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_false(t.result.exists);
    struct task put = task_make(JOB_PUT, "", 0);
    task_run(&put);
    t = task_make(JOB_STAT, "", 0);
    task_run(&t);
    assert_true(t.result.exists);
    assert_int_equal(t.result.size, SIZE);
    assert_int_equal(unlink(final_path()), 0);
    assert_int_equal(mkdir(final_path(), 0700), 0);
    t = task_make(JOB_STAT, "", 0);
    task_run(&t);
    assert_false(t.result.exists);
}

UNIT_MAIN(TEST(test_put_makes_directories_and_file), TEST(test_put_replaces_and_empty_files_are_put),
          TEST(test_put_of_a_file_that_changed_replaces_nothing), TEST(test_put_that_shrinks_while_read),
          TEST(test_two_puts_of_one_upload_do_not_mix), TEST(test_cancelled_put_leaves_nothing), TEST(test_stat))
