/* A file system on which one call fails. The linker wraps the calls of the C library (tests.cmake). */
#include "file_fixture.h"

#include "uploader/file/file_job.h"
#include <errno.h>
#include <stdarg.h>

static struct {
    const char *call; /* the call that fails; NULL: none */
    int at;           /* its number, from 1; 0: each one */
    int error;
    int calls;
    const char *name; /* only calls with this text in their name; NULL: all */
} fault;

static bool fails(const char *call, const char *name) {
    if (!fault.call || strcmp(fault.call, call) != 0 || (fault.name && name && !strstr(name, fault.name)))
        return false;
    if (++fault.calls != fault.at && fault.at)
        return false;
    errno = fault.error;
    return true;
}

static void fail_call(const char *call, int at, int error) {
    fault.call = call;
    fault.at = at;
    fault.error = error;
    fault.calls = 0;
    fault.name = NULL;
}

/* The number of calls since fail_call. */
static int fault_end(void) {
    fault.call = NULL;
    return fault.calls;
}

int __real_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __real_pread(int fd, void *bytes, size_t len, off_t offset);
int __real_ftruncate(int fd, off_t size);
int __real_fstat(int fd, struct stat *st);
int __real_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __real_unlinkat(int dir_fd, const char *name, int flags);
int __real_fchmodat(int dir_fd, const char *name, mode_t mode, int flags);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_fchmodat(int dir_fd, const char *name, mode_t mode, int flags);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_openat(int dir_fd, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails("openat", path) ? -1 : __real_openat(dir_fd, path, flags, mode);
}

/* Error 0: no byte is written. Error 1: one byte is. */
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    if (!fails("pwrite", NULL))
        return __real_pwrite(fd, bytes, len, offset);
    return fault.error == 0 ? 0 : fault.error == 1 ? __real_pwrite(fd, bytes, 1, offset) : -1;
}

ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset) {
    return fails("pread", NULL) ? -1 : __real_pread(fd, bytes, len, offset);
}

int __wrap_ftruncate(int fd, off_t size) {
    return fails("ftruncate", NULL) ? -1 : __real_ftruncate(fd, size);
}

int __wrap_fstat(int fd, struct stat *st) {
    return fails("fstat", NULL) ? -1 : __real_fstat(fd, st);
}

int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags) {
    return fails("fstatat", name) ? -1 : __real_fstatat(dir_fd, name, st, flags);
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags) {
    return fails("unlinkat", name) ? -1 : __real_unlinkat(dir_fd, name, flags);
}

int __wrap_fchmodat(int dir_fd, const char *name, mode_t mode, int flags) {
    return fails("fchmodat", name) ? -1 : __real_fchmodat(dir_fd, name, mode, flags);
}

int __wrap_fsync(int fd) {
    return fails("fsync", NULL) ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd) {
    return fails("fdatasync", NULL) ? -1 : __real_fdatasync(fd);
}

static int setup(void **state) {
    (void)fault_end();
    return file_fixture_setup(state);
}

static void assert_failed(const struct task *t, const char *problem) {
    assert_int_equal(t->result.outcome, OUTCOME_FAILED);
    if (!strstr(t->result.error, problem))
        fail_msg("%s", t->result.error);
}

/* Runs the task. It fails with this problem, which the fault causes. */
static void assert_fails(struct task *t, const char *problem) {
    task_run(t);
    (void)fault_end();
    assert_failed(t, problem);
    source_close(&t->source);
}

static void assert_ends_well(struct task *t) {
    task_run(t);
    assert_true(fault_end() > 0);
    assert_int_equal(t->result.outcome, OUTCOME_DONE);
    source_close(&t->source);
}

/* All chunks are sent. */
static void upload_chunks(void) {
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
}

static int dest_count(void) {
    char path[400];
    dest_dir(path);
    return dir_count(path);
}

/* --- the meaning of errors --- */

/* A put that is open and fails with this error. */
static struct task_result result_of(int error) {
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    disk.backend->ops->step(disk.backend);
    struct backend_file *b = (struct backend_file *)disk.backend;
    assert_false(list_is_empty(&b->ready));
    file_job_fail_errno(list_entry(b->ready.next, struct file_job, node), "cannot be tested", error);
    assert_true(done);
    source_close(&t.source);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    return t.result;
}

static void test_a_full_disk_is_told_from_other_errors(void **state) {
    (void)state;
    assert_int_equal(result_of(ENOSPC).class, FAIL_FULL);
    assert_int_equal(result_of(EDQUOT).class, FAIL_FULL);
    assert_int_equal(result_of(EIO).class, FAIL_DEST);
    assert_int_equal(result_of(EFBIG).class, FAIL_DEST);
}

static void test_a_lack_of_resources_passes(void **state) {
    (void)state;
    static const int passing[] = {EINTR, EAGAIN, ENOMEM, EMFILE, ENFILE}, lasting[] = {EIO, ENOSPC, EACCES, ENOENT};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        assert_true(result_of(passing[i]).transient);
    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++)
        assert_false(result_of(lasting[i]).transient);
}

static void test_another_host_may_not_have_the_failure(void **state) {
    (void)state;
    static const int maybe[] = {ENOSPC, EDQUOT, EACCES,   EPERM,     EIO,       ENODEV,      ENXIO,
                                ENOENT, ESTALE, ENOTCONN, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH};
    assert_int_equal(result_of(EROFS).own, OWN_SURE);
    for (size_t i = 0; i < sizeof maybe / sizeof *maybe; i++)
        assert_int_equal(result_of(maybe[i]).own, OWN_MAYBE);
    assert_int_equal(result_of(EISDIR).own, OWN_NO);
    assert_int_equal(result_of(ENAMETOOLONG).own, OWN_NO);
}

static void test_an_error_begins_with_the_destination(void **state) {
    (void)state;
    char expected[600];
    snprintf(expected, sizeof expected, "%s: cannot be tested: Input/output error", disk.dest);
    assert_string_equal(result_of(EIO).error, expected);
}

static void test_a_long_destination_is_cut_between_characters(void **state) {
    (void)state;
    char path[700];
    size_t at = (size_t)snprintf(path, sizeof path, "%s", disk.allow);
    while (at < 299)
        path[at++] = 'n';
    snprintf(path + at, sizeof path - at, "\xc3\xa4/"); /* two bytes at 299 and 300; no last name */
    struct task t = task_make(JOB_STAT, "", 0);
    t.job.target.dest = slice_of(path);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(strchr(t.result.error + 8, ':') - t.result.error, 299);
    path[298] = 0xc3;
    path[299] = 0xa4; /* now the character ends at the limit */
    path[300] = '/';
    path[301] = 0;
    t = task_make(JOB_STAT, "", 0);
    t.job.target.dest = slice_of(path);
    task_run(&t);
    assert_int_equal(strchr(t.result.error + 8, ':') - t.result.error, 300);
}

/* --- writes --- */

static void test_an_interrupted_write_continues(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    fail_call("pwrite", 2, EINTR);
    assert_ends_well(&t);
    assert_final(SIZE);
}

static void test_a_short_write_continues(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    fail_call("pwrite", 1, 1);
    assert_ends_well(&t);
    assert_final(SIZE);
    assert_int_equal(t.result.sent_bytes, SIZE);
}

static void test_a_write_of_nothing_is_an_error(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    fail_call("pwrite", 1, 0);
    assert_fails(&t, "cannot write: Input/output error");
    assert_int_equal(fault.calls, 1);
    assert_int_equal(dest_count(), 0);
}

static void test_a_write_that_fails_ends_the_job(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    fail_call("pwrite", 2, ENOSPC);
    assert_fails(&t, "cannot write: No space left on device");
    assert_int_equal(t.result.class, FAIL_FULL);
    assert_int_equal(dest_count(), 0);
}

/* A chunk that fails does not take the file from the other chunks. */
static void test_a_chunk_that_fails_leaves_the_file(void **state) {
    (void)state;
    disk_upload_begin();
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    fail_call("pwrite", 1, EIO);
    assert_fails(&t, "cannot write");
    assert_int_equal(dest_count(), 1);
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    t = disk_upload_finish();
    assert_made_the_file(&t);
}

/* --- syncs --- */

static void test_a_sync_that_fails_fails_all_its_chunks(void **state) {
    (void)state;
    disk_upload_begin();
    struct task a = task_make(JOB_CHUNK, disk.handle, 0), b = task_make(JOB_CHUNK, disk.handle, 1);
    bool a_done, b_done;
    task_start(&a, &a_done);
    task_start(&b, &b_done);
    fail_call("fdatasync", 1, EIO);
    backend_step_all();
    assert_int_equal(fault_end(), 1);
    assert_true(a_done && b_done);
    assert_failed(&a, "cannot sync");
    assert_failed(&b, "cannot sync");
    source_close(&a.source);
    source_close(&b.source);
}

static void test_a_file_that_cannot_be_synced_is_not_published(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    assert_int_equal(system("mkdir -p out/a/b"), 0);
    fail_call("fsync", 1, EIO);
    task_run(&t);
    assert_failed(&t, "cannot");
    (void)fault_end();
    source_close(&t.source);
    assert_int_equal(access(final_path(), F_OK), -1);
}

static void test_a_name_that_cannot_be_synced_is_a_failure(void **state) {
    (void)state;
    upload_chunks();
    fail_call("fsync", 2, EIO); /* the first is that of the file */
    struct task t = disk_upload_finish();
    assert_int_equal(fault_end(), 2);
    assert_failed(&t, "cannot sync");
}

/* Two files that wait at the same time: the sync of one says nothing about the other. */
static void test_a_sync_serves_one_file(void **state) {
    (void)state;
    char first_handle[sizeof disk.handle];
    struct task begin = task_make(JOB_BEGIN, "", 0);
    disk_upload_begin();
    memcpy(first_handle, disk.handle, sizeof first_handle);
    begin.job.ref.upload = (struct id128){{0xef}};
    task_run(&begin);
    assert_int_equal(begin.result.outcome, OUTCOME_DONE);
    struct task a = task_make(JOB_CHUNK, first_handle, 0), b = task_make(JOB_CHUNK, begin.result.handle, 1);
    b.job.ref.upload = begin.job.ref.upload;
    bool a_done, b_done;
    task_start(&a, &a_done);
    task_start(&b, &b_done);
    fail_call("fdatasync", 2, EIO);
    while (!a_done && !b_done)
        disk.backend->ops->step(disk.backend);
    assert_true(a_done && !b_done);
    assert_int_equal(a.result.outcome, OUTCOME_DONE);
    backend_step_all();
    assert_int_equal(fault_end(), 2);
    assert_failed(&b, "cannot sync");
    source_close(&a.source);
    source_close(&b.source);
}

/* --- the temporary file --- */

static void test_an_interrupted_open_is_repeated(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    fail_call("openat", 1, EINTR);
    assert_ends_well(&t);
    assert_final(SIZE);
}

static void test_a_file_that_lost_its_mode_is_opened(void **state) {
    (void)state;
    upload_chunks();
    fail_call("openat", 1, EACCES);
    struct task t = disk_upload_finish();
    assert_int_equal(fault_end(), 2);
    assert_made_the_file(&t);
}

static void test_the_error_is_that_of_the_open(void **state) {
    (void)state;
    struct task t = task_make(JOB_BEGIN, "", 0);
    fail_call("openat", 1, EACCES); /* no file exists, so no mode is changed */
    assert_fails(&t, "cannot create its temporary file: Permission denied");
}

static void test_a_temporary_file_that_cannot_be_opened(void **state) {
    (void)state;
    upload_chunks();
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    fail_call("openat", 1, EIO);
    assert_fails(&t, "cannot open its temporary file: Input/output error");
    fail_call("openat", 1, EIO);
    t = disk_upload_finish();
    assert_failed(&t, "cannot open its temporary file: Input/output error");
    fail_call("openat", 1, EIO);
    t = task_make(JOB_BEGIN, "", 0);
    assert_fails(&t, "cannot create its temporary file: Input/output error");
    fail_call("openat", 1, EIO);
    t = task_make(JOB_PUT, "", 0);
    assert_fails(&t, "cannot create its temporary file: Input/output error");
    assert_int_equal(dest_count(), 1); /* the file of the upload */
}

static void test_attributes_that_cannot_be_read(void **state) {
    (void)state;
    upload_chunks();
    fail_call("fstat", 1, EIO);
    struct task t = disk_upload_finish();
    assert_failed(&t, "cannot open its temporary file: Input/output error");
    fail_call("fstat", 1, EIO); /* the first is of the leftover's mode, the second of its size */
    fault.at = 2;
    t = task_make(JOB_BEGIN, "", 0);
    assert_fails(&t, "cannot create its temporary file: Input/output error");
    fail_call("fstat", 3, EIO);
    t = task_make(JOB_BEGIN, "", 0);
    assert_fails(&t, "cannot read the attributes of its directory: Input/output error");
}

static void test_attributes_of_the_destination_that_cannot_be_read(void **state) {
    (void)state;
    static const enum job_kind kinds[] = {JOB_BEGIN, JOB_PUT, JOB_STAT};
    disk_upload_begin();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct task t = task_make(kinds[i], "", 0);
        fail_call("fstatat", 0, EIO);
        fault.name = "file.bin";
        assert_fails(&t, "cannot read its attributes: Input/output error");
    }
}

static void test_a_finish_in_doubt_needs_the_attributes(void **state) {
    (void)state;
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    fail_call("fstatat", 0, EIO);
    struct task t = disk_upload_finish();
    assert_failed(&t, "cannot read its attributes: Input/output error");
    (void)fault_end();
    assert_final(SIZE);
}

static void test_a_size_that_cannot_be_set(void **state) {
    (void)state;
    struct task t = task_make(JOB_BEGIN, "", 0);
    fail_call("ftruncate", 1, EFBIG);
    assert_fails(&t, "cannot set the size of its temporary file: File too large");
    t = task_make(JOB_PUT, "", 0);
    fail_call("ftruncate", 1, EIO);
    assert_fails(&t, "cannot create its temporary file: Input/output error");
    assert_int_equal(truncate(disk.source_path, SIZE + (4 << 20)), 0); /* ends in a hole */
    t = task_make(JOB_PUT, "", 0);
    fail_call("ftruncate", 2, EFBIG);
    assert_fails(&t, "cannot set the size of its temporary file: File too large");
}

static void test_an_abort_that_cannot_remove_fails(void **state) {
    (void)state;
    disk_upload_begin();
    struct task t = task_make(JOB_ABORT, disk.handle, 0);
    fail_call("unlinkat", 1, EIO);
    assert_fails(&t, "cannot remove its temporary file: Input/output error");
    t = task_make(JOB_ABORT, disk.handle, 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(dest_count(), 0);
}

/* The names that an abort removed are synced. */
static void test_an_abort_waits_for_its_sync(void **state) {
    (void)state;
    disk_upload_begin();
    struct task t = task_make(JOB_ABORT, disk.handle, 0);
    fail_call("fsync", 1, EIO);
    assert_fails(&t, "cannot sync");
    t = task_make(JOB_ABORT, disk.handle, 0); /* nothing is left: no sync */
    fail_call("fsync", 1, EIO);
    task_run(&t);
    assert_int_equal(fault_end(), 0);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
}

/* --- a finish that is verified (rule 11) --- */

static void test_an_interrupted_verification_continues(void **state) {
    (void)state;
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    fail_call("pread", 1, EINTR);
    struct task t = disk_upload_finish();
    assert_true(fault_end() > 1);
    assert_made_the_file(&t);
}

static void test_a_file_that_cannot_be_read_is_not_judged(void **state) {
    (void)state;
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    fail_call("pread", 1, EIO);
    struct task t = disk_upload_finish();
    (void)fault_end();
    assert_failed(&t, "cannot be read for verification: Input/output error");
    fail_call("openat", 2, EIO); /* the first finds no temporary file */
    t = disk_upload_finish();
    (void)fault_end();
    assert_failed(&t, "cannot be read for verification: Input/output error");
    assert_final(SIZE);
}

#define FAULT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, file_fixture_teardown)
UNIT_MAIN(FAULT_TEST(test_a_full_disk_is_told_from_other_errors), FAULT_TEST(test_a_lack_of_resources_passes),
          FAULT_TEST(test_another_host_may_not_have_the_failure), FAULT_TEST(test_an_error_begins_with_the_destination),
          FAULT_TEST(test_a_long_destination_is_cut_between_characters),
          FAULT_TEST(test_an_interrupted_write_continues), FAULT_TEST(test_a_short_write_continues),
          FAULT_TEST(test_a_write_of_nothing_is_an_error), FAULT_TEST(test_a_write_that_fails_ends_the_job),
          FAULT_TEST(test_a_chunk_that_fails_leaves_the_file), FAULT_TEST(test_a_sync_that_fails_fails_all_its_chunks),
          FAULT_TEST(test_a_file_that_cannot_be_synced_is_not_published),
          FAULT_TEST(test_a_name_that_cannot_be_synced_is_a_failure), FAULT_TEST(test_a_sync_serves_one_file),
          FAULT_TEST(test_an_interrupted_open_is_repeated), FAULT_TEST(test_a_file_that_lost_its_mode_is_opened),
          FAULT_TEST(test_the_error_is_that_of_the_open), FAULT_TEST(test_a_temporary_file_that_cannot_be_opened),
          FAULT_TEST(test_attributes_that_cannot_be_read),
          FAULT_TEST(test_attributes_of_the_destination_that_cannot_be_read),
          FAULT_TEST(test_a_finish_in_doubt_needs_the_attributes), FAULT_TEST(test_a_size_that_cannot_be_set),
          FAULT_TEST(test_an_abort_that_cannot_remove_fails), FAULT_TEST(test_an_abort_waits_for_its_sync),
          FAULT_TEST(test_an_interrupted_verification_continues),
          FAULT_TEST(test_a_file_that_cannot_be_read_is_not_judged))
