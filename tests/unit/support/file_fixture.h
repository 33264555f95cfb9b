/* A file:// backend on a temporary directory with one source file: shared by the tests of
 * uploader/file. It is driven like by the loop of the uploader: start, then step until done. */
#ifndef CHUNKLIFT_FILE_FIXTURE_H
#define CHUNKLIFT_FILE_FIXTURE_H

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

static inline void fixture_on_done(struct task *t, void *arg) {
    (void)t;
    *(bool *)arg = true;
    done_count++;
}

static inline void write_source(size_t size) {
    int fd = open(source_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, size), (ssize_t)size);
    close(fd);
}

static inline int setup(void **state) {
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
static inline int teardown(void **state) {
    (void)state;
    backend->ops->destroy(backend);
    roots_destroy(&roots);
    free(content);
    char command[600];
    snprintf(command, sizeof command, "chmod -R u+w '%s'; rm -rf '%s'", top, top);
    return system(command);
}

/* --- tasks --- */

static inline struct source_ref planned(void) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(source_path, &st), 0);
    fileid_from_stat(&st, &id);
    return (struct source_ref){.path = slice_of(source_path), .file = id, .boot = slice_of(boot_id())};
}

static inline struct task make_task(enum job_kind kind, const char *handle, uint32_t chunk) {
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

static inline void start_task(struct task *t, bool *done) {
    char why[128];
    *done = false;
    t->done = fixture_on_done;
    t->done_arg = done;
    enum job_kind kind = t->job.ref.kind;
    if (kind == JOB_CHUNK || kind == JOB_PUT)
        assert_int_equal(source_open(&t->source, roots, &t->job.source, t->job.offset, t->job.length, why, sizeof why),
                         0);
    assert_int_equal(backend->ops->start(backend, t), 0);
    assert_false(*done); /* never from within start */
}

static inline void step_all(void) {
    for (int i = 0; i < 1000; i++)
        if (!backend->ops->step(backend))
            return;
    fail_msg("the backend never comes to rest");
}

static inline void run_task(struct task *t) {
    bool done;
    start_task(t, &done);
    step_all();
    assert_true(done);
    source_close(&t->source);
}

static char handle[PROTO_TEXT_MAX + 1];
static struct part parts[CHUNKS];

static inline void begin_upload(void) {
    struct task t = make_task(JOB_BEGIN, "", 0);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    snprintf(handle, sizeof handle, "%s", t.result.handle);
}

static inline void send_chunk(uint32_t chunk) {
    struct task t = make_task(JOB_CHUNK, handle, chunk);
    run_task(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, content + t.job.offset, t.job.length));
    assert_int_equal(t.result.sent_bytes, t.job.length);
    parts[chunk] = (struct part){.chunk = chunk, .crc = t.result.crc, .length = t.job.length};
}

static inline struct task finish_task(void) {
    struct task t = make_task(JOB_FINISH, handle, 0);
    t.parts = parts;
    t.part_count = CHUNKS;
    run_task(&t);
    return t;
}

static inline const char *final_path(void) {
    return dest + strlen("file://");
}

static inline void assert_final(size_t size) {
    char *got = malloc(size + 1);
    int fd = open(final_path(), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, size + 1), (ssize_t)size);
    assert_memory_equal(got, content, size);
    close(fd);
    free(got);
}

static inline int count_files(const char *path) {
    DIR *d = opendir(path);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return count;
}

static inline void dest_dir(char path[400]) {
    snprintf(path, 400, "%s/a/b", out);
}

/* The task made the file, and left no other file beside it. */
static inline void assert_made_the_file(const struct task *t) {
    char path[400];
    assert_int_equal(t->result.outcome, OUTCOME_DONE);
    assert_int_equal(t->result.crc, crc32c_add(0, content, SIZE));
    assert_int_equal(t->result.size, SIZE);
    assert_final(SIZE);
    dest_dir(path);
    assert_int_equal(count_files(path), 1);
}

static inline void temp_path(char path[700]) {
    snprintf(path, 700, "%s/a/b/%.*s", out, (int)(strchr(handle, ':') - handle), handle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
