/*
 * Files that are planned again, and sources that change.
 *
 * A changed source makes the bytes at the destination useless. Usually its identity differs too, and the next PLAN
 * supersedes the old upload. If only the bytes differ, the consumer would resume the old upload. Therefore an abort of
 * it is offered first (rule 9), and the file waits in FILE_CLEAR (dropping) until the abort is recorded.
 */
#include "producer/planner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_LOOKS 100 /* one millisecond apart */

/* --- planned again --- */

void planner_file_replan(struct planner *p, struct file *f, uint64_t due_ms) {
    offers_forget_file(&p->offers, f);
    file_give_back_all(f);
    f->state = FILE_PLAN;
    f->dropping = f->dropping && !f->drop;
    f->plan_number = 0;
    f->plan_sent_ms = 0;
    f->plan_due_ms = due_ms;
}

void planner_file_restart(struct planner *p, struct file *f, uint64_t due_ms) {
    static const struct id128 none;
    planner_file_replan(p, f, due_ms);
    files_set_upload(&p->files, f, &none);
    p->stats.bytes_done -= f->done_bytes;
    file_clear_geometry(&p->files, f);
    free(f->handle);
    f->handle = NULL;
    f->resumed = f->checking = f->verified = false;
}

/* The abort of a dropping file, and the jobs of a question, are offered again instead. */
void planner_replan_all(struct planner *p, uint64_t now_ms) {
    for (struct file *f = p->files.first; f; f = f->next) {
        if (f->state != FILE_ASK && f->state != FILE_READ && (!f->dropping || f->drop)) {
            planner_file_replan(p, f, now_ms);
            continue;
        }
        offers_forget_file(&p->offers, f);
        file_give_back_all(f);
    }
}

/* --- identity --- */

void planner_identify(struct planner *p, const char *path, const struct stat *st, struct source_identity *id,
                      enum inodes *inodes) {
    fileid_from_stat(st, id);
    *inodes = p->ignore_inode ? INODES_WEAK : mounts_look(&p->mounts, id->dev, path);
    if (p->ignore_inode || *inodes == INODES_UNSTABLE)
        id->ino = 0;
}

void planner_found_unstable(struct planner *p, struct file *f) {
    if (mounts_found_unstable(&p->mounts, f->id.dev))
        planner_notice(p,
                       "%s: inode numbers of unchanged files differ on this file system; files there are told apart "
                       "by size, mtime and ctime (--ignore-inode from the start)",
                       f->path);
    if (mounts_look(&p->mounts, f->id.dev, f->path) != INODES_UNSTABLE)
        return;
    f->inodes = INODES_UNSTABLE;
    f->id.ino = 0;
}

static const char *file_difference_of_open(const struct file *f, int fd) {
    struct stat st;
    const char *difference;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        return "replaced by something that is not a file";
    return fileid_compare(&f->id, fd, true, &difference) == 0 ? difference : strerror(errno);
}

const char *planner_source_difference(const struct file *f) {
    static char text[128];
    if (f->stream)
        return NULL;
    int fd = open(f->path, O_PATH | O_CLOEXEC);
    if (fd == -1) {
        snprintf(text, sizeof text, "it cannot be read any more: %s", strerror(errno));
        return text;
    }
    const char *difference = file_difference_of_open(f, fd);
    close(fd);
    return difference;
}

/* CLOCK_REALTIME_COARSE stamps files. It advances with the tick, and later on a busy machine. A stamp of the future
 * means that the clock was set back; waiting does not help then. */
void planner_let_settle(const struct stat *st) {
    struct timespec now;
    for (int i = 0; i < SETTLE_LOOKS && clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0; i++) {
        if (now.tv_sec > st->st_ctim.tv_sec || (now.tv_sec == st->st_ctim.tv_sec && now.tv_nsec > st->st_ctim.tv_nsec))
            return;
        if (now.tv_sec < st->st_ctim.tv_sec - 1)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* --- changed sources --- */

/* Plans f as a new file at the same path. false: it cannot be uploaded as it is now. */
static bool planner_file_plan_current(struct planner *p, struct file *f, uint64_t now_ms) {
    struct stat st;
    struct source_identity id;
    enum inodes inodes;
    struct geometry wanted;
    if (f->stream || stat(f->path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    planner_let_settle(&st);
    planner_identify(p, f->path, &st, &id, &inodes);
    if (geometry_plan(p->limits, id.size, p->chunk_size, &wanted) != 0)
        return false;
    planner_file_restart(p, f, now_ms);
    p->stats.bytes_total = p->stats.bytes_total - f->id.size + id.size;
    files_set_identity(&p->files, f, &id, &wanted);
    f->inodes = inodes;
    f->forced = p->force;
    f->missing = false;
    return true;
}

void planner_file_changed_before_upload(struct planner *p, struct file *f, const char *difference, uint64_t now_ms) {
    if (f->changes++ >= RESTARTS_MAX || !planner_file_plan_current(p, f, now_ms))
        planner_file_failed(p, f, FAIL_CHANGED, "changed while it was compared with its record (%s)", difference);
}

/* The upload may have left something at the destination. */
static bool file_has_left_something(const struct planner *p, const struct file *f) {
    switch (f->state) {
    case FILE_BEGIN:
    case FILE_CHUNKS:
    case FILE_FINISH:
        return true;
    case FILE_PUT:
        return p->sources.scheme == DEST_FILE;
    case FILE_PLAN: /* a file is continued later */
        return f->stream && (f->handle || f->started_ms);
    case FILE_VERIFY:
    case FILE_CHECK:
    case FILE_CLEAR:
    case FILE_ASK:
    case FILE_READ:
        break;
    }
    return false;
}

/* f waits for the abort of its own upload. With restart it is planned again after that. */
static void planner_drop_upload(struct planner *p, struct file *f, bool restart, uint64_t now_ms) {
    struct id128 upload = f->upload;
    char *handle = f->handle;
    f->handle = NULL;
    planner_file_restart(p, f, now_ms + DROP_WAIT_MS);
    file_clear_superseded(f);
    f->superseded = upload;
    f->superseded_handle = handle;
    f->superseded_opened = true;
    f->state = FILE_CLEAR;
    f->dropping = true;
    f->restarting = restart;
    f->unserved_since_ms = 0;
    if (!restart)
        f->started_ms = 0; /* no longer shown as in progress */
}

void planner_drop_ended(struct planner *p, struct file *f, const char *reason, uint64_t now_ms) {
    bool restart = f->restarting && !reason;
    if (f->drop) {
        if (reason)
            planner_file_failed(p, f, FAIL_DEST, "%s", reason);
        else
            planner_file_done(p, f, now_ms);
        return;
    }
    if (reason)
        planner_notice(p,
                       "%s: its incomplete upload remains at %s: %s; uploading it again, or 'chunklift journal forget "
                       "--unfinished', removes that",
                       f->path, f->dest, reason);
    f->dropping = false;
    if (restart && planner_file_plan_current(p, f, now_ms)) {
        file_clear_superseded(f);
        return;
    }
    if (f->restarting)
        planner_file_failed(p, f, FAIL_CHANGED, "changed while it was uploaded; re-run to start it again");
    else
        planner_file_remove(p, f);
}

void planner_file_spoiled(struct planner *p, struct file *f, enum fail_class class, const char *reason,
                          uint64_t now_ms) {
    bool left = file_has_left_something(p, f);
    if (left)
        planner_drop_upload(p, f, false, now_ms); /* first: its done bytes are subtracted once */
    f->existing = class == FAIL_EXISTS && p->ignore_existing;
    if (f->existing)
        planner_file_report_skipped(p, f);
    else
        planner_file_report_failed(p, f, class, reason);
    if (!left)
        planner_file_remove(p, f);
}

void planner_file_given_up(struct planner *p, struct file *f, enum fail_class class, const char *reason,
                           uint64_t now_ms) {
    if (f->stream)
        planner_file_spoiled(p, f, class, reason, now_ms);
    else
        planner_file_failed(p, f, class, "%s", reason);
}

void planner_file_changed(struct planner *p, struct file *f, const char *sentence, uint64_t now_ms) {
    char reason[PROTO_TEXT_MAX + 64];
    bool begun = file_has_left_something(p, f);
    bool drop_first = begun && planner_source_difference(f) == NULL;
    if (p->on_change == ON_CHANGE_RESTART && !f->stream && f->changes < RESTARTS_MAX) {
        f->changes++;
        if (drop_first)
            planner_drop_upload(p, f, true, now_ms);
        if (drop_first || planner_file_plan_current(p, f, now_ms)) {
            planner_notice(p, "%s: %s; starting it again", f->path, sentence);
            return;
        }
    }
    snprintf(reason, sizeof reason, "%s; re-run to start it again", sentence);
    if (begun)
        planner_drop_upload(p, f, false, now_ms);
    planner_file_report_failed(p, f, FAIL_CHANGED, reason);
    if (!begun)
        planner_file_remove(p, f);
}

void planner_file_differs(struct planner *p, struct file *f, const char *difference, uint64_t now_ms) {
    char sentence[PROTO_TEXT_MAX];
    snprintf(sentence, sizeof sentence, FILEID_CHANGED_FORMAT, difference);
    planner_file_changed(p, f, sentence, now_ms);
}

/* --- standard input --- */

struct file *planner_stream_file(const struct planner *p) {
    struct file *f = p->stream ? p->files.first : NULL;
    while (f && !f->stream)
        f = f->next;
    return f;
}

/* The input is not read again, so nothing of the upload is of use. */
static void planner_stream_abandon(struct planner *p, struct file *f, uint64_t now_ms) {
    p->stream_stopped = true;
    if (file_has_left_something(p, f))
        planner_drop_upload(p, f, false, now_ms);
    else
        planner_file_remove(p, f);
    p->stats.bytes_total = p->stats.bytes_done = 0;
    p->stats.total_unknown = false;
}

int planner_stream_failed(struct planner *p, struct file *f, const char *reason, uint64_t now_ms) {
    static const struct source_identity none;
    static const struct geometry nothing;
    struct file *failed;
    int err = files_add(&p->files, f->path, f->dest, &none, &nothing, &failed);
    if (!err)
        err = planner_file_refuse(p, failed, reason);
    planner_stream_abandon(p, f, now_ms);
    return err;
}

bool planner_stream_cancel(struct planner *p, uint64_t now_ms) {
    struct file *f = planner_stream_file(p);
    bool in_one_request = f && f->state == FILE_PUT;
    if (!p->stream || in_one_request || (!f && !p->stats.walking))
        return false;
    p->stream_stopped = p->stream_cancelled = true;
    p->stats.walking = false;
    if (f && !f->dropping)
        planner_stream_abandon(p, f, now_ms);
    return true;
}
