#include "planner_support.h"

struct planner planner;
char planner_root[TEMP_DIR_SIZE];
struct reported reported;

static void reported_started(void *arg, const struct producer_file_view *file) {
    (void)arg;
    assert_non_null(file->path);
    reported.started++;
}

static void reported_progress(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                              struct slice worker) {
    (void)arg, (void)worker;
    assert_true(chunk < file->chunks && length > 0);
    reported.progressed++;
}

static void reported_done(void *arg, const struct producer_file_view *file, double seconds) {
    (void)arg;
    assert_int_equal(file->done_bytes, file->size);
    assert_true(seconds >= 0);
    reported.done++;
}

static void reported_skipped(void *arg, const struct producer_file_view *file) {
    (void)arg, (void)file;
    reported.skipped++;
}

static void reported_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg;
    reported.failed++;
    reported.class = class;
    snprintf(reported.failed_path, sizeof reported.failed_path, "%s", path);
    snprintf(reported.reason, sizeof reported.reason, "%s", reason);
}

static void reported_notice(void *arg, const char *text) {
    (void)arg;
    reported.notices++;
    snprintf(reported.notice, sizeof reported.notice, "%s", text);
}

const struct producer_events reported_events = {
    NULL, reported_started, reported_progress, reported_done, reported_skipped, reported_failed, reported_notice};

int planner_set_up(void **state) {
    (void)state;
    memset(&reported, 0, sizeof reported);
    temp_dir_enter(planner_root);
    return 0;
}

int planner_tear_down(void **state) {
    (void)state;
    planner_release(&planner);
    return temp_dir_leave(planner_root);
}

void planner_start(const char *dest, bool force, enum on_change on_change) {
    static const char *const given[] = {"src"};
    struct producer_config config = {.sources = given,
                                     .source_count = 1,
                                     .dest = dest,
                                     .recursive = true,
                                     .force = force,
                                     .on_change = on_change,
                                     .chunk_size = strncmp(dest, "s3://", 5) == 0 ? 5 * MIB : CHUNK,
                                     .unserved_wait_ms = 60000};
    bool more;
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
    do
        assert_int_equal(scan_step(&planner, 1000, &more), 0);
    while (more);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
}

struct id128 upload_id(unsigned n) {
    struct id128 id = {.b = {0xab, (uint8_t)n}};
    return id;
}

size_t planner_request(uint64_t now_ms, uint64_t number, struct plan_file *list) {
    struct file *asked[PLAN_FILES_MAX];
    size_t count = plan_pick(&planner, now_ms, list, asked, PLAN_FILES_MAX);
    plan_note_sent(asked, count, number, now_ms);
    return count;
}

void planner_answer(uint64_t now_ms, uint64_t number, struct planned_file *files, size_t count) {
    struct msg_planned m = {.files = files, .file_count = count};
    assert_int_equal(plan_apply(&planner, now_ms, number, &m), 0);
}

void planner_plan_one(uint64_t now_ms, struct planned_file p) {
    struct plan_file list[PLAN_FILES_MAX];
    static uint64_t number = 1000;
    assert_int_equal(planner_request(now_ms, ++number, list), 1);
    p.index = list[0].index;
    planner_answer(now_ms, number, &p, 1);
}

size_t planner_offer_all(uint64_t now_ms, struct job *jobs, size_t max) {
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

void planner_receive(uint64_t now_ms, struct event *events, size_t event_count, struct record *records,
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

void planner_receive_event(uint64_t now_ms, enum event_kind kind, const struct ref *ref, enum why why,
                           uint32_t after_ms) {
    struct event e = {.ref = *ref, .kind = kind, .why = why, .after_ms = after_ms, .worker = slice_of("host/1")};
    planner_receive(now_ms, &e, 1, NULL, 0);
}

struct record record_of_chunk(const struct file *f, uint32_t chunk) {
    return (struct record){.ev = EV_CHUNK,
                           .has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_WORKER | HAS_MS,
                           .upload = f->upload,
                           .chunk = chunk,
                           .offset = geometry_offset(&f->geometry, chunk),
                           .length = geometry_length(&f->geometry, chunk),
                           .worker = slice_of("host/1")};
}

void planner_receive_record(uint64_t now_ms, struct record r) {
    planner_receive(now_ms, NULL, 0, &r, 1);
}

struct record record_of_begin(const struct file *f) {
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

struct record record_of_finish(const struct file *f) {
    return (struct record){.ev = EV_FINISH,
                           .has = HAS_UPLOAD | HAS_DEST | HAS_CRC | HAS_MS,
                           .upload = f->upload,
                           .dest = slice_of(f->dest),
                           .file.size = f->id.size};
}

struct record record_of_fail(const struct file *f, const char *class, const char *error) {
    return (struct record){
        .ev = EV_FAIL, .has = HAS_UPLOAD, .upload = f->upload, .class = slice_of(class), .error = slice_of(error)};
}

struct record record_of_abort(const struct id128 *upload, const char *reason) {
    return (struct record){.ev = EV_ABORT, .has = HAS_UPLOAD, .upload = *upload, .reason = slice_of(reason)};
}
