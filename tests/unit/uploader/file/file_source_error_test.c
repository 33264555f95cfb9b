/* An error while the source is read ends the job: its class, and whether another attempt can help. */
#include "file_fixture.h"

#include "uploader/file/file_job.h"

/* A put that is open and fails with this error. */
static struct task fail_source(int err) {
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    disk.backend->ops->step(disk.backend); /* opens the temporary file */
    struct backend_file *b = (struct backend_file *)disk.backend;
    assert_false(list_is_empty(&b->ready));
    file_job_fail_source(list_entry(b->ready.next, struct file_job, node), err);
    assert_true(done);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    source_close(&t.source);
    char path[400];
    dest_dir(path);
    assert_int_equal(dir_count(path), 0);
    return t;
}

static void test_lost_producer_is_an_outage(void **state) {
    (void)state;
    struct task t = fail_source(ERR_UNREACHABLE);
    assert_int_equal(t.result.class, FAIL_OUTAGE);
    assert_true(t.result.transient);
    assert_true(t.result.source_lost);
}

static void test_damaged_bytes_are_an_integrity_error(void **state) {
    (void)state;
    struct task t = fail_source(ERR_DAMAGED);
    assert_int_equal(t.result.class, FAIL_INTEGRITY);
    assert_true(t.result.transient);
    assert_false(t.result.source_lost);
}

static void test_lack_of_descriptors_is_not_the_source(void **state) {
    (void)state;
    struct task t = fail_source(ERR_DESCRIPTORS);
    assert_false(t.result.source_lost);
    assert_non_null(strstr(t.result.error, "its source cannot be opened again"));
}

static void test_changed_source_is_permanent(void **state) {
    (void)state;
    struct task t = fail_source(ERR_CHANGED);
    assert_int_equal(t.result.class, FAIL_CHANGED);
    assert_false(t.result.transient);
    assert_non_null(strstr(t.result.error, "it shrank and grew"));
}

UNIT_MAIN(TEST(test_lost_producer_is_an_outage), TEST(test_damaged_bytes_are_an_integrity_error),
          TEST(test_lack_of_descriptors_is_not_the_source), TEST(test_changed_source_is_permanent))
