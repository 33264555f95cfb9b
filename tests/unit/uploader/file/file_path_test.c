/* Destinations that cannot be written, and paths that lead out. */
#include "file_fixture.h"

static void assert_put_fails(enum fail_class class, const char *words) {
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, class);
    assert_false(t.result.transient);
    assert_non_null(strstr(t.result.error, words));
}

static void test_final_name_is_a_directory(void **state) {
    (void)state;
    struct task put = task_make(JOB_PUT, "", 0);
    task_run(&put);
    assert_int_equal(unlink(final_path()), 0);
    assert_int_equal(mkdir(final_path(), 0700), 0);
    assert_put_fails(FAIL_DEST, "is a directory");
    struct task t = task_make(JOB_BEGIN, "", 0);
    task_run(&t);
    assert_int_equal(t.result.class, FAIL_DEST);
}

static void test_parent_is_a_file(void **state) {
    (void)state;
    char path[400];
    assert_int_equal(mkdir(disk.out, 0700), 0);
    snprintf(path, sizeof path, "%s/a", disk.out);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_put_fails(FAIL_DEST, "Not a directory");
}

static void test_destination_does_not_lead_out(void **state) {
    (void)state;
    char path[400];
    assert_int_equal(mkdir(disk.out, 0700), 0);
    snprintf(path, sizeof path, "%s/a", disk.out);
    assert_int_equal(symlink("..", path), 0);
    assert_put_fails(FAIL_DEST, "cannot be created");
    snprintf(disk.dest, sizeof disk.dest, "%s../x", disk.allow);
    assert_put_fails(FAIL_DEST, "Permission denied");
    snprintf(disk.dest, sizeof disk.dest, "file://%s/elsewhere/x", disk.top);
    assert_put_fails(FAIL_DEST, "Permission denied");
}

static void test_allowed_name_is_the_file_itself(void **state) {
    (void)state;
    char url[400];
    snprintf(url, sizeof url, "file://%s/one", disk.top);
    const char *allows[] = {url};
    disk.backend->ops->destroy(disk.backend);
    assert_int_equal(backend_file_new(&disk.backend, allows, 1), 0);
    snprintf(disk.dest, sizeof disk.dest, "%s", url);
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_final(SIZE);
    snprintf(disk.dest, sizeof disk.dest, "file://%s/two", disk.top);
    assert_put_fails(FAIL_DEST, "Permission denied");
}

static void test_names_too_long_and_names_just_long_enough(void **state) {
    (void)state;
    size_t at = strlen(disk.allow);
    char long_dest[700];
    snprintf(long_dest, sizeof long_dest, "%s", disk.allow);
    memset(long_dest + at, 'n', 256);
    long_dest[at + 256] = 0;
    struct task t = task_make(JOB_PUT, "", 0);
    t.job.target.dest = slice_of(long_dest);
    task_run(&t);
    assert_int_equal(t.result.class, FAIL_DEST);
    assert_false(t.result.transient);
    long_dest[at + 255] = 0; /* the temporary name stays within NAME_MAX */
    t = task_make(JOB_PUT, "", 0);
    t.job.target.dest = slice_of(long_dest);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
}

#define NOBODY 65534

static void test_unwritable_directory(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    assert_int_equal(chmod(disk.top, 0755), 0);
    assert_int_equal(mkdir(disk.out, 0555), 0);
    task_start(&t, &done);
    bool root = geteuid() == 0; /* root is not bound by modes */
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    backend_step_all();
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_true(done);
    source_close(&t.source);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_DEST);
    assert_false(t.result.transient);
    assert_non_null(strstr(t.result.error, "Permission denied"));
}

static void test_full_file_system(void **state) {
    (void)state;
    assert_int_equal(mkdir(disk.out, 0700), 0);
    if (mount("none", disk.out, "tmpfs", 0, "size=64k") != 0) {
        print_message("cannot mount a tmpfs here: skipped\n");
        skip();
    }
    struct task put = task_make(JOB_PUT, "", 0);
    task_run(&put);
    disk_upload_begin();
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    bool first_done, second_done;
    struct task second = task_make(JOB_CHUNK, disk.handle, 1);
    task_start(&t, &first_done);
    task_start(&second, &second_done);
    backend_step_all();
    bool any_full = t.result.class == FAIL_FULL || second.result.class == FAIL_FULL;
    source_close(&t.source);
    source_close(&second.source);
    int unmounted = umount2(disk.out, MNT_DETACH);
    assert_int_equal(put.result.outcome, OUTCOME_FAILED);
    assert_int_equal(put.result.class, FAIL_FULL);
    assert_true(first_done && second_done);
    assert_true(any_full);
    assert_int_equal(unmounted, 0);
}

UNIT_MAIN(TEST(test_final_name_is_a_directory), TEST(test_parent_is_a_file), TEST(test_destination_does_not_lead_out),
          TEST(test_allowed_name_is_the_file_itself), TEST(test_names_too_long_and_names_just_long_enough),
          TEST(test_unwritable_directory), TEST(test_full_file_system))
