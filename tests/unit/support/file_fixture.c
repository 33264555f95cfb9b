#include "file_fixture.h"

struct file_fixture disk;

static void file_fixture_on_done(struct task *t, void *arg) {
    (void)t;
    *(bool *)arg = true;
    disk.done_count++;
}

void source_write(size_t size) {
    int fd = open(disk.source_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, disk.content, size), (ssize_t)size);
    close(fd);
}

int file_fixture_setup(void **state) {
    (void)state;
    char template[] = "backend-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, disk.top))
        return -1;
    log_setup("chunklift", LOG_ERROR, false);
    snprintf(disk.out, sizeof disk.out, "%s/out", disk.top);
    snprintf(disk.allow, sizeof disk.allow, "file://%s/", disk.out);
    snprintf(disk.dest, sizeof disk.dest, "%sa/b/file.bin", disk.allow);
    snprintf(disk.source_path, sizeof disk.source_path, "%s/source", disk.top);
    disk.content = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        disk.content[i] = (char)(i * 31 + i / 251);
    source_write(SIZE);
    const char *tops[] = {disk.top}, *allows[] = {disk.allow};
    disk.done_count = 0;
    if (roots_new(&disk.roots, tops, 1))
        return -1;
    return backend_file_new(&disk.backend, allows, 1);
}

int file_fixture_teardown(void **state) {
    (void)state;
    disk.backend->ops->destroy(disk.backend);
    roots_destroy(&disk.roots);
    free(disk.content);
    char command[600];
    snprintf(command, sizeof command, "chmod -R u+w '%s'; rm -rf '%s'", disk.top, disk.top);
    return system(command);
}

/* --- tasks --- */

static struct source_ref source_planned(void) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(disk.source_path, &st), 0);
    fileid_from_stat(&st, &id);
    return (struct source_ref){.path = slice_of(disk.source_path), .file = id, .boot = slice_of(boot_id())};
}

struct task task_make(enum job_kind kind, const char *handle, uint32_t chunk) {
    struct task t = {.job = {.ref = {.kind = kind, .upload = {{0xab, 0xcd}}, .chunk = chunk},
                             .source = source_planned(),
                             .target = {.dest = slice_of(disk.dest)},
                             .handle = slice_of(handle),
                             .chunk_size = CHUNK,
                             .chunks = CHUNKS},
                     .properties = &properties_none,
                     .lease_deadline_ms = clock_ms() + 3600000};
    if (kind == JOB_CHUNK) {
        t.job.offset = (uint64_t)chunk * CHUNK;
        t.job.length = chunk == CHUNKS - 1 ? SIZE - t.job.offset : CHUNK;
    } else if (kind == JOB_PUT) {
        t.job.length = t.job.source.file.size;
    }
    return t;
}

void task_start(struct task *t, bool *done) {
    char why[128];
    *done = false;
    t->done = file_fixture_on_done;
    t->done_arg = done;
    enum job_kind kind = t->job.ref.kind;
    if (kind == JOB_CHUNK || kind == JOB_PUT)
        assert_int_equal(
            source_open(&t->source, disk.roots, &t->job.source, t->job.offset, t->job.length, why, sizeof why), 0);
    assert_int_equal(disk.backend->ops->start(disk.backend, t), 0);
    assert_false(*done); /* never from within start */
}

void backend_step_all(void) {
    for (int i = 0; i < 1000; i++)
        if (!disk.backend->ops->step(disk.backend))
            return;
    fail_msg("the backend never comes to rest");
}

void task_run(struct task *t) {
    bool done;
    task_start(t, &done);
    backend_step_all();
    assert_true(done);
    source_close(&t->source);
}

void disk_upload_begin(void) {
    struct task t = task_make(JOB_BEGIN, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    snprintf(disk.handle, sizeof disk.handle, "%s", t.result.handle);
}

void disk_chunk_send(uint32_t chunk) {
    struct task t = task_make(JOB_CHUNK, disk.handle, chunk);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.crc, crc32c_add(0, disk.content + t.job.offset, t.job.length));
    assert_int_equal(t.result.sent_bytes, t.job.length);
    disk.parts[chunk] = (struct part){.chunk = chunk, .crc = t.result.crc, .length = t.job.length};
}

struct task disk_upload_finish(void) {
    struct task t = task_make(JOB_FINISH, disk.handle, 0);
    t.parts = disk.parts;
    t.part_count = CHUNKS;
    task_run(&t);
    return t;
}

const char *final_path(void) {
    return disk.dest + strlen("file://");
}

void assert_final(size_t size) {
    char *got = malloc(size + 1);
    int fd = open(final_path(), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, size + 1), (ssize_t)size);
    assert_memory_equal(got, disk.content, size);
    close(fd);
    free(got);
}

void dest_dir(char path[400]) {
    snprintf(path, 400, "%s/a/b", disk.out);
}

void assert_made_the_file(const struct task *t) {
    char path[400];
    assert_int_equal(t->result.outcome, OUTCOME_DONE);
    assert_int_equal(t->result.crc, crc32c_add(0, disk.content, SIZE));
    assert_int_equal(t->result.size, SIZE);
    assert_int_equal(t->result.source_checked, t->job.ref.kind == JOB_PUT);
    assert_final(SIZE);
    dest_dir(path);
    assert_int_equal(dir_count(path), 1);
}

void temp_path(char path[700]) {
    snprintf(path, 700, "%s/a/b/%.*s", disk.out, (int)(strchr(disk.handle, ':') - disk.handle), disk.handle);
}
