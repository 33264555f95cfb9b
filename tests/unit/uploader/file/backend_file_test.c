/* begin, chunk, finish, abort. */
#include "file_fixture.h"

static void test_chunks_out_of_order_make_the_file(void **state) {
    (void)state;
    disk_upload_begin();
    disk_chunk_send(3);
    disk_chunk_send(0);
    disk_chunk_send(2);
    assert_int_equal(access(final_path(), F_OK), -1); /* not visible before finish */
    disk_chunk_send(1);
    struct task t = disk_upload_finish();
    assert_made_the_file(&t);
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static mode_t temp_mode(void) {
    char path[700];
    temp_path(path);
    return mode_of(path);
}

static void test_no_more_permissions_than_the_source(void **state) {
    (void)state;
    static const mode_t modes[] = {0600, 0640, 0644, 0755, 0400, 04755, 0};
    mode_t mask = umask(022);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(disk.source_path, modes[i] ? modes[i] : 0644), 0);
        disk_upload_begin();
        assert_int_equal(temp_mode(), 0600);
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            disk_chunk_send(chunk);
        struct task t = task_make(JOB_FINISH, disk.handle, 0);
        t.parts = disk.parts;
        t.part_count = CHUNKS;
        if (modes[i] == 0)
            t.job.source.file.mode = 0; /* unknown: from a producer that does not send it */
        task_run(&t);
        assert_int_equal(t.result.outcome, OUTCOME_DONE);
        assert_int_equal(mode_of(final_path()), modes[i] ? modes[i] & 0777 : 0600);
    }
    umask(mask);
}

static void test_the_umask_holds_unless_modes_are_kept(void **state) {
    (void)state;
    static const struct {
        bool keep, no_preserve;
        mode_t mode;
    } cases[] = {{false, false, 0640}, {false, true, 0640}, {true, true, 0640}, {true, false, 0666}};
    mode_t mask = umask(027);
    disk.backend->ops->destroy(disk.backend);
    const char *allows[] = {disk.allow};
    assert_int_equal(backend_file_new(&disk.backend, allows, 1), 0);
    umask(mask);
    assert_int_equal(chmod(disk.source_path, 0666), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct properties properties = {.no_preserve = cases[i].no_preserve};
        struct task put = task_make(JOB_PUT, "", 0);
        put.properties = &properties;
        if (cases[i].keep)
            backend_file_keep_modes(disk.backend);
        task_run(&put);
        assert_int_equal(put.result.outcome, OUTCOME_DONE);
        assert_int_equal(mode_of(final_path()), cases[i].mode);
    }
}

static void test_finish_cut_off_after_its_mode(void **state) {
    (void)state;
    disk_upload_begin();
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        disk_chunk_send(chunk);
    char path[700];
    temp_path(path);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    assert_final(SIZE);
}

static void test_second_begin_takes_the_first_ones_file(void **state) {
    (void)state;
    disk_upload_begin();
    char first[sizeof disk.handle];
    memcpy(first, disk.handle, sizeof first);
    disk_chunk_send(2);
    disk_upload_begin();
    assert_string_equal(disk.handle, first);
    disk_chunk_send(0);
    disk_chunk_send(1);
    disk_chunk_send(3);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    assert_final(SIZE); /* chunk 2 is complete too */
}

static void test_several_chunks_at_a_time_share_a_sync(void **state) {
    (void)state;
    disk_upload_begin();
    struct task tasks[CHUNKS];
    bool done[CHUNKS];
    for (uint32_t i = 0; i < CHUNKS; i++) {
        tasks[i] = task_make(JOB_CHUNK, disk.handle, i);
        task_start(&tasks[i], &done[i]);
    }
    uint32_t before = disk.done_count;
    int with_news = 0;
    for (bool again = true; again;) {
        uint32_t count = disk.done_count;
        again = disk.backend->ops->step(disk.backend);
        with_news += disk.done_count != count;
    }
    assert_int_equal(disk.done_count - before, CHUNKS);
    assert_int_equal(with_news, 1); /* one fdatasync for all */
    for (uint32_t i = 0; i < CHUNKS; i++)
        source_close(&tasks[i].source);
}

static void test_finish_again_after_a_crash_before_its_record(void **state) { /* rule 11 */
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    struct task t = disk_upload_finish(); /* without a record of the first finish */
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, disk.content, SIZE));
    assert_int_equal(t.result.size, SIZE);
    assert_final(SIZE);
}

static void test_a_repeated_finish_leaves_no_descriptor(void **state) {
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    disk_upload_finish();
    char temp[700];
    temp_path(temp);
    file_put_text(temp, "another file of this name");
    unsigned before = descriptors_count();
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    assert_int_equal(descriptors_count(), before);
}

static void test_finish_never_takes_a_foreign_file(void **state) { /* rule 11 */
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    char temp[700], copy[2000];
    temp_path(temp);
    snprintf(copy, sizeof copy, "cp '%s' '%s' && rm '%s'", temp, final_path(), temp);
    assert_int_equal(system(copy), 0); /* the same bytes in another file */
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_GONE);
    assert_final(SIZE); /* unchanged */
}

static void test_finish_again_compares_the_bytes(void **state) { /* rule 11: inode and size are no proof */
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_DONE);
    int fd = open(final_path(), O_WRONLY);
    assert_int_equal(pwrite(fd, "?", 1, 77), 1);
    close(fd);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_GONE);
}

static void test_finish_wants_every_part(void **state) {
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    disk.parts[2].length--;
    struct task t = disk_upload_finish();
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_INTEGRITY);
    disk.parts[2].length++;
    disk.parts[2].chunk = 1;
    assert_int_equal(disk_upload_finish().result.class, FAIL_INTEGRITY);
    assert_int_equal(access(final_path(), F_OK), -1);
}

static void test_finish_checks_the_size(void **state) {
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    char temp[700];
    temp_path(temp);
    assert_int_equal(truncate(temp, SIZE + 1), 0);
    assert_int_equal(disk_upload_finish().result.class, FAIL_INTEGRITY);
}

static void test_handle_that_is_gone(void **state) { /* rule 10 */
    (void)state;
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    char temp[700];
    temp_path(temp);
    assert_int_equal(unlink(temp), 0);
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(disk_upload_finish().result.outcome, OUTCOME_GONE);
    /* nor another file with the same name */
    int fd = open(temp, O_CREAT | O_WRONLY, 0600), keep = open(disk.source_path, O_RDONLY);
    char longer[sizeof disk.handle + 8];
    snprintf(longer, sizeof longer, "%s0", disk.handle);
    t = task_make(JOB_CHUNK, longer, 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    close(fd);
    close(keep);
}

static void test_handles_are_not_trusted(void **state) {
    (void)state;
    static const char *const bad[] = {"x", "../../etc/passwd:1", ".chunklift-00.part:5", ":", "a:b"};
    disk_upload_begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct task t = task_make(JOB_ABORT, bad[i], 0);
        task_run(&t);
        assert_int_equal(t.result.outcome, OUTCOME_FAILED);
        assert_int_equal(t.result.class, FAIL_REQUEST);
    }
}

static void test_abort_removes_and_may_be_repeated(void **state) {
    (void)state;
    disk_upload_begin();
    disk_chunk_send(1);
    for (int i = 0; i < 2; i++) {
        struct task t = task_make(JOB_ABORT, disk.handle, 0);
        task_run(&t);
        assert_int_equal(t.result.outcome, OUTCOME_DONE);
        char path[400];
        dest_dir(path);
        assert_int_equal(dir_count(path), 0);
    }
}

/* A begin or put was granted and its result is unknown: both names belong to the upload. */
static void test_abort_without_a_handle_removes_both_names(void **state) {
    (void)state;
    char path[400], put[700];
    disk_upload_begin();
    dest_dir(path);
    temp_path(put);
    assert_string_equal(put + strlen(put) - 5, ".part");
    memcpy(put + strlen(put) - 4, "put", 4);
    close(open(put, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(dir_count(path), 2);
    struct task t = task_make(JOB_ABORT, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(dir_count(path), 0);
}

/* The temporary file was replaced: the new one is removed. */
static void test_gone_leaves_nothing(void **state) {
    (void)state;
    char path[400], aside[500], temp[700];
    disk_upload_begin();
    dest_dir(path);
    temp_path(temp);
    snprintf(aside, sizeof aside, "%s/aside", path);
    assert_int_equal(rename(temp, aside), 0);
    close(open(temp, O_CREAT | O_WRONLY, 0600));
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(dir_count(path), 1);
}

static void test_no_byte_after_the_deadline(void **state) { /* rule 5 */
    (void)state;
    disk_upload_begin();
    struct task t = task_make(JOB_CHUNK, disk.handle, 0);
    bool done;
    t.lease_deadline_ms = clock_ms();
    task_start(&t, &done);
    backend_step_all();
    assert_false(done);
    assert_int_equal(t.moved_bytes, 0);
    disk.backend->ops->cancel(disk.backend, &t);
    assert_null(t.backend_state);
    assert_false(done);
    source_close(&t.source);
}

static void test_cancel_in_the_middle(void **state) {
    (void)state;
    disk_upload_begin();
    struct task a = task_make(JOB_CHUNK, disk.handle, 0), b = task_make(JOB_CHUNK, disk.handle, 1);
    bool a_done, b_done;
    task_start(&a, &a_done);
    task_start(&b, &b_done);
    disk.backend->ops->step(disk.backend);
    disk.backend->ops->step(disk.backend);
    disk.backend->ops->cancel(disk.backend, &a);
    backend_step_all();
    assert_false(a_done);
    assert_true(b_done);
    assert_int_equal(b.result.outcome, OUTCOME_DONE);
    source_close(&a.source);
    source_close(&b.source);
}

UNIT_MAIN(TEST(test_chunks_out_of_order_make_the_file), TEST(test_no_more_permissions_than_the_source),
          TEST(test_the_umask_holds_unless_modes_are_kept), TEST(test_finish_cut_off_after_its_mode),
          TEST(test_second_begin_takes_the_first_ones_file), TEST(test_several_chunks_at_a_time_share_a_sync),
          TEST(test_finish_again_after_a_crash_before_its_record), TEST(test_a_repeated_finish_leaves_no_descriptor),
          TEST(test_finish_never_takes_a_foreign_file), TEST(test_finish_again_compares_the_bytes),
          TEST(test_finish_wants_every_part), TEST(test_finish_checks_the_size), TEST(test_handle_that_is_gone),
          TEST(test_handles_are_not_trusted), TEST(test_abort_removes_and_may_be_repeated),
          TEST(test_abort_without_a_handle_removes_both_names), TEST(test_gone_leaves_nothing),
          TEST(test_no_byte_after_the_deadline), TEST(test_cancel_in_the_middle))
