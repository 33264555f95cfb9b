/* Jobs of an upload, with an unexpected file, directory or handle. */
#include "file_fixture.h"

#define OTHER_UPLOAD ((struct id128){{0xef}})

static void upload_chunks(void) {
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
}

/* Replaces the final file by a copy of the source, which has another inode. */
static void final_replace(void) {
    char command[1300];
    snprintf(command, sizeof command, "cp '%s' '%s.copy' && mv '%s.copy' '%s'", disk.source_path, final_path(),
             final_path(), final_path());
    assert_int_equal(system(command), 0);
}

static void assert_outcome(struct task *t, enum outcome outcome, const char *error) {
    task_run(t);
    assert_int_equal(t->result.outcome, outcome);
    if (!strstr(t->result.error, error))
        fail_msg("%s", t->result.error);
}

static void assert_denied(enum job_kind kind, const char *handle, const char *problem) {
    struct task t = task_make(kind, handle, 0);
    char elsewhere[400];
    snprintf(elsewhere, sizeof elsewhere, "file://%s/elsewhere/x", disk.top);
    t.job.target.dest = slice_of(elsewhere);
    t.parts = disk.parts;
    t.part_count = CHUNKS;
    assert_outcome(&t, OUTCOME_FAILED, problem);
}

static void test_destinations_that_are_not_allowed_fail_for_every_job(void **state) {
    (void)state;
    upload_chunks();
    assert_denied(JOB_BEGIN, "", "cannot be created: Permission denied");
    assert_denied(JOB_PUT, "", "cannot be created: Permission denied");
    assert_denied(JOB_CHUNK, disk.handle, "cannot be reached: Permission denied");
    assert_denied(JOB_FINISH, disk.handle, "cannot be reached: Permission denied");
    assert_denied(JOB_ABORT, disk.handle, "cannot be reached: Permission denied");
    assert_denied(JOB_STAT, "", "cannot be reached: Permission denied");
}

static void test_jobs_without_a_directory(void **state) {
    (void)state;
    char command[500];
    upload_chunks();
    snprintf(command, sizeof command, "rm -r '%s'", disk.out);
    assert_int_equal(system(command), 0);
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    assert_outcome(&t, OUTCOME_GONE, "its temporary file is gone");
    assert_int_equal(t.result.own, OWN_MAYBE); /* another host may see it */
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_GONE);
    t = task_make(JOB_ABORT, disk.handle, 0);
    assert_outcome(&t, OUTCOME_DONE, "");
    t = task_make(JOB_STAT, "", 0);
    t.result.exists = true;
    assert_outcome(&t, OUTCOME_DONE, "");
    assert_false(t.result.exists);
    assert_int_equal(access(disk.out, F_OK), -1); /* nothing is created */
}

static void test_handles_of_other_uploads_are_refused(void **state) {
    (void)state;
    static const enum job_kind kinds[] = {JOB_CHUNK, JOB_FINISH, JOB_ABORT};
    char handle[sizeof disk.handle + 8];
    upload_chunks();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct task t = task_make(kinds[i], disk.handle, 0);
        t.job.ref.upload = OTHER_UPLOAD;
        t.parts = disk.parts;
        t.part_count = CHUNKS;
        assert_outcome(&t, OUTCOME_FAILED, "its handle is not valid for a file:// destination");
        assert_int_equal(t.result.class, FAIL_REQUEST);
    }
    snprintf(handle, sizeof handle, "%.*s:", (int)(strchr(disk.handle, ':') - disk.handle), disk.handle);
    struct task t = task_make(JOB_CHUNK, handle, 0); /* without a number */
    assert_outcome(&t, OUTCOME_FAILED, "its handle is not valid");
    snprintf(handle, sizeof handle, "%sx", disk.handle);
    t = task_make(JOB_CHUNK, handle, 0);
    assert_outcome(&t, OUTCOME_FAILED, "its handle is not valid");
    t = task_make(JOB_CHUNK, "", 0);
    assert_outcome(&t, OUTCOME_FAILED, "its handle is not valid");
}

/* --- the temporary file --- */

static void test_a_leftover_is_not_readable_for_others(void **state) {
    (void)state;
    char path[700];
    struct stat st;
    disk_upload_begin();
    temp_path(path);
    assert_int_equal(chmod(path, 0644), 0);
    disk_upload_begin();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_a_leftover_that_is_no_file_is_refused(void **state) {
    (void)state;
    char path[700];
    struct stat st;
    disk_upload_begin();
    temp_path(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(chmod(path, 0666), 0);
    struct task t = task_make(JOB_BEGIN, "", 0);
    assert_outcome(&t, OUTCOME_FAILED, "its temporary file is not a regular file");
    assert_int_equal(t.result.class, FAIL_DEST);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
}

static void test_a_begin_gives_the_file_its_size(void **state) {
    (void)state;
    char path[700];
    struct stat st;
    disk_upload_begin();
    temp_path(path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_int_equal(truncate(path, 10), 0); /* an earlier begin was interrupted */
    disk_upload_begin();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, SIZE);
}

static void test_an_abort_does_not_remove_a_directory(void **state) {
    (void)state;
    char path[700];
    disk_upload_begin();
    temp_path(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    struct task t = task_make(JOB_ABORT, disk.handle, 0);
    assert_outcome(&t, OUTCOME_FAILED, "cannot remove its temporary file: Is a directory");
}

/* --- chunks and finishes --- */

static void test_a_chunk_after_the_finish_is_late(void **state) {
    (void)state;
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    assert_outcome(&t, OUTCOME_FAILED, "the upload is already finished");
    assert_true(t.result.transient);
    assert_final(SIZE);
    final_replace();
    t = task_make(JOB_CHUNK, disk.handle, 0);
    assert_outcome(&t, OUTCOME_GONE, "");
}

static void assert_parts_refused(void) {
    struct task t = disk_upload_finish();
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_INTEGRITY);
    assert_non_null(strstr(t.result.error, "the records of its chunks do not make up the file"));
}

static void test_parts_make_up_the_file_exactly(void **state) {
    (void)state;
    upload_chunks();
    disk.parts[3].length++;
    assert_parts_refused();
    disk.parts[3].length -= 2;
    assert_parts_refused();
    disk.parts[3].length = UINT64_MAX;
    assert_parts_refused();
    disk.parts[3].length = SIZE - 3 * CHUNK;
    disk.parts[0].chunk = 1;
    assert_parts_refused();
    disk.parts[0].chunk = 0;
    struct task t = task_make(JOB_FINISH, disk.handle, 0);
    t.parts = disk.parts;
    t.part_count = CHUNKS - 1;
    assert_outcome(&t, OUTCOME_FAILED, "do not make up the file");
    t = disk_upload_finish();
    assert_made_the_file(&t);
}

/* A file with another inode, size or kind is not read. */
static void test_a_file_that_cannot_be_ours_is_not_read(void **state) {
    (void)state;
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    assert_int_equal(truncate(final_path(), SIZE + 1), 0);
    struct task t = disk_upload_finish();
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(t.checked_bytes, 0);
    assert_int_equal(unlink(final_path()), 0);
    t = disk_upload_finish();
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(t.checked_bytes, 0);
}

static void test_a_file_of_another_program_is_not_read(void **state) {
    (void)state;
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    final_replace();
    struct task t = disk_upload_finish();
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(t.checked_bytes, 0);
    assert_final(SIZE);
}

/* --- the backend --- */

static int check(const char *dest, const char **reason) {
    static char text[100];
    text[0] = 0;
    *reason = text;
    return disk.backend->ops->check(disk.backend, &(struct target){.dest = slice_of(dest)}, text, sizeof text);
}

static void test_only_absolute_file_urls_are_served(void **state) {
    (void)state;
    static const char *const others[] = {"", "file://", "file:/", "file://x/y", "s3://bucket/key"};
    const char *reason;
    assert_int_equal(check("file:///", &reason), 0);
    assert_int_equal(check("file:///a/b", &reason), 0);
    assert_string_equal(reason, "");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(check(others[i], &reason), ERR_INVALID);
        assert_string_equal(reason, "not a file:// destination");
    }
}

#define LIMIT (64u << 20) /* unsynced bytes */

/* Steps until the first of two large chunks waits for its sync; returns how many bytes of the second one are then
 * written when the first is done. */
static uint64_t bytes_before_the_sync(uint32_t chunk_size) {
    bool first_done, second_done;
    assert_int_equal(truncate(disk.source_path, (off_t)chunk_size * 2), 0);
    disk_upload_begin();
    struct task first = task_make(JOB_CHUNK, disk.handle, 0), second = task_make(JOB_CHUNK, disk.handle, 1);
    first.job.chunk_size = second.job.chunk_size = chunk_size;
    first.job.length = second.job.length = second.job.offset = chunk_size;
    first.job.chunks = second.job.chunks = 2;
    task_start(&first, &first_done);
    task_start(&second, &second_done);
    while (!first_done)
        disk.backend->ops->step(disk.backend);
    uint64_t bytes = second.moved_bytes;
    backend_step_all();
    assert_true(second_done);
    assert_int_equal(first.result.outcome, OUTCOME_DONE);
    assert_int_equal(second.result.outcome, OUTCOME_DONE);
    source_close(&first.source);
    source_close(&second.source);
    return bytes;
}

static void test_many_unsynced_bytes_are_synced_before_more_are_written(void **state) {
    (void)state;
    assert_int_equal(bytes_before_the_sync(LIMIT), 0);
}

static void test_fewer_bytes_share_the_sync(void **state) {
    (void)state;
    assert_int_equal(bytes_before_the_sync(LIMIT / 2 - 1), LIMIT / 2 - 1);
}

static void test_a_backend_that_ends_removes_its_puts(void **state) {
    (void)state;
    char path[400];
    bool done;
    struct task t = task_make(JOB_PUT, "", 0);
    task_start(&t, &done);
    disk.backend->ops->step(disk.backend);
    dest_dir(path);
    assert_int_equal(dir_count(path), 1);
    disk.backend->ops->destroy(disk.backend);
    assert_int_equal(dir_count(path), 0);
    assert_false(done);
    assert_null(t.backend_state);
    source_close(&t.source);
    const char *allows[] = {disk.allow};
    assert_int_equal(backend_file_new(&disk.backend, allows, 1), 0);
}

static void test_jobs_leave_no_descriptors(void **state) {
    (void)state;
    unsigned before = descriptors_count();
    upload_chunks();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE); /* verified */
    char path[700];
    temp_path(path);
    file_put_text(path, "of another program");
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE); /* the same */
    assert_int_equal(unlink(path), 0);
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    assert_outcome(&t, OUTCOME_FAILED, "already finished");
    t = task_make(JOB_PUT, "", 0);
    assert_outcome(&t, OUTCOME_DONE, "");
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_GONE);
    t = task_make(JOB_STAT, "", 0);
    assert_outcome(&t, OUTCOME_DONE, "");
    assert_int_equal(descriptors_count(), before);
}

UNIT_MAIN(TEST(test_destinations_that_are_not_allowed_fail_for_every_job), TEST(test_jobs_without_a_directory),
          TEST(test_handles_of_other_uploads_are_refused), TEST(test_a_leftover_is_not_readable_for_others),
          TEST(test_a_leftover_that_is_no_file_is_refused), TEST(test_a_begin_gives_the_file_its_size),
          TEST(test_an_abort_does_not_remove_a_directory), TEST(test_a_chunk_after_the_finish_is_late),
          TEST(test_parts_make_up_the_file_exactly), TEST(test_a_file_that_cannot_be_ours_is_not_read),
          TEST(test_a_file_of_another_program_is_not_read), TEST(test_only_absolute_file_urls_are_served),
          TEST(test_many_unsynced_bytes_are_synced_before_more_are_written), TEST(test_fewer_bytes_share_the_sync),
          TEST(test_a_backend_that_ends_removes_its_puts), TEST(test_jobs_leave_no_descriptors))
