/* A planner on a temporary directory. The test plays the consumer (answers to PLAN, journal lines, events) and sets the
 * time. */
#ifndef CHUNKLIFT_TEST_PLANNER_SUPPORT_H
#define CHUNKLIFT_TEST_PLANNER_SUPPORT_H

#include "journal/record.h"
#include "producer/planner.h"
#include "unit.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK CHUNK_ALIGN

static struct planner planner;
static char root[2048];
static struct reported {
    unsigned started, progressed, done, skipped, failed, notices;
    char failed_path[4096], reason[2048], notice[2048];
    enum fail_class class;
} reported;

static inline void report_started(void *arg, const struct producer_file_view *file) {
    (void)arg;
    assert_non_null(file->path);
    reported.started++;
}
static inline void report_progress(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                                   struct slice worker) {
    (void)arg, (void)worker;
    assert_true(chunk < file->chunks && length > 0);
    reported.progressed++;
}
static inline void report_done(void *arg, const struct producer_file_view *file, double seconds) {
    (void)arg;
    assert_int_equal(file->done_bytes, file->size);
    assert_true(seconds >= 0);
    reported.done++;
}
static inline void report_skipped(void *arg, const struct producer_file_view *file) {
    (void)arg, (void)file;
    reported.skipped++;
}
static inline void report_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg;
    reported.failed++;
    reported.class = class;
    snprintf(reported.failed_path, sizeof reported.failed_path, "%s", path);
    snprintf(reported.reason, sizeof reported.reason, "%s", reason);
}
static inline void report_notice(void *arg, const char *text) {
    (void)arg;
    reported.notices++;
    snprintf(reported.notice, sizeof reported.notice, "%s", text);
}

static inline void make_file(const char *path, uint64_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static inline int planner_set_up(void **state) {
    char name[] = "planner-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(name));
    char *real = realpath(name, NULL);
    assert_non_null(real);
    snprintf(root, sizeof root, "%s", real);
    free(real);
    memset(&reported, 0, sizeof reported);
    return chdir(root);
}

static inline int planner_tear_down(void **state) {
    char command[2 * sizeof root];
    (void)state;
    planner_release(&planner);
    if (chdir("..") != 0)
        return 1;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command) != 0;
}

/* Starts the planner on SRC "src" (a file or a tree in the temporary directory). */
static inline void start_planner(const char *dest, bool force, enum on_change on_change) {
    static const char *const given[] = {"src"};
    static const struct producer_events events = {NULL,           report_started, report_progress, report_done,
                                                  report_skipped, report_failed,  report_notice};
    struct producer_config config = {.sources = given,
                                     .source_count = 1,
                                     .dest = dest,
                                     .recursive = true,
                                     .force = force,
                                     .on_change = on_change,
                                     .chunk_size = strncmp(dest, "s3://", 5) == 0 ? 5 * MIB : CHUNK,
                                     .unserved_wait_ms = 60000};
    bool more;
    assert_int_equal(planner_init(&planner, &config, &events), 0);
    do
        assert_int_equal(scan_step(&planner, 1000, &more), 0);
    while (more);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
}

static inline struct id128 make_id(unsigned n) {
    struct id128 id = {.b = {0xab, (uint8_t)n}};
    return id;
}

/* Requests all due files under this number. */
static inline size_t ask(uint64_t now_ms, uint64_t number, struct plan_file *list) {
    struct file *asked[PLAN_FILES_MAX];
    size_t count = plan_pick(&planner, now_ms, list, asked, PLAN_FILES_MAX);
    plan_note_sent(asked, count, number, now_ms);
    return count;
}

static inline void answer(uint64_t now_ms, uint64_t number, struct planned_file *files, size_t count) {
    struct msg_planned m = {.files = files, .file_count = count};
    assert_int_equal(plan_apply(&planner, now_ms, number, &m), 0);
}

/* Requests the only file, and answers. */
static inline void plan_one(uint64_t now_ms, struct planned_file p) {
    struct plan_file list[PLAN_FILES_MAX];
    static uint64_t number = 1000;
    assert_int_equal(ask(now_ms, ++number, list), 1);
    p.index = list[0].index;
    answer(now_ms, number, &p, 1);
}

/* Sends all offers that are possible; jobs: of all messages, in order. */
static inline size_t offer_all(uint64_t now_ms, struct job *jobs, size_t max) {
    struct offer *picked[OFFER_JOBS];
    size_t count = 0, n;
    assert_int_equal(jobs_refill(&planner, now_ms), 0);
    while ((n = jobs_pick(&planner, picked, OFFER_JOBS)) > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_true(count < max);
            jobs_build(&planner, picked[i], &jobs[count++]);
        }
        jobs_sent(&planner, picked, n, now_ms);
    }
    return count;
}

/* RECORDS with these events and records; the fleet is unchanged. */
static inline void receive(uint64_t now_ms, struct event *events, size_t event_count, struct record *records,
                           size_t record_count) {
    struct chain chain;
    struct buf lines = BUF_INIT;
    assert_int_equal(chain_init(&chain), 0);
    for (size_t i = 0; i < record_count; i++) {
        records[i].seq = i + 1;
        records[i].batch = 1;
        assert_int_equal(record_encode(&records[i], &chain, &lines), 0);
    }
    struct msg_records m = {.epoch = 1,
                            .lines = buf_slice(&lines),
                            .line_count = (uint32_t)record_count,
                            .events = events,
                            .event_count = event_count,
                            .fleet = planner.fleet};
    assert_int_equal(track_records(&planner, now_ms, &m), 0);
    buf_release(&lines);
    chain_release(&chain);
}

static inline void receive_event(uint64_t now_ms, enum event_kind kind, const struct ref *ref, enum why why,
                                 uint32_t after_ms) {
    struct event e = {.ref = *ref, .kind = kind, .why = why, .after_ms = after_ms, .worker = slice_of("host/1")};
    receive(now_ms, &e, 1, NULL, 0);
}

static inline struct record chunk_record(const struct file *f, uint32_t chunk) {
    return (struct record){.ev = EV_CHUNK,
                           .has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_WORKER | HAS_MS,
                           .upload = f->upload,
                           .chunk = chunk,
                           .offset = geometry_offset(&f->geometry, chunk),
                           .length = geometry_length(&f->geometry, chunk),
                           .worker = slice_of("host/1")};
}

static inline void receive_record(uint64_t now_ms, struct record r) {
    receive(now_ms, NULL, 0, &r, 1);
}

static inline struct record begin_record(const struct file *f) {
    return (struct record){.ev = EV_BEGIN,
                           .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_GEOMETRY | HAS_HANDLE,
                           .upload = f->upload,
                           .src = slice_of(f->path),
                           .dest = slice_of(f->dest),
                           .source = slice_of(""),
                           .endpoint = slice_of(""),
                           .file = f->id,
                           .chunk_size = f->wanted_geometry.chunk_size,
                           .chunks = f->wanted_geometry.chunks,
                           .handle = slice_of("handle-1")};
}

static inline struct record finish_record(const struct file *f) {
    return (struct record){.ev = EV_FINISH,
                           .has = HAS_UPLOAD | HAS_DEST | HAS_CRC | HAS_MS,
                           .upload = f->upload,
                           .dest = slice_of(f->dest),
                           .file.size = f->id.size};
}

static inline struct record fail_record(const struct file *f, const char *class, const char *error) {
    return (struct record){
        .ev = EV_FAIL, .has = HAS_UPLOAD, .upload = f->upload, .class = slice_of(class), .error = slice_of(error)};
}

static inline struct record abort_record(const struct id128 *upload, const char *reason) {
    return (struct record){.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = *upload, .reason = slice_of(reason)};
}

#endif
