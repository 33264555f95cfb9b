/*
 * The temporary file becomes the file: permission bits, sync, rename, and what must not be replaced.
 *
 * A name that exists under another spelling (the file system folds case or normalises Unicode) belongs to another
 * source, as far as anyone can tell: it is never replaced. What came between the look and the rename is found by
 * RENAME_NOREPLACE, or, where the file system does not know it, kept out by a lock on the directory.
 */
#include "uploader/file/file_job.h"

#include "pure/text.h"
#include "system/fault.h"
#include "uploader/source/source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* No more than the source's, less the umask. A mode that is not known stays that of the temporary file. */
static int set_mode(const struct backend_file *b, const struct file_job *j) {
    uint32_t mode = j->task->job.source.file.mode;
    if (mode == 0 || fchmod(j->fd, mode & 0777 & ~b->umask) == 0)
        return 0;
    bool has_modes = errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL;
    return has_modes ? errno : 0;
}

static void fail_spelling(struct file_job *j, const char *verb, const char *other, const char *why) {
    char what[FILE_SPELLING_SIZE + 64];
    struct buf shown = BUF_INIT;
    if (text_add_printable(&shown, slice_of(other)))
        buf_clear(&shown);
    snprintf(what, sizeof what, "%s %.255s", verb, shown.len ? shown.data : "a name of another spelling");
    buf_release(&shown);
    file_job_fail(j, FAIL_DEST, what, why);
}

bool file_close_may_replace(struct backend_file *b, struct file_job *j) {
    char other[FILE_SPELLING_SIZE];
    struct stat st;
    if (file_job_look_at_final(j, &st) != 0)
        return true;
    file_spelling_probe(&b->spelling, &j->place, j->temp);
    if (!file_spelling_differs(&b->spelling, b->allow, j->task->job.target.dest, &j->place, other))
        return true;
    if (j->task->job.ref.kind == JOB_BEGIN)
        (void)unlinkat(j->place.dir_fd, j->temp, 0);
    fail_spelling(j, "would overwrite", other,
                  "the destination does not tell the two names apart; upload it under another name");
    return false;
}

/* What is stored under another name than it was given could be taken for that name's own. False: the job ended. */
static bool keep_spelling(struct backend_file *b, struct file_job *j) {
    char other[FILE_SPELLING_SIZE];
    if (!file_spelling_is_lost(&b->spelling, &j->place, other))
        return true;
    (void)unlinkat(j->place.dir_fd, j->place.name, 0);
    j->temp[0] = 0;
    fail_spelling(j, "would be called", other,
                  "the destination changes the spelling of names; upload it under that name");
    return false;
}

static bool is_unsupported(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* 0, EEXIST, or errno. Where the file system has no such rename, other uploaders of this host wait meanwhile. */
static int rename_new(const struct file_job *j) {
    int dir = j->place.dir_fd;
    if (renameat2(dir, j->temp, dir, j->place.name, RENAME_NOREPLACE) == 0)
        return 0;
    if (!is_unsupported(errno))
        return errno;
    struct stat st;
    bool locked = flock(dir, LOCK_EX) == 0;
    int error = file_job_look_at_final(j, &st) == 0               ? EEXIST
                : renameat(dir, j->temp, dir, j->place.name) == 0 ? 0
                                                                  : errno;
    if (locked)
        (void)flock(dir, LOCK_UN);
    return error;
}

static int rename_over(const struct file_job *j) {
    return renameat(j->place.dir_fd, j->temp, j->place.dir_fd, j->place.name) == 0 ? 0 : errno;
}

/* False: the job ended. */
static bool rename_temp(struct backend_file *b, struct file_job *j) {
    struct stat st;
    file_spelling_probe(&b->spelling, &j->place, j->temp);
    int error = file_job_look_at_final(j, &st) == 0 ? EEXIST : rename_new(j);
    if (!error)
        return keep_spelling(b, j);
    if (error == EEXIST) {
        if (!file_close_may_replace(b, j))
            return false;
        error = rename_over(j);
    }
    if (error)
        file_job_fail_errno(j, "cannot rename its temporary file", error);
    return !error;
}

void file_job_close(struct backend_file *b, struct file_job *j) {
    int error = set_mode(b, j);
    if (error) {
        file_job_fail_errno(j, "cannot set its permissions", error);
        return;
    }
    if (fsync(j->fd) != 0) {
        file_job_fail_errno(j, "cannot sync", errno);
        return;
    }
    FAULT_POINT_AS(bytes_synced, job_kind_name(j->task->job.ref.kind));
    if (file_job_park_when_late(b, j) || !file_job_final_is_usable(j) || !rename_temp(b, j))
        return;
    j->temp[0] = 0;
    FAULT_POINT_AS(temp_renamed, job_kind_name(j->task->job.ref.kind));
    file_job_wait_dir_sync(b, j);
}
