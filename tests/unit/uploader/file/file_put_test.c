/* put and stat. The linker wraps flock (tests.cmake): another uploader can act between open and lock. */
#include "file_fixture.h"

#include <errno.h>

static struct {
    void (*before)(int fd); /* called before each lock; NULL: nothing */
    int error;              /* of each lock; 0: it is taken */
    unsigned calls;
} lock;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation) {
    lock.calls++;
    if (lock.before)
        lock.before(fd);
    errno = lock.error;
    return lock.error ? -1 : __real_flock(fd, operation);
}

static int setup(void **state) {
    memset(&lock, 0, sizeof lock);
    return file_fixture_setup(state);
}

static void put_path(char path[500]) {
    snprintf(path, 500, "%s/a/b/.chunklift-abcd0000000000000000000000000000.put", disk.out);
}

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
    assert_non_null(strstr(t.result.error, "size changed"));
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
    put_path(temp);
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

/* --- the lock of the temporary file --- */

static void remove_it_once(int fd) {
    (void)fd;
    char path[500];
    put_path(path);
    assert_int_equal(unlink(path), 0);
    lock.before = NULL;
}

static void replace_it_twice(int fd) {
    (void)fd;
    char path[500];
    put_path(path);
    assert_int_equal(unlink(path), 0);
    if (lock.calls == 2)
        lock.before = NULL;
    else
        file_put_text(path, "of another uploader");
}

/* Its last holder renames or removes the file between open and lock: it is opened again. */
static void test_a_file_that_was_published_in_between_is_made_again(void **state) {
    (void)state;
    lock.before = remove_it_once;
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_made_the_file(&t);
    assert_int_equal(lock.calls, 2);
    lock.calls = 0;
    lock.before = replace_it_twice;
    t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_made_the_file(&t);
    assert_int_equal(lock.calls, 3);
}

static void replace_it(int fd) {
    (void)fd;
    char path[500];
    put_path(path);
    assert_int_equal(unlink(path), 0);
    file_put_text(path, "of another uploader");
}

static void test_a_file_that_is_replaced_each_time_is_left_to_the_others(void **state) {
    (void)state;
    char path[500], text[30];
    lock.before = replace_it;
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_true(t.result.transient);
    assert_non_null(strstr(t.result.error, "another uploader is writing it"));
    assert_int_equal(lock.calls, 8);
    put_path(path);
    assert_string_equal(file_read_text(path, text, sizeof text), "of another uploader");
}

static void test_file_systems_without_locks_take_files(void **state) {
    (void)state;
    lock.error = ENOLCK;
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_made_the_file(&t);
}

static void test_a_temporary_name_that_is_no_file_is_refused(void **state) {
    (void)state;
    char path[500], dir[400];
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    put_path(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_false(t.result.transient);
    assert_non_null(strstr(t.result.error, "cannot create its temporary file: File exists"));
    dest_dir(dir);
    assert_int_equal(dir_count(dir), 2);
}

/* The file with the temporary name is removed only by the job that holds it. */
static void test_a_put_that_cannot_begin_leaves_the_temporary_name(void **state) {
    (void)state;
    char path[500], dir[400];
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(unlink(final_path()), 0);
    assert_int_equal(mkdir(final_path(), 0700), 0);
    put_path(path);
    file_put_text(path, "of another uploader");
    t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_non_null(strstr(t.result.error, "is a directory"));
    dest_dir(dir);
    assert_int_equal(dir_count(dir), 2);
}

static void test_a_leftover_of_a_put_is_overwritten(void **state) {
    (void)state;
    char path[500], command[600];
    snprintf(command, sizeof command, "mkdir -p '%s/a/b'", disk.out);
    assert_int_equal(system(command), 0);
    put_path(path);
    file_put_hole(path, SIZE + 5000);
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_made_the_file(&t);
}

static void test_a_file_that_ends_in_a_hole_has_its_size(void **state) {
    (void)state;
    struct stat st;
    assert_int_equal(truncate(disk.source_path, SIZE + (1 << 20)), 0);
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.size, SIZE + (1 << 20));
    assert_int_equal(stat(final_path(), &st), 0);
    assert_int_equal(st.st_size, SIZE + (1 << 20));
}

#define PUT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, file_fixture_teardown)
UNIT_MAIN(PUT_TEST(test_put_makes_directories_and_file), PUT_TEST(test_put_replaces_and_empty_files_are_put),
          PUT_TEST(test_put_of_a_file_that_changed_replaces_nothing), PUT_TEST(test_put_that_shrinks_while_read),
          PUT_TEST(test_two_puts_of_one_upload_do_not_mix), PUT_TEST(test_cancelled_put_leaves_nothing),
          PUT_TEST(test_stat), PUT_TEST(test_a_file_that_was_published_in_between_is_made_again),
          PUT_TEST(test_a_file_that_is_replaced_each_time_is_left_to_the_others),
          PUT_TEST(test_file_systems_without_locks_take_files),
          PUT_TEST(test_a_temporary_name_that_is_no_file_is_refused),
          PUT_TEST(test_a_put_that_cannot_begin_leaves_the_temporary_name),
          PUT_TEST(test_a_leftover_of_a_put_is_overwritten), PUT_TEST(test_a_file_that_ends_in_a_hole_has_its_size))
