/* Common to all jobs: their ends, names of temporary files, and the writing of bytes. */
#include "uploader/file/file_job.h"
#include "pure/buf.h"
#include "pure/ids.h"
#include "pure/text.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/oserr.h"
#include "uploader/file/file_holes.h"
#include "uploader/policy/token_bucket.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

/* --- ends of a job --- */

void file_job_free(struct file_job *j) {
    list_remove(&j->node);
    if (j->fd != -1)
        close(j->fd);
    file_path_close(&j->path);
    file_removal_destroy(&j->removal);
    j->task->backend_state = NULL;
    free(j);
}

void file_job_remove_put(struct file_job *j) {
    if (j->task->job.ref.kind == JOB_PUT && j->fd != -1 && j->temp[0])
        (void)unlinkat(j->path.dir_fd, j->temp, 0);
}

void file_job_end(struct file_job *j, enum outcome outcome) {
    struct task *t = j->task;
    t->result.outcome = outcome;
    if (outcome != OUTCOME_DONE)
        file_job_remove_put(j);
    file_job_free(j);
    task_done(t);
}

void file_job_fail(struct file_job *j, enum fail_class class, const char *problem, const char *why) {
    struct task *t = j->task;
    struct buf name = BUF_INIT;
    t->result.class = class;
    if (text_add_printable(&name, t->job.target.dest))
        buf_clear(&name);
    size_t shown = utf8_valid_prefix(slice_make(name.data, MIN(name.len, 300)));
    snprintf(t->result.error, sizeof t->result.error, "%.*s: %s%s%s", (int)shown, name.data ? name.data : "", problem,
             why ? ": " : "", why ? why : "");
    buf_release(&name);
    file_job_end(j, OUTCOME_FAILED);
}

enum own_failure file_errno_own(int error) {
    switch (error) {
    case EROFS:
        return OWN_SURE;
    case ENOSPC:
    case EDQUOT:
    case EACCES:
    case EPERM:
    case EIO:
    case ENODEV:
    case ENXIO:
    case ENOENT:
    case ENOTCONN:
    case ESTALE:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
        return OWN_MAYBE;
    default:
        return OWN_NO;
    }
}

bool file_errno_passes(int error) {
    return error == EINTR || error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

void file_job_fail_errno(struct file_job *j, const char *problem, int error) {
    enum fail_class class = error == ENOSPC || error == EDQUOT ? FAIL_FULL : FAIL_DEST;
    j->task->result.transient = file_errno_passes(error);
    j->task->result.own = file_errno_own(error);
    file_job_fail(j, class, problem, confined_error_text(error));
}

void file_job_wait_dir_sync(struct backend_file *b, struct file_job *j) {
    struct stat st;
    if (fstat(j->path.dir_fd, &st) != 0) {
        file_job_fail_errno(j, "cannot read the attributes of its directory", errno);
        return;
    }
    j->dev = st.st_dev;
    j->ino = st.st_ino;
    list_remove(&j->node);
    list_add(&b->dir_syncing, &j->node);
}

/* --- names and handles --- */

void file_temp_name(const struct id128 *upload, const char *suffix, char out[FILE_TEMP_SIZE]) {
    char hex[ID_HEX_SIZE];
    id_to_hex(upload, hex);
    snprintf(out, FILE_TEMP_SIZE, ".chunklift-%s.%s", hex, suffix);
}

int file_open_at(int dir_fd, const char *name, int flags) {
    int fd;
    do
        fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, FILE_TEMP_MODE);
    while (fd == -1 && errno == EINTR);
    return fd;
}

int file_open_temp(int dir_fd, const char *name, int flags) {
    int fd = file_open_at(dir_fd, name, flags);
    if (fd == -1 && errno == EACCES) {
        if (fchmodat(dir_fd, name, FILE_TEMP_MODE, 0) == 0)
            fd = file_open_at(dir_fd, name, flags);
        else
            errno = EACCES; /* that of the open, not of fchmodat */
    }
    struct stat st;
    if (fd != -1 && flags & O_CREAT && fstat(fd, &st) == 0 && st.st_mode & 077 && S_ISREG(st.st_mode))
        (void)fchmod(fd, FILE_TEMP_MODE); /* file systems without modes refuse it */
    return fd;
}

int file_job_stat_final(const struct file_job *j, struct stat *st) {
    return fstatat(j->path.dir_fd, j->path.name, st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

bool file_job_check_final(struct file_job *j) {
    struct stat st;
    int error = file_job_stat_final(j, &st);
    if (error && error != ENOENT) {
        file_job_fail_errno(j, "cannot read its attributes", error);
        return false;
    }
    if (!error && S_ISDIR(st.st_mode)) {
        file_job_fail(j, FAIL_DEST, "is a directory", NULL);
        return false;
    }
    if (!error && j->task->job.if_none_match) {
        file_job_fail(j, FAIL_EXISTS, "is there already, and --if-none-match keeps it", NULL);
        return false;
    }
    if (!error && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        file_job_fail(j, FAIL_DEST, "is a device, fifo or socket; it is not replaced by a file", NULL);
        return false;
    }
    return true;
}

/* A file with the temporary name that is not the one of the handle is removed: the next begin needs
 * the name. */
void file_job_end_gone(struct file_job *j) {
    if (j->path.dir_fd != -1)
        (void)unlinkat(j->path.dir_fd, j->temp, 0);
    snprintf(j->task->result.error, sizeof j->task->result.error, "its temporary file is gone");
    j->task->result.own = OWN_MAYBE; /* this host may see another file system under the path */
    file_job_end(j, OUTCOME_GONE);
}

static void file_job_wait_sync(struct backend_file *b, struct file_job *j) {
    struct stat st;
    if (fstat(j->fd, &st) != 0) {
        file_job_fail_errno(j, "cannot read the attributes of its temporary file", errno);
        return;
    }
    j->dev = st.st_dev;
    j->ino = st.st_ino;
    j->task->awaiting_reply = true;
    list_remove(&j->node);
    list_add(&b->syncing, &j->node);
}

/* Rule 5: the deadline is checked before each write, because a read may have taken long, or the
 * process may have been stopped. False: the job is parked or ended. */
static bool file_job_write_run(struct backend_file *b, struct file_job *j, struct file_run run, uint64_t offset) {
    for (size_t done = 0; done < run.len;) {
        if (file_job_park_if_late(b, j))
            return false;
        ssize_t put = pwrite(j->fd, b->piece + run.from + done, run.len - done, (off_t)(offset + run.from + done));
        if (put == -1 && errno == EINTR)
            continue;
        if (put <= 0) {
            file_job_fail_errno(j, "cannot write", put == -1 ? errno : EIO);
            return false;
        }
        done += (size_t)put;
    }
    return true;
}

/* Writes the piece except zeros in holes of the file. False: the job is parked or ended. */
static bool file_job_write_piece(struct backend_file *b, struct file_job *j, size_t len, uint64_t offset) {
    struct file_run run = {0};
    while (file_run_next(j->fd, slice_make(b->piece, len), offset, &run))
        if (!file_job_write_run(b, j, run, offset))
            return false;
    return true;
}

/* The begin of a stream does not set the size of the file. Zeros at the end of its chunk that were not written are beyond the
 * end of the file then: the last one is written. False: the job is parked or ended. */
static bool file_job_write_end(struct backend_file *b, struct file_job *j, uint64_t end) {
    struct stat st;
    if (!j->task->job.source.stream)
        return true;
    if (file_job_park_if_late(b, j))
        return false;
    if (fstat(j->fd, &st) == 0 &&
        ((uint64_t)st.st_size >= end || TEMP_FAILURE_RETRY(pwrite(j->fd, "", 1, (off_t)end - 1)) == 1))
        return true;
    file_job_fail_errno(j, "cannot write", errno);
    return false;
}

/* Pieces are halved while one takes longer than a step may. */
static void file_piece_adapt(struct backend_file *b, uint64_t took_ms) {
    if (took_ms > FILE_STEP_MS && b->piece_bytes > FILE_PIECE_MIN_BYTES)
        b->piece_bytes /= 2;
    else if (took_ms < FILE_STEP_MS / 4 && b->piece_bytes < FILE_PIECE_BYTES)
        b->piece_bytes *= 2;
}

void file_job_fail_source(struct file_job *j, int err) {
    if (err == ERR_DESCRIPTORS) {
        file_job_fail_errno(j, "its source cannot be opened again", EMFILE);
        return;
    }
    if (err == ERR_UNREACHABLE || err == ERR_DAMAGED) {
        struct task_result *result = &j->task->result;
        result->transient = true;
        result->source_lost = err == ERR_UNREACHABLE;
        result->class = err == ERR_UNREACHABLE ? FAIL_OUTAGE : FAIL_INTEGRITY;
        (void)!source_check(j->task->source, result->error, sizeof result->error);
    } else {
        char why[160] = "";
        int now = source_check(j->task->source, why, sizeof why);
        if (!now && err == ERR_CHANGED)
            snprintf(why, sizeof why, "it shrank and grew");
        j->task->result.class =
            source_failure(now ? now : err, why, j->task->result.error, sizeof j->task->result.error);
    }
    file_job_end(j, OUTCOME_FAILED);
}

bool file_job_park_if_late(struct backend_file *b, struct file_job *j) {
    if (clock_ms() < j->task->lease_deadline_ms)
        return false;
    list_remove(&j->node);
    list_add(&b->parked, &j->node);
    return true;
}

bool file_job_is_throttled(const struct backend_file *b, const struct file_job *j) {
    return j->phase == PHASE_WRITE && b->bucket &&
           token_bucket_level(b->bucket, clock_ns()) < token_bucket_piece(b->bucket);
}

/* Bytes that may be written now; 0: none yet. With a rate limit, each job gets one piece in
 * turn. */
static size_t file_job_take_tokens(struct backend_file *b, const struct file_job *j) {
    if (!b->bucket || b->bucket->rate <= 0)
        return b->piece_bytes;
    uint64_t left = source_length(j->task->source) - source_position(j->task->source);
    uint64_t piece = MIN(token_bucket_piece(b->bucket), b->piece_bytes);
    return left == 0 ? b->piece_bytes /* to read its end */
                     : (size_t)token_bucket_take(b->bucket, MIN(left, piece), piece, clock_ns());
}

/* Returns the tokens that were taken and not used. */
static void file_job_return_tokens(struct backend_file *b, size_t taken, ssize_t used) {
    if (b->bucket)
        token_bucket_give_back(b->bucket, taken - (size_t)MAX(used, 0));
}

void file_job_requeue(struct backend_file *b, struct file_job *j) {
    list_remove(&j->node);
    list_add(&b->ready, &j->node);
}

void file_job_write(struct backend_file *b, struct file_job *j) {
    struct task *t = j->task;
    uint64_t base = t->job.ref.kind == JOB_CHUNK ? t->job.offset : 0;
    uint64_t began_ms = clock_ms(), now_ms = began_ms;
    for (size_t moved = 0; moved < FILE_STEP_BYTES && now_ms < began_ms + FILE_STEP_MS;) {
        if (file_job_park_if_late(b, j))
            return;
        uint64_t at = base + source_position(t->source);
        size_t max = file_job_take_tokens(b, j);
        if (max == 0) {
            file_job_requeue(b, j);
            return;
        }
        ssize_t got = source_read(t->source, b->piece, max);
        if (at < base + source_length(t->source))
            file_job_return_tokens(b, max, got);
        if (got == ERR_AGAIN) {
            list_remove(&j->node);
            list_add(&b->waiting, &j->node);
            return;
        }
        if (got < 0) {
            file_job_fail_source(j, (int)got);
            return;
        }
        if (got == 0) {
            FAULT_POINT_AS(bytes_written, job_kind_name(t->job.ref.kind));
            if (t->job.ref.kind == JOB_CHUNK && !file_job_write_end(b, j, at))
                return;
            if (t->job.ref.kind == JOB_CHUNK)
                file_job_wait_sync(b, j);
            else
                j->phase = PHASE_PUBLISH;
            return;
        }
        if (!file_job_write_piece(b, j, (size_t)got, at))
            return;
        uint64_t before_ms = now_ms;
        now_ms = clock_ms();
        file_piece_adapt(b, now_ms - before_ms);
        if ((size_t)got == FILE_PIECE_BYTES) /* starts the writeback, so that the sync is short */
            (void)sync_file_range(j->fd, (off_t)at, got, SYNC_FILE_RANGE_WRITE);
        moved += (size_t)got;
        b->unsynced_bytes += (uint64_t)got;
        t->moved_bytes += (uint64_t)got;
        t->result.sent_bytes = t->moved_bytes;
        FAULT_POINT_IF(t->moved_bytes < t->job.length, bytes_half, job_kind_name(t->job.ref.kind));
        if (b->bucket && b->bucket->rate > 0 && source_position(t->source) < source_length(t->source)) {
            file_job_requeue(b, j);
            return;
        }
    }
}
