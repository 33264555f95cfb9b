#include "producer/planner.h"
#include "pure/deadline.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/stat.h>

#define UNSERVED_ROUNDS 3u /* releases per uploader before a file counts as unserved */

/* --- the end of a file --- */

void planner_file_remove(struct planner *p, struct file *f) {
    offers_forget_file(&p->offers, f);
    files_remove(&p->files, f);
}

/* On a file system that may not keep inode numbers, each unchanged file that ends shows whether it did. */
static void planner_check_inode(struct planner *p, struct file *f) {
    struct stat st;
    struct source_identity now, planned = f->id;
    if (f->inodes != INODES_WEAK || f->id.ino == 0 || stat(f->path, &st) != 0)
        return;
    fileid_from_stat(&st, &now);
    planned.ino = 0;
    if (now.ino != f->id.ino && !source_identity_difference(&planned, &now, true))
        planner_found_unstable(p, f);
}

void planner_file_done(struct planner *p, struct file *f, uint64_t now_ms) {
    struct producer_file_view view;
    planner_check_inode(p, f);
    p->stats.bytes_done += f->id.size - f->done_bytes;
    f->done_bytes = f->id.size;
    if (f->done)
        f->chunks_done = f->geometry.chunks;
    p->stats.files_done++;
    planner_view_file(f, &view);
    if (p->events.file_done)
        p->events.file_done(p->events.arg, &view, f->started_ms ? (double)(now_ms - f->started_ms) / 1000.0 : 0.0);
    planner_file_remove(p, f);
}

static void planner_subtract_bytes(struct planner *p, const struct file *f) {
    if (f->stream) /* its size may not be known; it is the only source */
        p->stats.bytes_total = f->id.size;
    p->stats.total_unknown = p->stats.total_unknown && !f->stream;
    p->stats.bytes_total -= f->id.size;
    p->stats.bytes_done -= f->done_bytes;
}

void planner_file_report_skipped(struct planner *p, const struct file *f) {
    struct producer_file_view view;
    planner_subtract_bytes(p, f);
    p->stats.files_skipped++;
    p->stats.files_verified += f->verified;
    p->stats.files_existing += f->existing;
    p->stats.files_checked += p->check_dest && f->checking;
    planner_view_file(f, &view);
    if (p->events.file_skipped)
        p->events.file_skipped(p->events.arg, &view);
}

void planner_file_skipped(struct planner *p, struct file *f) {
    planner_file_report_skipped(p, f);
    planner_file_remove(p, f);
}

static void planner_note_no_bucket(struct planner *p, const struct file *f) {
    struct dest d;
    struct buf name = BUF_INIT;
    if (dest_parse(slice_of(f->dest), &d) || d.scheme != DEST_S3 ||
        buf_addf(&name, "s3://%.*s", (int)d.bucket.len, d.bucket.ptr))
        buf_release(&name);
    p->no_bucket = name.data;
}

/* Once a bucket is known to be missing, the failures of other files say nothing new. */
void planner_file_report_failed(struct planner *p, const struct file *f, enum fail_class class, const char *reason) {
    planner_subtract_bytes(p, f);
    p->stats.files_failed++;
    p->unreachable |= class == FAIL_UNREACHABLE;
    if (f->item) {
        inspect_report_failed(p, f, class, reason);
        return;
    }
    if (p->no_bucket) {
        p->no_bucket_files++;
        return;
    }
    if (class == FAIL_NO_BUCKET)
        planner_note_no_bucket(p, f);
    planner_report_error(p, f->path, class, reason);
}

void planner_file_failed(struct planner *p, struct file *f, enum fail_class class, const char *format, ...) {
    char reason[PROTO_TEXT_MAX + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    planner_file_report_failed(p, f, class, reason);
    planner_file_remove(p, f);
}

bool planner_failed_enough(const struct planner *p) {
    return p->max_errors > 0 && p->stats.files_failed + p->stats.source_errors >= p->max_errors;
}

int planner_file_refuse(struct planner *p, struct file *f, const char *reason) {
    f->refusal = slice_dup(slice_of(reason));
    int err = f->refusal ? id_random(&f->refusal_id) : ERR_NOMEM;
    if (err)
        return err;
    p->stats.files_failed++;
    planner_report_error(p, f->path, FAIL_SOURCE, reason);
    return 0;
}

/* --- a dry run --- */

/*
 * Each file goes through the same scan and the same PLAN as in a run. Where a run would offer its first job, the state that
 * planning gave the file is the forecast, and the file leaves.
 */

/* Requests of an upload in which every request succeeds at once. */
static uint64_t forecast_requests(const struct planner *p, const struct file *f) {
    const struct geometry *geometry = f->done ? &f->geometry : &f->wanted_geometry;
    uint64_t aborts = f->superseded_opened; /* of the upload that was there before */
    if (p->sources.scheme != DEST_S3)
        return 0;
    if (f->put)
        return aborts + 1;
    uint64_t begins = !f->done, finishes = 1;
    return aborts + begins + geometry->chunks - f->chunks_done + finishes;
}

static void forecast_report(struct planner *p, struct file *f) {
    struct producer_file_view view;
    const struct producer_forecast forecast = {.action = f->done ? FORECAST_RESUME : FORECAST_UPLOAD,
                                               .bytes = f->id.size - f->done_bytes,
                                               .requests = forecast_requests(p, f)};
    planner_view_file(f, &view);
    if (p->events.file_forecast)
        p->events.file_forecast(p->events.arg, &view, &forecast);
    planner_file_remove(p, f);
}

/* As the `stat` job of an uploader does. */
static void forecast_look(struct planner *p, struct file *f, uint64_t now_ms) {
    struct dest d;
    struct stat st;
    if (p->dry_run == DRY_RUN_AWAY) {
        planner_file_skipped(p, f);
        return;
    }
    bool exists = dest_parse(slice_of(f->dest), &d) == 0 && lstat(d.key.ptr, &st) == 0 && S_ISREG(st.st_mode);
    track_object(p, f, exists && (uint64_t)st.st_size == f->id.size ? NULL : "is not there", now_ms);
}

void forecast_planned(struct planner *p, uint64_t now_ms) {
    for (struct file *next, *f = p->files.first; f; f = next) {
        next = f->next;
        switch (f->state) {
        case FILE_CHECK:
            forecast_look(p, f, now_ms);
            break;
        case FILE_CLEAR:
        case FILE_BEGIN:
        case FILE_CHUNKS:
        case FILE_FINISH:
        case FILE_PUT:
            forecast_report(p, f);
            break;
        case FILE_PLAN:
        case FILE_VERIFY:
        case FILE_ASK:
        case FILE_READ:
            break;
        }
    }
}

/* --- rule 2: the bucket is missing --- */

void planner_judge_bucket(struct planner *p, uint64_t now_ms) {
    if (!p->no_bucket)
        return;
    for (struct file *next, *f = p->files.first; f; f = next) {
        next = f->next;
        if (f->dropping)
            planner_drop_ended(p, f, NULL, now_ms); /* without a bucket there is nothing to abort */
        else
            planner_file_failed(p, f, FAIL_NO_BUCKET, "no such bucket");
    }
    bool ended = p->files.count == 0 && (!p->stats.walking || p->draining);
    if (!ended || p->no_bucket_files == 0)
        return;
    char text[128];
    snprintf(text, sizeof text, "no such bucket; %" PRIu64 " more file%s not sent", p->no_bucket_files,
             p->no_bucket_files == 1 ? " was" : "s were");
    planner_report_error(p, p->no_bucket, FAIL_NO_BUCKET, text);
    p->no_bucket_files = 0;
}

/* --- rule 2: no connected uploader can serve the file --- */

/* Some uploaders failed the file for reasons of their own, and another one may still serve it. It keeps waiting as long
 * as the fleet records any progress. */
static bool unserved_waits_for_another(const struct file *f) {
    return f->unserved_since_ms && !f->unserved_count;
}

static uint64_t unserved_deadline_ms(const struct planner *p, const struct file *f) {
    if (!unserved_waits_for_another(f))
        return f->unserved_since_ms + p->unserved_wait_ms;
    uint64_t since_ms = MAX(f->unserved_since_ms, p->progress_ms);
    return since_ms + p->retry_for_ms;
}

static void unserved_judge_file(struct planner *p, struct file *f, uint64_t now_ms) {
    const char *detail = f->unserved_detail ? f->unserved_detail : "no reason was given";
    uint64_t due_ms = unserved_deadline_ms(p, f);
    if (now_ms >= due_ms) {
        char reason[PROTO_TEXT_MAX + 64];
        snprintf(reason, sizeof reason, "no connected uploader can serve it: %s", detail);
        planner_file_given_up(p, f, f->unserved_class ? f->unserved_class : FAIL_NO_UPLOADER, reason, now_ms);
        return;
    }
    if (!f->unserved_reported && !unserved_waits_for_another(f)) {
        char wait[UNITS_TEXT_SIZE];
        planner_notice(p, "%s: no connected uploader can serve it: %s; waiting up to %s for one that can", f->path,
                       detail, duration_format((due_ms - now_ms + 999) / 1000, wait));
        f->unserved_reported = true;
    }
    deadline_lower(&p->unserved_due_ms, due_ms);
}

/* An uploader that lacks only this file does not count as unable in the fleet's counters. Therefore the number of
 * releases decides: every uploader got the job several times. */
void planner_judge_unserved(struct planner *p, uint64_t now_ms) {
    struct file *next;
    bool fleet_is_unable = p->fleet.uploaders > 0 && p->fleet.unable >= p->fleet.uploaders;
    p->unserved_due_ms = UINT64_MAX;
    for (struct file *f = p->files.first; f; f = next) {
        next = f->next;
        if (f->unserved_since_ms == 0)
            continue;
        if (unserved_waits_for_another(f) || fleet_is_unable ||
            (p->fleet.uploaders > 0 && f->unserved_count >= UNSERVED_ROUNDS * p->fleet.uploaders))
            unserved_judge_file(p, f, now_ms);
        else
            deadline_lower(&p->unserved_due_ms, now_ms + 1000);
    }
}
