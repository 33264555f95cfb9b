/* Drives the backend like the loop of the uploader: start, then step until done. */
#include "unit.h"

#include "pure/digest.h"
#include "system/clock.h"
#include "system/fileid.h"
#include "system/log.h"
#include "uploader/backend.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536u
#define CHUNKS 4u
#define SIZE (CHUNK * (CHUNKS - 1) + 100)

static char top[256], out[300], source_path[320], allow[320], dest[400];
static struct backend *backend;
static struct roots *roots;
static char *content;
static uint32_t done_count;

static void on_done(struct task *t, void *arg) {
    (void)t;
    *(bool *)arg = true;
    done_count++;
}

static void write_source(size_t size) {
    int fd = open(source_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, size), (ssize_t)size);
    close(fd);
}

static int setup(void **state) {
    (void)state;
    char template[] = "backend-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, top))
        return -1;
    log_setup("chunklift", LOG_ERROR, false);
    snprintf(out, sizeof out, "%s/out", top);
    snprintf(allow, sizeof allow, "file://%s/", out);
    snprintf(dest, sizeof dest, "%sa/b/file.bin", allow);
    snprintf(source_path, sizeof source_path, "%s/source", top);
    content = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (char)(i * 31 + i / 251);
    write_source(SIZE);
    const char *tops[] = {top}, *allows[] = {allow};
    done_count = 0;
    if (roots_new(&roots, tops, 1))
        return -1;
    return backend_file_new(&backend, allows, 1);
}
static int teardown(void **state) {
    (void)state;
    backend->ops->destroy(backend);
    roots_destroy(&roots);
    free(content);
    char command[600];
    snprintf(command, sizeof command, "chmod -R u+w '%s'; rm -rf '%s'", top, top);
    return system(command);
}

/* --- tasks --- */

static struct source_ref planned(void) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(source_path, &st), 0);
    fileid_from_stat(&st, &id);
    return (struct source_ref){.path = slice_of(source_path), .file = id, .boot = slice_of(boot_id())};
}

static struct task make_task(enum job_kind kind, const char *handle, uint32_t chunk) {
    struct task t = {.job = {.ref = {.kind = kind, .upload = {{0xab, 0xcd}}, .chunk = chunk},
                             .source = planned(),
                             .target = {.dest = slice_of(dest)},
                             .handle = slice_of(handle),
                             .chunk_size = CHUNK,
                             .chunks = CHUNKS},
                     .lease_deadline_ms = clock_ms() + 3600000};
    if (kind == JOB_CHUNK) {
        t.job.offset = (uint64_t)chunk * CHUNK;
        t.job.length = chunk == CHUNKS - 1 ? SIZE - t.job.offset : CHUNK;
    } else if (kind == JOB_PUT) {
        t.job.length = t.job.source.file.size;
    }
    return t;
}

static void start_task(struct task *t, bool *done) {
    char why[128];
    *done = false;
    t->done = on_done;
    t->done_arg = done;
    enum job_kind kind = t->job.ref.kind;
    if (kind == JOB_CHUNK || kind == JOB_PUT)
        assert_int_equal(source_open(&t->source, roots, &t->job.source, t->job.offset, t->job.length, why, sizeof why),
                         0);
    assert_int_equal(backend->ops->start(backend, t), 0);
    assert_false(*done); /* never from within start */
}

static void step_all(void) {
    for (int i = 0; i < 1000; i++)
        if (!backend->ops->step(backend))
            return;
    fail_msg("the backend never comes to rest");
}

static void run_task(struct task *t) {
    bool done;
    start_task(t, &done);
    step_all();
    assert_true(done);
    source_close(&t->source);
}

static char handle[PROTO_TEXT_MAX + 1];
static struct part parts[CHUNKS];

static void begin_upload(void) {
    struct task t = make_task(JOB_BEGIN, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    snprintf(handle, sizeof handle, "%s", t.result.handle);
}

static void send_chunk(uint32_t chunk) {
    struct task t = make_task(JOB_CHUNK, handle, chunk);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, content + t.job.offset, t.job.length));
    assert_int_equal(t.result.sent_bytes, t.job.length);
    parts[chunk] = (struct part){.chunk = chunk, .crc = t.result.crc, .length = t.job.length};
}

static struct task finish_task(void) {
    struct task t = make_task(JOB_FINISH, handle, 0);
    t.parts = parts;
    t.part_count = CHUNKS;
    run_task(&t);
    return t;
}

static const char *final_path(void) {
    return dest + strlen("file://");
}

static void assert_final(size_t size) {
    char *got = malloc(size + 1);
    int fd = open(final_path(), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, size + 1), (ssize_t)size);
    assert_memory_equal(got, content, size);
    close(fd);
    free(got);
}

static int count_files(const char *path) {
    DIR *d = opendir(path);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return count;
}

static void dest_dir(char path[400]) {
    snprintf(path, 400, "%s/a/b", out);
}

static void temp_path(char path[700]) {
    snprintf(path, 700, "%s/a/b/%.*s", out, (int)(strchr(handle, ':') - handle), handle);
}

/* --- an upload of chunks --- */

static void test_chunks_out_of_order_make_the_file(void **state) {
    (void)state;
    begin_upload();
    send_chunk(3);
    send_chunk(0);
    send_chunk(2);
    assert_int_equal(access(final_path(), F_OK), -1); /* not visible before finish */
    send_chunk(1);
    struct task t = finish_task();
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, content, SIZE));
    assert_int_equal(t.result.size, SIZE);
    assert_final(SIZE);
    char path[400];
    dest_dir(path);
    assert_int_equal(count_files(path), 1);
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
        assert_int_equal(chmod(source_path, modes[i] ? modes[i] : 0644), 0);
        begin_upload();
        assert_int_equal(temp_mode(), 0600);
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            send_chunk(chunk);
        struct task t = make_task(JOB_FINISH, handle, 0);
        t.parts = parts;
        t.part_count = CHUNKS;
        if (modes[i] == 0)
            t.job.source.file.mode = 0; /* unknown: from a producer that does not send it */
        run_task(&t);
        assert_int_equal(t.result.outcome, OUTCOME_DONE);
        assert_int_equal(mode_of(final_path()), modes[i] ? modes[i] & 0777 : 0600);
    }
    umask(027);
    backend->ops->destroy(backend);
    const char *allows[] = {allow};
    assert_int_equal(backend_file_new(&backend, allows, 1), 0);
    umask(mask);
    assert_int_equal(chmod(source_path, 0666), 0);
    struct task put = make_task(JOB_PUT, "", 0);
    run_task(&put);
    assert_int_equal(put.result.outcome, OUTCOME_DONE);
    assert_int_equal(mode_of(final_path()), 0640);
}

static void test_finish_cut_off_after_its_mode(void **state) {
    (void)state;
    begin_upload();
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        send_chunk(chunk);
    char path[700];
    temp_path(path);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(finish_task().result.outcome, OUTCOME_DONE);
    assert_final(SIZE);
}

static void test_second_begin_takes_the_first_ones_file(void **state) {
    (void)state;
    begin_upload();
    char first[sizeof handle];
    memcpy(first, handle, sizeof first);
    send_chunk(2);
    begin_upload();
    assert_string_equal(handle, first);
    send_chunk(0);
    send_chunk(1);
    send_chunk(3);
    assert_int_equal(finish_task().result.outcome, OUTCOME_DONE);
    assert_final(SIZE); /* chunk 2 is complete too */
}

static void test_several_chunks_at_a_time_share_a_sync(void **state) {
    (void)state;
    begin_upload();
    struct task tasks[CHUNKS];
    bool done[CHUNKS];
    for (uint32_t i = 0; i < CHUNKS; i++) {
        tasks[i] = make_task(JOB_CHUNK, handle, i);
        start_task(&tasks[i], &done[i]);
    }
    uint32_t before = done_count;
    int with_news = 0;
    for (bool again = true; again;) {
        uint32_t count = done_count;
        again = backend->ops->step(backend);
        with_news += done_count != count;
    }
    assert_int_equal(done_count - before, CHUNKS);
    assert_int_equal(with_news, 1); /* one fdatasync for all */
    for (uint32_t i = 0; i < CHUNKS; i++)
        source_close(&tasks[i].source);
}

static void test_finish_again_after_a_crash_before_its_record(void **state) { /* rule 11 */
    (void)state;
    begin_upload();
    for (uint32_t i = 0; i < CHUNKS; i++)
        send_chunk(i);
    assert_int_equal(finish_task().result.outcome, OUTCOME_DONE);
    struct task t = finish_task(); /* without a record of the first finish */
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, content, SIZE));
    assert_int_equal(t.result.size, SIZE);
    assert_final(SIZE);
}

static void test_finish_never_takes_a_foreign_file(void **state) { /* rule 11 */
    (void)state;
    begin_upload();
    for (uint32_t i = 0; i < CHUNKS; i++)
        send_chunk(i);
    char temp[700], copy[2000];
    temp_path(temp);
    snprintf(copy, sizeof copy, "cp '%s' '%s' && rm '%s'", temp, final_path(), temp);
    assert_int_equal(system(copy), 0); /* the same bytes in another file */
    assert_int_equal(finish_task().result.outcome, OUTCOME_GONE);
    assert_final(SIZE); /* unchanged */
}

static void test_finish_again_compares_the_bytes(void **state) { /* rule 11: inode and size are no proof */
    (void)state;
    begin_upload();
    for (uint32_t i = 0; i < CHUNKS; i++)
        send_chunk(i);
    assert_int_equal(finish_task().result.outcome, OUTCOME_DONE);
    int fd = open(final_path(), O_WRONLY);
    assert_int_equal(pwrite(fd, "?", 1, 77), 1);
    close(fd);
    assert_int_equal(finish_task().result.outcome, OUTCOME_GONE);
}

static void test_finish_wants_every_part(void **state) {
    (void)state;
    begin_upload();
    for (uint32_t i = 0; i < CHUNKS; i++)
        send_chunk(i);
    parts[2].length--;
    struct task t = finish_task();
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_INTEGRITY);
    parts[2].length++;
    parts[2].chunk = 1;
    assert_int_equal(finish_task().result.class, FAIL_INTEGRITY);
    assert_int_equal(access(final_path(), F_OK), -1);
}

static void test_finish_checks_the_size(void **state) {
    (void)state;
    begin_upload();
    for (uint32_t i = 0; i < CHUNKS; i++)
        send_chunk(i);
    char temp[700];
    temp_path(temp);
    assert_int_equal(truncate(temp, SIZE + 1), 0);
    assert_int_equal(finish_task().result.class, FAIL_INTEGRITY);
}

static void test_handle_that_is_gone(void **state) { /* rule 10 */
    (void)state;
    begin_upload();
    for (uint32_t i = 0; i < CHUNKS; i++)
        send_chunk(i);
    char temp[700];
    temp_path(temp);
    assert_int_equal(unlink(temp), 0);
    struct task t = make_task(JOB_CHUNK, handle, 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(finish_task().result.outcome, OUTCOME_GONE);
    /* nor another file with the same name */
    int fd = open(temp, O_CREAT | O_WRONLY, 0600), keep = open(source_path, O_RDONLY);
    char longer[sizeof handle + 8];
    snprintf(longer, sizeof longer, "%s0", handle);
    t = make_task(JOB_CHUNK, longer, 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    close(fd);
    close(keep);
}

static void test_handles_are_not_trusted(void **state) {
    (void)state;
    static const char *const bad[] = {"x", "../../etc/passwd:1", ".chunklift-00.part:5", ":", "a:b"};
    begin_upload();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct task t = make_task(JOB_ABORT, bad[i], 0);
        run_task(&t);
        assert_int_equal(t.result.outcome, OUTCOME_FAILED);
        assert_int_equal(t.result.class, FAIL_REQUEST);
    }
}

static void test_abort_removes_and_may_be_repeated(void **state) {
    (void)state;
    begin_upload();
    send_chunk(1);
    for (int i = 0; i < 2; i++) {
        struct task t = make_task(JOB_ABORT, handle, 0);
        run_task(&t);
        assert_int_equal(t.result.outcome, OUTCOME_DONE);
        char path[400];
        dest_dir(path);
        assert_int_equal(count_files(path), 0);
    }
}

/* A begin or put was granted and its result is unknown: both names belong to the upload. */
static void test_abort_without_a_handle_removes_both_names(void **state) {
    (void)state;
    char path[400], put[700];
    begin_upload();
    dest_dir(path);
    temp_path(put);
    assert_string_equal(put + strlen(put) - 5, ".part");
    memcpy(put + strlen(put) - 4, "put", 4);
    close(open(put, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(count_files(path), 2);
    struct task t = make_task(JOB_ABORT, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(count_files(path), 0);
}

/* The temporary file was replaced: the new one is removed. */
static void test_gone_leaves_nothing(void **state) {
    (void)state;
    char path[400], aside[500], temp[700];
    begin_upload();
    dest_dir(path);
    temp_path(temp);
    snprintf(aside, sizeof aside, "%s/aside", path);
    assert_int_equal(rename(temp, aside), 0);
    close(open(temp, O_CREAT | O_WRONLY, 0600));
    struct task t = make_task(JOB_CHUNK, handle, 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_GONE);
    assert_int_equal(count_files(path), 1);
}

static void test_no_byte_after_the_deadline(void **state) { /* rule 5 */
    (void)state;
    begin_upload();
    struct task t = make_task(JOB_CHUNK, handle, 0);
    bool done;
    t.lease_deadline_ms = clock_ms();
    start_task(&t, &done);
    step_all();
    assert_false(done);
    assert_int_equal(t.moved_bytes, 0);
    backend->ops->cancel(backend, &t);
    assert_null(t.backend_state);
    assert_false(done);
    source_close(&t.source);
}

static void test_cancel_in_the_middle(void **state) {
    (void)state;
    begin_upload();
    struct task a = make_task(JOB_CHUNK, handle, 0), b = make_task(JOB_CHUNK, handle, 1);
    bool a_done, b_done;
    start_task(&a, &a_done);
    start_task(&b, &b_done);
    backend->ops->step(backend);
    backend->ops->step(backend);
    backend->ops->cancel(backend, &a);
    step_all();
    assert_false(a_done);
    assert_true(b_done);
    assert_int_equal(b.result.outcome, OUTCOME_DONE);
    source_close(&a.source);
    source_close(&b.source);
}

/* --- put, head --- */

static void test_put_makes_directories_and_file(void **state) {
    (void)state;
    struct task t = make_task(JOB_PUT, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, content, SIZE));
    assert_int_equal(t.result.size, SIZE);
    assert_final(SIZE);
    char path[400];
    dest_dir(path);
    assert_int_equal(count_files(path), 1);
}

static void test_put_replaces_and_empty_files_are_put(void **state) {
    (void)state;
    struct task t = make_task(JOB_PUT, "", 0);
    run_task(&t);
    write_source(0);
    t = make_task(JOB_PUT, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, 0);
    assert_final(0);
}

static void test_put_of_a_file_that_changed_replaces_nothing(void **state) {
    (void)state;
    struct task t = make_task(JOB_PUT, "", 0);
    bool done;
    start_task(&t, &done);
    backend->ops->step(backend); /* open */
    backend->ops->step(backend); /* write */
    write_source(SIZE - 1);
    step_all();
    assert_true(done);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_CHANGED);
    assert_int_equal(access(final_path(), F_OK), -1);
    char path[400];
    dest_dir(path);
    assert_int_equal(count_files(path), 0);
    source_close(&t.source);
}

static void test_put_that_shrinks_while_read(void **state) {
    (void)state;
    struct task t = make_task(JOB_PUT, "", 0);
    bool done;
    start_task(&t, &done);
    backend->ops->step(backend);
    assert_int_equal(truncate(source_path, 10), 0);
    step_all();
    assert_int_equal(t.result.class, FAIL_CHANGED);
    assert_int_equal(access(final_path(), F_OK), -1);
    source_close(&t.source);
}

static void test_two_puts_of_one_upload_do_not_mix(void **state) {
    (void)state;
    struct task first = make_task(JOB_PUT, "", 0), second = make_task(JOB_PUT, "", 0);
    bool first_done;
    start_task(&first, &first_done);
    backend->ops->step(backend);
    char temp[500];
    snprintf(temp, sizeof temp, "%s/a/b/.chunklift-abcd0000000000000000000000000000.put", out);
    int other = open(temp, O_RDWR);
    assert_true(other >= 0);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1); /* locked during the write */
    close(other);
    step_all();
    assert_true(first_done);
    other = open(temp, O_RDWR | O_CREAT, 0600); /* held by another live uploader */
    assert_int_equal(flock(other, LOCK_EX), 0);
    run_task(&second);
    assert_int_equal(second.result.outcome, OUTCOME_FAILED);
    assert_true(second.result.transient);
    assert_int_equal(access(temp, F_OK), 0);
    close(other); /* that uploader died and left a half-written file */
    second = make_task(JOB_PUT, "", 0);
    run_task(&second);
    assert_int_equal(second.result.outcome, OUTCOME_DONE);
    assert_final(SIZE);
    source_close(&first.source);
}

static void test_cancelled_put_leaves_nothing(void **state) {
    (void)state;
    struct task t = make_task(JOB_PUT, "", 0);
    bool done;
    start_task(&t, &done);
    backend->ops->step(backend);
    backend->ops->step(backend);
    backend->ops->cancel(backend, &t);
    char path[400];
    dest_dir(path);
    assert_int_equal(count_files(path), 0);
    source_close(&t.source);
}

static void test_head(void **state) {
    (void)state;
    struct task t = make_task(JOB_STAT, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_false(t.result.exists);
    struct task put = make_task(JOB_PUT, "", 0);
    run_task(&put);
    t = make_task(JOB_STAT, "", 0);
    run_task(&t);
    assert_true(t.result.exists);
    assert_int_equal(t.result.size, SIZE);
    assert_int_equal(unlink(final_path()), 0);
    assert_int_equal(mkdir(final_path(), 0700), 0);
    t = make_task(JOB_STAT, "", 0);
    run_task(&t);
    assert_false(t.result.exists);
}

/* --- destinations that cannot be written --- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_no_more_permissions_than_the_source), TEST(test_finish_cut_off_after_its_mode),
          TEST(test_chunks_out_of_order_make_the_file), TEST(test_second_begin_takes_the_first_ones_file),
          TEST(test_several_chunks_at_a_time_share_a_sync), TEST(test_finish_again_after_a_crash_before_its_record),
          TEST(test_finish_never_takes_a_foreign_file), TEST(test_finish_again_compares_the_bytes),
          TEST(test_finish_wants_every_part), TEST(test_finish_checks_the_size), TEST(test_handle_that_is_gone),
          TEST(test_handles_are_not_trusted), TEST(test_abort_removes_and_may_be_repeated),
          TEST(test_abort_without_a_handle_removes_both_names), TEST(test_gone_leaves_nothing),
          TEST(test_no_byte_after_the_deadline), TEST(test_cancel_in_the_middle),
          TEST(test_put_makes_directories_and_file), TEST(test_put_replaces_and_empty_files_are_put),
          TEST(test_put_of_a_file_that_changed_replaces_nothing), TEST(test_put_that_shrinks_while_read),
          TEST(test_two_puts_of_one_upload_do_not_mix), TEST(test_cancelled_put_leaves_nothing), TEST(test_head),
          TEST(test_final_name_is_a_directory), TEST(test_parent_is_a_file), TEST(test_destination_does_not_lead_out),
          TEST(test_allowed_name_is_the_file_itself), TEST(test_names_too_long_and_names_just_long_enough),
          TEST(test_unwritable_directory), TEST(test_full_file_system))
