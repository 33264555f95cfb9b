/*
 * The temporary file becomes the file: permission bits, mtime, sync, rename.
 *
 * A name that exists under another spelling (the file system folds case or normalises Unicode) may
 * belong to another source and is never replaced. A file created between this check and the rename
 * is detected by RENAME_NOREPLACE. On file systems without it, a lock on the directory keeps other
 * uploaders out.
 */
#include "pure/text.h"
#include "system/fault.h"
#include "uploader/file/file_job.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The file system has no such attribute. */
static bool attribute_is_unsupported(int error) {
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

/* The permission bits of the source, less the umask unless they are to be kept. If they are not
 * known, the temporary file keeps its own. 0, or errno. */
static int file_publish_set_mode(const struct backend_file *b, const struct file_job *j) {
    uint32_t mode = j->task->job.source.file.mode;
    mode_t taken = b->keeps_modes && !j->task->properties->no_preserve ? 0 : b->umask;
    if (mode == 0 || fchmod(j->fd, mode & 0777 & ~taken) == 0)
        return 0;
    return attribute_is_unsupported(errno) ? 0 : errno;
}

/* 0, or errno. */
static int file_publish_set_mtime(const struct file_job *j) {
    struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, nanotime_to_timespec(j->task->job.source.file.mtime_ns)};
    if (j->task->properties->no_preserve || futimens(j->fd, times) == 0)
        return 0;
    return attribute_is_unsupported(errno) ? 0 : errno;
}

static void file_publish_fail_spelling(struct file_job *j, const char *verb, const char *other, const char *why) {
    char problem[FILE_SPELLING_SIZE + 64];
    struct buf shown = BUF_INIT;
    if (text_add_printable(&shown, slice_of(other)))
        buf_clear(&shown);
    snprintf(problem, sizeof problem, "%s %.255s", verb, shown.len ? shown.data : "a name of another spelling");
    buf_release(&shown);
    file_job_fail(j, FAIL_DEST, problem, why);
}

bool file_publish_may_replace(struct backend_file *b, struct file_job *j) {
    char other[FILE_SPELLING_SIZE];
    struct stat st;
    if (file_job_stat_final(j, &st) != 0)
        return true;
    file_spelling_probe(&b->spelling, &j->path, j->temp);
    if (!file_spelling_differs(&b->spelling, b->allow, j->task->job.target.dest, &j->path, other))
        return true;
    if (j->task->job.ref.kind == JOB_BEGIN)
        (void)unlinkat(j->path.dir_fd, j->temp, 0);
    file_publish_fail_spelling(j, "would overwrite", other,
                               "the destination treats both names as one; upload it under another name");
    return false;
}

/* A file stored under another name than the given one could be taken for that name's own. False:
 * the job ended. */
static bool file_publish_check_spelling(struct backend_file *b, struct file_job *j) {
    char other[FILE_SPELLING_SIZE];
    if (!file_spelling_is_lost(&b->spelling, &j->path, other))
        return true;
    (void)unlinkat(j->path.dir_fd, j->path.name, 0);
    j->temp[0] = 0;
    file_publish_fail_spelling(j, "would be called", other,
                               "the destination changes the spelling of names; upload it under that name");
    return false;
}

static bool rename_is_unsupported(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* 0, EEXIST, or errno. Without RENAME_NOREPLACE, other uploaders of this host wait for the lock. */
static int file_publish_rename_new(const struct file_job *j) {
    int dir = j->path.dir_fd;
    if (renameat2(dir, j->temp, dir, j->path.name, RENAME_NOREPLACE) == 0)
        return 0;
    if (!rename_is_unsupported(errno))
        return errno;
    struct stat st;
    bool locked = flock(dir, LOCK_EX) == 0;
    int error = file_job_stat_final(j, &st) == 0 ? EEXIST : renameat(dir, j->temp, dir, j->path.name) == 0 ? 0 : errno;
    if (locked)
        (void)flock(dir, LOCK_UN);
    return error;
}

static int file_publish_replace(const struct file_job *j) {
    return renameat(j->path.dir_fd, j->temp, j->path.dir_fd, j->path.name) == 0 ? 0 : errno;
}

/* False: the job ended. */
static bool file_publish_rename(struct backend_file *b, struct file_job *j) {
    struct stat st;
    file_spelling_probe(&b->spelling, &j->path, j->temp);
    int error = file_job_stat_final(j, &st) == 0 ? EEXIST : file_publish_rename_new(j);
    if (!error)
        return file_publish_check_spelling(b, j);
    if (error == EEXIST && j->task->job.if_none_match) {
        file_job_fail(j, FAIL_EXISTS, "is there already, and --if-none-match keeps it", NULL);
        return false;
    }
    if (error == EEXIST) {
        if (!file_publish_may_replace(b, j))
            return false;
        error = file_publish_replace(j);
    }
    if (error)
        file_job_fail_errno(j, "cannot rename its temporary file", error);
    return !error;
}

void file_job_publish(struct backend_file *b, struct file_job *j) {
    int error = file_publish_set_mode(b, j);
    if (error) {
        file_job_fail_errno(j, "cannot set its permissions", error);
        return;
    }
    error = file_publish_set_mtime(j);
    if (error) {
        file_job_fail_errno(j, "cannot set the time of its last change", error);
        return;
    }
    if (fsync(j->fd) != 0) {
        file_job_fail_errno(j, "cannot sync", errno);
        return;
    }
    FAULT_POINT_AS(bytes_synced, job_kind_name(j->task->job.ref.kind));
    if (file_job_park_if_late(b, j) || !file_job_check_final(j) || !file_publish_rename(b, j))
        return;
    j->temp[0] = 0;
    FAULT_POINT_AS(temp_renamed, job_kind_name(j->task->job.ref.kind));
    file_job_wait_dir_sync(b, j);
}
