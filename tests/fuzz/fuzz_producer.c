/*
 * Any answers of a consumer to a producer: PLANNED, RECORDS with the journal's lines and events, in any order. Input:
 * steps of a length (two bytes, little-endian) and as many bytes of a message; a message that cannot be read lets that
 * many milliseconds pass. A RECORDS without lines takes the next step's bytes as such, with the head and tail of a line
 * put around each: so records need no seq, time and h to be understood.
 *   - it reports unreadable entries, and nothing else is an error;
 *   - its offers are jobs that fit their files: ranges by the geometry, sources and destinations its own;
 *   - its counts agree with each other.
 * Seeds: corpus/producer.
 */
#include "journal/record.h"
#include "producer/planner.h"
#include "pure/check.h"
#include "scratch.h"
#include "system/log.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define STEPS_MAX 100
#define FILES 4

static struct planner planner;
static uint64_t now_ms, number;
static char source_dir[512], dest_dir[512];
static struct { uint64_t done, failed, skipped, progressed; } told;

/* --- callbacks --- */

static void on_progress(void *arg, const struct producer_file_view *f, uint32_t chunk, uint64_t length,
                        struct slice worker) {
    (void)arg, (void)worker;
    CHECK(chunk < f->chunks && length > 0 && f->done_bytes <= f->size && f->chunks_done <= f->chunks);
    told.progressed++;
}
static void on_done(void *arg, const struct producer_file_view *f, double seconds) {
    (void)arg, (void)seconds;
    CHECK(f->done_bytes == f->size);
    told.done++;
}
static void on_skipped(void *arg, const struct producer_file_view *f) {
    (void)arg, (void)f;
    told.skipped++;
}
static void on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg;
    CHECK(path[0] && class != FAIL_NONE && reason);
    told.failed++;
}

/* --- the producer --- */

static void make_sources(void) {
    static const off_t sizes[FILES] = {0, 5, 3 * CHUNK_ALIGN, 200 * CHUNK_ALIGN + 1};
    char name[600];
    if (source_dir[0])
        return;
    snprintf(source_dir, sizeof source_dir, "%s/src", scratch_dir());
    snprintf(dest_dir, sizeof dest_dir, "file://%s/dest/", scratch_dir());
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "src-%d", i);
        scratch_write(name, slice_of(""));
        snprintf(name, sizeof name, "%s/src-%d", scratch_dir(), i);
        CHECK(truncate(name, sizes[i]) == 0);
    }
}

static void start(void) {
    static char paths[FILES][600];
    const char *given[FILES];
    static const struct producer_events events = {NULL, NULL, on_progress, on_done, on_skipped, on_failed, NULL};
    for (int i = 0; i < FILES; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/src-%d", scratch_dir(), i);
        given[i] = paths[i];
    }
    struct producer_config config = {.sources = given,
                                     .source_count = FILES,
                                     .dest = dest_dir,
                                     .chunk_size = CHUNK_ALIGN,
                                     .unserved_wait_ms = 60000};
    bool more;
    memset(&told, 0, sizeof told);
    CHECK(planner_init(&planner, &config, &events) == 0);
    do
        CHECK(scan_step(&planner, 1000, &more) == 0);
    while (more);
    CHECK(planner.files.count == FILES);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
}

/* --- invariants --- */

static void check_job(const struct job *j) {
    struct geometry g = {.size = j->source.file.size, .chunk_size = j->chunk_size, .chunks = j->chunks};
    char own[600];
    int n = snprintf(own, sizeof own, "%s/src-", scratch_dir());
    CHECK(!id_is_zero(&j->ref.upload) && j->ref.kind >= JOB_BEGIN && j->ref.kind <= JOB_DISCARD);
    CHECK(j->source.path.len == 0 ||
          (j->source.path.len == (size_t)n + 1 && memcmp(j->source.path.ptr, own, (size_t)n) == 0));
    CHECK(j->target.dest.len > strlen(dest_dir) && memcmp(j->target.dest.ptr, dest_dir, strlen(dest_dir)) == 0);
    if (j->ref.kind == JOB_CHUNK)
        CHECK(geometry_is_valid(&g) && j->ref.chunk < j->chunks && j->offset == geometry_offset(&g, j->ref.chunk) &&
              j->length == geometry_length(&g, j->ref.chunk) && j->handle.len > 0);
    if (j->ref.kind == JOB_PUT)
        CHECK(j->length == j->source.file.size && j->offset == 0);
    struct msg m = {.type = MSG_OFFER, .offer = {.jobs = (struct job *)j, .job_count = 1}};
    struct buf out = BUF_INIT;
    CHECK(msg_encode(&m, &out) == 0 && out.len <= PROTO_OFFER_MAX);
    buf_release(&out);
}

static void offer(void) {
    struct offer *picked[OFFER_JOBS];
    struct job job;
    size_t count;
    CHECK(jobs_refill(&planner, now_ms) == 0);
    while ((count = jobs_pick(&planner, picked, OFFER_JOBS)) > 0) {
        for (size_t i = 0; i < count; i++) {
            jobs_build(&planner, picked[i], &job);
            check_job(&job);
        }
        jobs_sent(&planner, picked, count, now_ms);
    }
}

static void ask(void) {
    struct plan_file list[PLAN_FILES_MAX];
    struct file *asked[PLAN_FILES_MAX];
    size_t count = plan_pick(&planner, now_ms, list, asked, PLAN_FILES_MAX);
    if (count > 0)
        plan_note_sent(asked, count, ++number, now_ms);
}

static void check_counts(void) {
    const struct producer_stats *n = &planner.stats;
    CHECK(n->files_done == told.done && n->files_failed == told.failed && n->files_skipped == told.skipped);
    size_t at_work = 0; /* a file that failed stays until its failure is recorded, or its leftovers are dropped */
    for (const struct file *f = planner.files.first; f; f = f->next)
        at_work += !f->refusal && !f->dropping;
    CHECK(at_work + told.done + told.failed + told.skipped == FILES);
    CHECK(n->bytes_done <= n->bytes_total);
    for (const struct file *f = planner.files.first; f; f = f->next) {
        CHECK(f->chunks_done <= f->geometry.chunks && f->done_bytes <= f->id.size);
        CHECK(!f->done || geometry_is_valid(&f->geometry));
    }
    CHECK(planner.files.count > 0 || planner.files.bitmap_bytes == 0);
}

/* --- steps --- */

static void add_lines(struct buf *lines, struct slice bytes) {
    for (uint64_t seq = 1; bytes.len > 0; seq++) {
        const char *newline = memchr(bytes.ptr, '\n', bytes.len);
        size_t len = newline ? (size_t)(newline - bytes.ptr) : bytes.len;
        must(buf_addf(lines, "{\"seq\":%llu,\"batch\":1,\"ts\":\"2026-11-21T08:40:00.000000Z\",\"ev\":\"",
                      (unsigned long long)seq));
        must(buf_add(lines, bytes.ptr, len));
        must(buf_add_text(lines, ",\"h\":\"00112233445566778899aabbccddeeff\"}\n"));
        len += newline != NULL;
        bytes = slice_make(bytes.ptr + len, bytes.len - len);
    }
}

static struct slice take_step(const uint8_t **bytes, size_t *size) {
    size_t len = (*bytes)[0] | (size_t)(*bytes)[1] << 8;
    len = len < *size - 2 ? len : *size - 2;
    struct slice step = slice_make(*bytes + 2, len);
    *bytes += 2 + len;
    *size -= 2 + len;
    return step;
}

/* False: the producer gives up. */
static bool answered(struct msg *m, struct slice lines_of) {
    struct buf lines = BUF_INIT;
    int err = 0;
    if (m->type == MSG_PLANNED) {
        err = plan_apply(&planner, now_ms, number, &m->planned);
    } else if (m->type == MSG_RECORDS) {
        if (m->records.lines.len == 0) {
            add_lines(&lines, lines_of);
            m->records.lines = lines.data ? buf_slice(&lines) : m->records.lines;
        }
        err = track_records(&planner, now_ms, &m->records);
    }
    CHECK(err == 0 || err == ERR_INVALID || err == ERR_LIMIT);
    buf_release(&lines);
    return err == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    log_setup("fuzz", LOG_ERROR, false);
    make_sources();
    now_ms = 1000000;
    number = 0;
    start();
    ask();
    bool goes_on = true;
    for (int i = 0; goes_on && i < STEPS_MAX && size >= 2; i++) {
        struct slice step = take_step(&bytes, &size), lines = {NULL, 0};
        struct msg m;
        if (msg_decode(step, &m) != 0) {
            now_ms += step.len;
        } else {
            if (m.type == MSG_RECORDS && m.records.lines.len == 0 && size >= 2)
                lines = take_step(&bytes, &size);
            goes_on = answered(&m, lines);
            msg_release(&m);
        }
        now_ms += 10;
        if (now_ms >= planner.unserved_due_ms)
            planner_judge_unserved(&planner, now_ms);
        if (goes_on) {
            ask();
            offer();
        }
        check_counts();
    }
    planner_release(&planner);
    return 0;
}
