/* Destinations that cannot be written, and paths that lead out. */
#include "file_fixture.h"

static void assert_put_fails(enum fail_class class, const char *words) {
    struct task t = make_task(JOB_PUT, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, class);
    assert_false(t.result.transient);
    assert_non_null(strstr(t.result.error, words));
}

static void test_final_name_is_a_directory(void **state) {
    (void)state;
    struct task put = make_task(JOB_PUT, "", 0);
    run_task(&put);
    assert_int_equal(unlink(final_path()), 0);
    assert_int_equal(mkdir(final_path(), 0700), 0);
    assert_put_fails(FAIL_DEST, "is a directory");
    struct task t = make_task(JOB_BEGIN, "", 0);
    run_task(&t);
    assert_int_equal(t.result.class, FAIL_DEST);
}

static void test_parent_is_a_file(void **state) {
    (void)state;
    char path[400];
    assert_int_equal(mkdir(out, 0700), 0);
    snprintf(path, sizeof path, "%s/a", out);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_put_fails(FAIL_DEST, "Not a directory");
}

static void test_destination_does_not_lead_out(void **state) {
    (void)state;
    char path[400];
    assert_int_equal(mkdir(out, 0700), 0);
    snprintf(path, sizeof path, "%s/a", out);
    assert_int_equal(symlink("..", path), 0);
    assert_put_fails(FAIL_DEST, "cannot be created");
    snprintf(dest, sizeof dest, "%s../x", allow);
    assert_put_fails(FAIL_DEST, "Permission denied");
    snprintf(dest, sizeof dest, "file://%s/elsewhere/x", top);
    assert_put_fails(FAIL_DEST, "Permission denied");
}

static void test_allowed_name_is_the_file_itself(void **state) {
    (void)state;
    char url[400];
    snprintf(url, sizeof url, "file://%s/one", top);
    const char *allows[] = {url};
    backend->ops->destroy(backend);
    assert_int_equal(backend_file_new(&backend, allows, 1), 0);
    snprintf(dest, sizeof dest, "%s", url);
    struct task t = make_task(JOB_PUT, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_final(SIZE);
    snprintf(dest, sizeof dest, "file://%s/two", top);
    assert_put_fails(FAIL_DEST, "Permission denied");
}

static void test_names_too_long_and_names_just_long_enough(void **state) {
    (void)state;
    size_t at = strlen(allow);
    char long_dest[700];
    snprintf(long_dest, sizeof long_dest, "%s", allow);
    memset(long_dest + at, 'n', 256);
    long_dest[at + 256] = 0;
    struct task t = make_task(JOB_PUT, "", 0);
    t.job.target.dest = slice_of(long_dest);
    run_task(&t);
    assert_int_equal(t.result.class, FAIL_DEST);
    assert_false(t.result.transient);
    long_dest[at + 255] = 0; /* the temporary name stays within NAME_MAX */
    t = make_task(JOB_PUT, "", 0);
    t.job.target.dest = slice_of(long_dest);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
}

#define NOBODY 65534

static void test_unwritable_directory(void **state) {
    (void)state;
    struct task t = make_task(JOB_PUT, "", 0);
    bool done;
    assert_int_equal(chmod(top, 0755), 0);
    assert_int_equal(mkdir(out, 0555), 0);
    start_task(&t, &done);
    bool root = geteuid() == 0; /* root is not bound by modes */
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    step_all();
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
    assert_int_equal(mkdir(out, 0700), 0);
    if (mount("none", out, "tmpfs", 0, "size=64k") != 0) {
        print_message("cannot mount a tmpfs here: skipped\n");
        skip();
    }
    struct task put = make_task(JOB_PUT, "", 0);
    run_task(&put);
    begin_upload();
    struct task t = make_task(JOB_CHUNK, handle, 0);
    bool first_done, second_done;
    struct task second = make_task(JOB_CHUNK, handle, 1);
    start_task(&t, &first_done);
    start_task(&second, &second_done);
    step_all();
    bool any_full = t.result.class == FAIL_FULL || second.result.class == FAIL_FULL;
    source_close(&t.source);
    source_close(&second.source);
    int unmounted = umount2(out, MNT_DETACH);
    assert_int_equal(put.result.outcome, OUTCOME_FAILED);
    assert_int_equal(put.result.class, FAIL_FULL);
    assert_true(first_done && second_done);
    assert_true(any_full);
    assert_int_equal(unmounted, 0);
}

UNIT_MAIN(TEST(test_final_name_is_a_directory), TEST(test_parent_is_a_file), TEST(test_destination_does_not_lead_out),
          TEST(test_allowed_name_is_the_file_itself), TEST(test_names_too_long_and_names_just_long_enough),
          TEST(test_unwritable_directory), TEST(test_full_file_system))
