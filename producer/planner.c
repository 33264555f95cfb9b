#include "producer/planner.h"
#include "aws/aws_settings.h"
#include "pure/s3_endpoint.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NOBODY_ROUNDS 3u
#define RETRY_FOR_MS 600000u /* as --retry-for has it when it is not given */
#define SETTLE_LOOKS 100     /* a millisecond apart */

static char *copy_or_empty(const char *text) {
    return slice_dup(slice_of(text ? text : ""));
}

/* A directory has no endpoint. */
static int settle_endpoint(struct core *c, const struct producer_config *config) {
    struct buf url = BUF_INIT;
    int err = 0;
    if (c->sources.scheme == DEST_S3)
        err = aws_endpoint_settle(config->endpoint_url, config->profile, &url);
    c->endpoint = err ? NULL : copy_or_empty(url.data);
    buf_release(&url);
    return err ? err : c->endpoint ? 0 : ERR_NOMEM;
}

/* Option and environment; a profile's region is left to the uploaders. */
static int settle_region(struct core *c, const struct producer_config *config) {
    const char *names[] = {"--region", "AWS_REGION", "AWS_DEFAULT_REGION"};
    const char *values[] = {config->region, aws_environment("AWS_REGION"), aws_environment("AWS_DEFAULT_REGION")};
    struct slice region = {NULL, 0};
    size_t i = 0;
    while (c->sources.scheme == DEST_S3 && i < 3 && region.len == 0)
        region = s3_region_trim(slice_of(values[i++]));
    if (region.len && !s3_region_is_valid(region)) {
        log_error("%s %s: not the name of a region; it is made of letters, digits, '-', '_' and '.'", names[i - 1],
                  values[i - 1]);
        return ERR_USAGE;
    }
    c->region = slice_dup(region);
    return c->region ? 0 : ERR_NOMEM;
}

static int settle_chunk_size(struct core *c, uint64_t wanted) {
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
    c->limits = c->sources.scheme == DEST_S3 ? &geometry_limits_s3 : &geometry_limits_file;
    c->chunk_size = wanted ? wanted : CHUNK_SIZE_DEFAULT;
    bool too_small = c->sources.scheme == DEST_S3 && c->chunk_size < c->limits->chunk_min_bytes; /* else rounded up */
    if (too_small || c->chunk_size > c->limits->chunk_max_bytes) {
        log_error("--chunk-size: this destination takes chunks of %s to %s",
                  format_size(c->limits->chunk_min_bytes, least), format_size(c->limits->chunk_max_bytes, most));
        return ERR_USAGE;
    }
    return 0;
}

/* It has no bytes and no source: only its upload is asked for. */
static int add_drop(struct core *c, const struct producer_drop *drop) {
    struct source_identity none = {0};
    struct geometry wish;
    struct file *f;
    int err = geometry_plan(c->limits, 0, c->chunk_size, &wish);
    if (err == 0)
        err = files_add(&c->files, drop->src, drop->dest, &none, &wish, &f);
    if (err)
        return err;
    f->drop = true;
    files_set_upload(&c->files, f, &drop->upload);
    c->counts.files_seen++;
    return 0;
}

int core_init(struct core *c, const struct producer_config *config, const struct producer_events *e) {
    memset(c, 0, sizeof *c);
    if (e)
        c->events = *e;
    c->force = config->force;
    c->ignore_inode = config->ignore_inode;
    verify_init(&c->verify);
    c->resize = config->resize;
    c->on_change = config->on_change;
    c->integrity = config->integrity;
    c->nobody_wait_ms = config->nobody_wait_ms ? config->nobody_wait_ms : config->retry_for_ms;
    if (c->nobody_wait_ms == 0)
        c->nobody_wait_ms = RETRY_FOR_MS;
    c->retry_for_ms = config->retry_for_ms ? config->retry_for_ms : RETRY_FOR_MS;
    c->nobody_due_ms = UINT64_MAX;
    c->counts.walking = true;
    int err = config->drop_count
                  ? sources_init_drops(&c->sources, config->drops[0].dest)
                  : sources_init(&c->sources, config->sources, config->source_count, config->dest, config->recursive);
    if (err == 0)
        err = settle_endpoint(c, config);
    if (err == 0)
        err = settle_region(c, config);
    if (err == 0)
        err = settle_chunk_size(c, config->chunk_size);
    if (err == 0) {
        c->source_name = copy_or_empty(config->source_name);
        c->journal_dir = copy_or_empty(config->journal_dir);
        err = c->source_name && c->journal_dir ? 0 : ERR_NOMEM;
    }
    if (err == 0 && (strlen(c->source_name) > PROTO_TEXT_MAX || !utf8_is_valid(slice_of(c->source_name)))) {
        log_error("--source-name: at most %d bytes of UTF-8", PROTO_TEXT_MAX);
        err = ERR_USAGE;
    }
    if (err == 0)
        err = offers_init(&c->offers);
    for (size_t i = 0; err == 0 && i < config->drop_count; i++)
        err = add_drop(c, &config->drops[i]);
    if (err)
        core_release(c);
    return err;
}

void core_release(struct core *c) {
    walk_destroy(&c->walk);
    verify_release(&c->verify);
    files_release(&c->files);
    offers_release(&c->offers);
    sources_release(&c->sources);
    buf_release(&c->scratch);
    free(c->source_name);
    free(c->journal_dir);
    free(c->endpoint);
    free(c->region);
    free(c->no_bucket);
    memset(c, 0, sizeof *c);
}

/* --- telling --- */

void core_view(const struct file *f, struct producer_file_view *view) {
    *view = (struct producer_file_view){
        .index = f->index,
        .upload = f->upload,
        .path = f->path,
        .dest = f->dest,
        .size = f->id.size,
        .done_bytes = f->done_bytes,
        .chunks = f->done ? f->shape.chunks : f->wish.chunks,
        .chunks_done = f->chunks_done,
        .resumed = f->resumed,
        .verified = f->verified,
        .started_ms = f->started_ms,
    };
}

void core_notice(struct core *c, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (c->events.notice)
        c->events.notice(c->events.arg, text);
}

void core_report_error(struct core *c, const char *path, enum fail_class klass, const char *reason) {
    if (c->events.file_failed)
        c->events.file_failed(c->events.arg, path, klass, reason);
}

/* --- how a file leaves --- */

static void remove_file(struct core *c, struct file *f) {
    offers_forget_file(&c->offers, f);
    files_remove(&c->files, f);
}

/* Where inode numbers are not known to be stable, each file that ends is a chance to find out. */
static void watch_inode(struct core *c, struct file *f) {
    struct stat st;
    struct source_identity now, planned = f->id;
    if (f->inodes != INODES_WEAK || f->id.ino == 0 || stat(f->path, &st) != 0)
        return;
    fileid_from_stat(&st, &now);
    planned.ino = 0;
    if (now.ino != f->id.ino && !source_identity_difference(&planned, &now, true))
        core_found_unstable(c, f);
}

void core_file_done(struct core *c, struct file *f, uint64_t now_ms) {
    struct producer_file_view view;
    watch_inode(c, f);
    c->counts.bytes_done += f->id.size - f->done_bytes;
    f->done_bytes = f->id.size;
    if (f->done)
        f->chunks_done = f->shape.chunks;
    c->counts.files_done++;
    core_view(f, &view);
    if (c->events.file_done)
        c->events.file_done(c->events.arg, &view, f->started_ms ? (double)(now_ms - f->started_ms) / 1000.0 : 0.0);
    remove_file(c, f);
}

static void take_bytes_out(struct core *c, const struct file *f) {
    c->counts.bytes_total -= f->id.size;
    c->counts.bytes_done -= f->done_bytes;
}

void core_file_skipped(struct core *c, struct file *f) {
    struct producer_file_view view;
    take_bytes_out(c, f);
    c->counts.files_skipped++;
    c->counts.files_verified += f->verified;
    core_view(f, &view);
    if (c->events.file_skipped)
        c->events.file_skipped(c->events.arg, &view);
    remove_file(c, f);
}

static void note_no_bucket(struct core *c, const struct file *f) {
    struct dest d;
    struct buf name = BUF_INIT;
    if (dest_parse(slice_of(f->dest), &d) || d.scheme != DEST_S3 ||
        buf_addf(&name, "s3://%.*s", (int)d.bucket.len, d.bucket.ptr))
        buf_release(&name);
    c->no_bucket = name.data;
}

static void tell_failed(struct core *c, const struct file *f, enum fail_class klass, const char *reason) {
    take_bytes_out(c, f);
    c->counts.files_failed++;
    c->unreachable |= klass == FAIL_UNREACHABLE;
    if (c->no_bucket) { /* whatever else a store says about a bucket that is missing */
        c->no_bucket_files++;
        return;
    }
    if (klass == FAIL_NO_BUCKET)
        note_no_bucket(c, f);
    core_report_error(c, f->path, klass, reason);
}

void core_file_failed(struct core *c, struct file *f, enum fail_class klass, const char *format, ...) {
    char reason[PROTO_TEXT_MAX + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    tell_failed(c, f, klass, reason);
    remove_file(c, f);
}

int core_refuse(struct core *c, struct file *f, const char *reason) {
    f->refusal = slice_dup(slice_of(reason));
    int err = f->refusal ? id_random(&f->refusal_id) : ERR_NOMEM;
    if (err)
        return err;
    c->counts.files_failed++;
    core_report_error(c, f->path, FAIL_SOURCE, reason);
    return 0;
}

void core_refusal_recorded(struct core *c, struct file *f) {
    remove_file(c, f);
}

/* --- or is planned again --- */

void core_plan_again(struct core *c, struct file *f, uint64_t due_ms) {
    offers_forget_file(&c->offers, f);
    file_give_back_all(f);
    f->state = FILE_PLAN;
    f->dropping = f->dropping && !f->drop;
    f->plan_number = 0;
    f->plan_asked_ms = 0;
    f->plan_due_ms = due_ms;
}

void core_start_over(struct core *c, struct file *f, uint64_t due_ms) {
    static const struct id128 none;
    core_plan_again(c, f, due_ms);
    files_set_upload(&c->files, f, &none);
    c->counts.bytes_done -= f->done_bytes;
    file_clear_shape(&c->files, f);
    free(f->handle);
    f->handle = NULL;
    f->resumed = f->checking = f->verified = false;
}

void core_plan_all_again(struct core *c, uint64_t now_ms) {
    for (struct file *f = c->files.first; f; f = f->next) {
        if (!f->dropping || f->drop) {
            core_plan_again(c, f, now_ms);
            continue;
        }
        offers_forget_file(&c->offers, f);
        f->taken_single = false; /* its abort is offered again */
    }
}

void core_identify(struct core *c, const char *path, const struct stat *st, struct source_identity *id,
                   enum inodes *inodes) {
    fileid_from_stat(st, id);
    *inodes = c->ignore_inode ? INODES_WEAK : mounts_look(&c->mounts, id->dev, path);
    if (c->ignore_inode || *inodes == INODES_UNSTABLE)
        id->ino = 0;
}

void core_found_unstable(struct core *c, struct file *f) {
    if (mounts_found_unstable(&c->mounts, f->id.dev))
        core_notice(c,
                    "%s: inode numbers of unchanged files differ on this file system; files there are told apart by "
                    "size, mtime and ctime (--ignore-inode from the start)",
                    f->path);
    if (mounts_look(&c->mounts, f->id.dev, f->path) != INODES_UNSTABLE)
        return;
    f->inodes = INODES_UNSTABLE;
    f->id.ino = 0;
}

static const char *difference_of_open(const struct file *f, int fd) {
    struct stat st;
    const char *difference;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        return "replaced by something that is not a file";
    return fileid_compare(&f->id, fd, true, &difference) == 0 ? difference : strerror(errno);
}

const char *core_source_difference(const struct file *f) {
    static char text[128];
    int fd = open(f->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        snprintf(text, sizeof text, "it cannot be read any more: %s", strerror(errno));
        return text;
    }
    const char *difference = difference_of_open(f, fd);
    close(fd);
    return difference;
}

void core_let_settle(const struct stat *st) {
    struct timespec
        now; /* of the clock that stamps files; it stands still between ticks, and longer on a busy machine */
    for (int i = 0; i < SETTLE_LOOKS && clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0; i++) {
        if (now.tv_sec > st->st_ctim.tv_sec || (now.tv_sec == st->st_ctim.tv_sec && now.tv_nsec > st->st_ctim.tv_nsec))
            return;
        if (now.tv_sec < st->st_ctim.tv_sec - 1)
            return; /* a stamp of the future: the clock was set back, and nothing here can help */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* As a new file at the same place. false: it cannot be. */
static bool plan_as_it_is_now(struct core *c, struct file *f, uint64_t now_ms) {
    struct stat st;
    struct source_identity id;
    enum inodes inodes;
    struct geometry wish;
    if (stat(f->path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    core_let_settle(&st);
    core_identify(c, f->path, &st, &id, &inodes);
    if (geometry_plan(c->limits, id.size, c->chunk_size, &wish) != 0)
        return false;
    core_start_over(c, f, now_ms);
    c->counts.bytes_total = c->counts.bytes_total - f->id.size + id.size;
    files_set_identity(&c->files, f, &id, &wish);
    f->inodes = inodes;
    f->forced = c->force;
    f->missing = false;
    return true;
}

void core_changed_before(struct core *c, struct file *f, const char *what, uint64_t now_ms) {
    if (f->changes++ >= RESTARTS_MAX || !plan_as_it_is_now(c, f, now_ms))
        core_file_failed(c, f, FAIL_CHANGED, "changed while it was compared with its record (%s)", what);
}

static void forget_superseded(struct file *f) {
    memset(&f->superseded, 0, sizeof f->superseded);
    free(f->superseded_handle);
    f->superseded_handle = NULL;
    f->superseded_opened = false;
}

/* What its upload made at the destination is of no use: an abort of it is offered (rule 9), and f waits for that. */
static void drop_upload(struct core *c, struct file *f, bool restart, uint64_t now_ms) {
    struct id128 upload = f->upload;
    char *handle = f->handle;
    f->handle = NULL;
    core_start_over(c, f, now_ms + DROP_WAIT_MS);
    forget_superseded(f);
    f->superseded = upload;
    f->superseded_handle = handle;
    f->superseded_opened = true;
    f->state = FILE_CLEAR;
    f->dropping = true;
    f->restarting = restart;
    f->nobody_since_ms = 0;
    if (!restart)
        f->started_ms = 0; /* nothing to show any more */
}

void core_drop_ended(struct core *c, struct file *f, const char *why, uint64_t now_ms) {
    bool restart = f->restarting && !why;
    if (f->drop) {
        if (why)
            core_file_failed(c, f, FAIL_DEST, "%s", why);
        else
            core_file_done(c, f, now_ms);
        return;
    }
    if (why)
        core_notice(c,
                    "%s: what was uploaded of it is left at %s: %s; uploading it again, or 'chunklift journal forget "
                    "--unfinished', removes that",
                    f->path, f->dest, why);
    f->dropping = false;
    if (restart && plan_as_it_is_now(c, f, now_ms)) {
        forget_superseded(f);
        return;
    }
    if (f->restarting)
        core_file_failed(c, f, FAIL_CHANGED, "changed while it was uploaded; re-run to start it again");
    else
        remove_file(c, f);
}

/* Something of its upload may be at the destination. */
static bool has_left_something(const struct core *c, const struct file *f) {
    switch (f->state) {
    case FILE_BEGIN:
    case FILE_CHUNKS:
    case FILE_FINISH:
        return true;
    case FILE_PUT:
        return c->sources.scheme == DEST_FILE;
    case FILE_VERIFY:
    case FILE_PLAN:
    case FILE_CHECK:
    case FILE_CLEAR:
        break;
    }
    return false;
}

void core_file_spoiled(struct core *c, struct file *f, enum fail_class klass, const char *reason, uint64_t now_ms) {
    tell_failed(c, f, klass, reason);
    if (has_left_something(c, f))
        drop_upload(c, f, false, now_ms);
    else
        remove_file(c, f);
}

/* Not as the file is now: its bytes changed, and nothing else shows it. The consumer would take it for the same. */
static bool looks_the_same(const struct file *f) {
    return core_source_difference(f) == NULL;
}

void core_source_changed(struct core *c, struct file *f, const char *what, uint64_t now_ms) {
    char reason[PROTO_TEXT_MAX];
    bool begun = has_left_something(c, f);
    bool drop_first = begun && looks_the_same(f);
    struct stat st;
    snprintf(reason, sizeof reason, "changed while it was uploaded (%s); re-run to start it again", what);
    if (c->on_change == ON_CHANGE_RESTART && f->changes < RESTARTS_MAX && stat(f->path, &st) == 0 &&
        S_ISREG(st.st_mode)) {
        f->changes++;
        if (drop_first)
            drop_upload(c, f, true, now_ms);
        if (drop_first || plan_as_it_is_now(c, f, now_ms)) { /* then the old upload is superseded, and aborted */
            core_notice(c, "%s: changed while it was uploaded (%s); starting it again", f->path, what);
            return;
        }
    }
    if (begun)
        drop_upload(c, f, false, now_ms);
    tell_failed(c, f, FAIL_CHANGED, reason);
    if (!begun)
        remove_file(c, f);
}

/* --- rule 2 --- */

void core_judge_bucket(struct core *c, uint64_t now_ms) {
    if (!c->no_bucket)
        return;
    for (struct file *next, *f = c->files.first; f; f = next) {
        next = f->next;
        if (f->dropping)
            core_drop_ended(c, f, NULL, now_ms); /* nothing is there to drop */
        else
            core_file_failed(c, f, FAIL_NO_BUCKET, "no such bucket");
    }
    bool ended = c->files.count == 0 && (!c->counts.walking || c->draining);
    if (!ended || c->no_bucket_files == 0)
        return;
    char text[128];
    snprintf(text, sizeof text, "no such bucket; %" PRIu64 " more file%s not sent", c->no_bucket_files,
             c->no_bucket_files == 1 ? " was" : "s were");
    core_report_error(c, c->no_bucket, FAIL_NO_BUCKET, text);
    c->no_bucket_files = 0;
}

/* Uploaders failed it for reasons of their own, and another one may do it: it waits for that one, as long as that one
 * does anything. */
static bool waits_for_another(const struct file *f) {
    return f->nobody_since_ms && !f->nobody_count;
}

static uint64_t nobody_due_ms(const struct core *c, const struct file *f) {
    if (!waits_for_another(f))
        return f->nobody_since_ms + c->nobody_wait_ms;
    uint64_t since_ms = f->nobody_since_ms > c->progress_ms ? f->nobody_since_ms : c->progress_ms;
    return since_ms + c->retry_for_ms;
}

static void judge_one(struct core *c, struct file *f, uint64_t now_ms) {
    const char *detail = f->nobody_detail ? f->nobody_detail : "no reason was given";
    uint64_t due_ms = nobody_due_ms(c, f);
    if (now_ms >= due_ms) {
        core_file_failed(c, f, f->nobody_klass ? f->nobody_klass : FAIL_NOBODY, "no uploader can do it: %s", detail);
        return;
    }
    if (!f->nobody_said && !waits_for_another(f)) {
        char wait[UNITS_TEXT_SIZE];
        core_notice(c, "%s: no uploader can do it: %s; waiting up to %s for one that can", f->path, detail,
                    format_duration((due_ms - now_ms + 999) / 1000, wait));
        f->nobody_said = true;
    }
    c->nobody_due_ms = due_ms < c->nobody_due_ms ? due_ms : c->nobody_due_ms;
}

void core_judge_nobody(struct core *c, uint64_t now_ms) {
    struct file *next;
    bool fleet_is_unable = c->fleet.uploaders > 0 && c->fleet.unable >= c->fleet.uploaders;
    c->nobody_due_ms = UINT64_MAX;
    for (struct file *f = c->files.first; f; f = next) {
        next = f->next;
        if (f->nobody_since_ms == 0)
            continue;
        /* who lacks only this file is not unable for the fleet's counters: every one was asked several times */
        if (waits_for_another(f) || fleet_is_unable ||
            (c->fleet.uploaders > 0 && f->nobody_count >= NOBODY_ROUNDS * c->fleet.uploaders))
            judge_one(c, f, now_ms);
        else if (now_ms + 1000 < c->nobody_due_ms)
            c->nobody_due_ms = now_ms + 1000;
    }
}
