/* The jobs of an upload in chunks: begin, chunk, finish, abort; also stat. */
#include "pure/decimal.h"
#include "pure/digest.h"
#include "system/fault.h"
#include "uploader/file/file_job.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- handles --- */

bool file_upload_parse_handle(const struct task *t, uint64_t *ino) {
    char wanted[FILE_TEMP_SIZE]; /* a colon in the place of the NUL */
    file_temp_name(&t->job.ref.upload, "part", wanted);
    size_t len = strlen(wanted);
    wanted[len++] = ':';
    struct slice handle = t->job.handle;
    if (handle.len <= len || memcmp(handle.ptr, wanted, len) != 0)
        return false;
    return decimal_parse(slice_make(handle.ptr + len, handle.len - len), UINT64_MAX, ino) == 0;
}

/* Opens the temporary file and checks that it is the one of the handle. 0, errno, or ENOENT: it
 * does not exist. */
static int file_upload_open_temp(struct file_job *j, int flags, struct stat *st) {
    j->fd = file_open_temp(j->path.dir_fd, j->temp, flags);
    if (j->fd == -1)
        return errno;
    if (fstat(j->fd, st) != 0)
        return errno;
    return S_ISREG(st->st_mode) && st->st_ino == j->handle_ino ? 0 : ENOENT;
}

/* --- begin, abort, stat --- */

void file_upload_begin(struct backend_file *b, struct file_job *j) {
    struct task *t = j->task;
    if (!file_job_check_final(j))
        return;
    struct stat st;
    j->fd = file_open_temp(j->path.dir_fd, j->temp, O_RDWR | O_CREAT);
    if (j->fd == -1 || fstat(j->fd, &st) != 0) {
        file_job_fail_errno(j, "cannot create its temporary file", errno);
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        file_job_fail(j, FAIL_DEST, "its temporary file is not a regular file", NULL);
        return;
    }
    FAULT_POINT_AS(temp_created, "begin");
    if (!file_publish_may_replace(b, j)) /* before any byte is sent; the temporary file is removed */
        return;
    if ((uint64_t)st.st_size < t->job.source.file.size && ftruncate(j->fd, (off_t)t->job.source.file.size) != 0) {
        file_job_fail_errno(j, "cannot set the size of its temporary file", errno);
        return;
    }
    FAULT_POINT_AS(temp_sized, "begin");
    snprintf(t->result.handle, sizeof t->result.handle, "%s:%" PRIu64, j->temp, (uint64_t)st.st_ino);
    t->result.checksum = CHECKSUM_NONE;
    file_job_wait_dir_sync(b, j);
}

/* Both names contain the upload id, so files with these names belong to this upload. */
void file_upload_abort(struct backend_file *b, struct file_job *j) {
    static const char *const suffixes[] = {"part", "put", NULL};
    bool removed = false;
    for (const char *const *suffix = suffixes; *suffix; suffix++) {
        file_temp_name(&j->task->job.ref.upload, *suffix, j->temp);
        if (unlinkat(j->path.dir_fd, j->temp, 0) == 0) {
            removed = true;
        } else if (errno != ENOENT) {
            file_job_fail_errno(j, "cannot remove its temporary file", errno);
            return;
        }
    }
    FAULT_POINT_IF(removed, temp_unlinked, "abort");
    if (removed)
        file_job_wait_dir_sync(b, j);
    else
        file_job_end(j, OUTCOME_DONE);
}

void file_upload_stat(struct file_job *j) {
    struct stat st;
    int error = file_job_stat_final(j, &st);
    if (error && error != ENOENT) {
        file_job_fail_errno(j, "cannot read its attributes", error);
        return;
    }
    j->task->result.exists = !error && S_ISREG(st.st_mode);
    j->task->result.size = j->task->result.exists ? (uint64_t)st.st_size : 0;
    file_job_end(j, OUTCOME_DONE);
}

/* --- chunk --- */

void file_upload_chunk(struct file_job *j) {
    struct stat st;
    int error = file_upload_open_temp(j, O_WRONLY, &st);
    if (error == ENOENT && file_job_stat_final(j, &st) == 0 && st.st_ino == j->handle_ino) {
        j->task->result.transient = true; /* a late chunk: its next claim is denied */
        file_job_fail(j, FAIL_DEST, "the upload is already finished", NULL);
    } else if (error == ENOENT) {
        file_job_end_gone(j);
    } else if (error) {
        file_job_fail_errno(j, "cannot open its temporary file", error);
    } else {
        j->phase = PHASE_WRITE;
    }
}

/* --- finish --- */

/* Combines the checksums of the parts. False: the parts do not make up the file. */
static bool file_upload_combine(const struct task *t, uint32_t *crc) {
    uint64_t length = 0;
    *crc = 0;
    if (t->part_count != t->job.chunks)
        return false;
    for (size_t i = 0; i < t->part_count; i++) {
        if (t->parts[i].chunk != i || t->parts[i].length > t->job.source.file.size - length)
            return false;
        *crc = crc32c_combine(*crc, t->parts[i].crc, t->parts[i].length);
        length += t->parts[i].length;
    }
    return length == t->job.source.file.size;
}

/* Rule 11: an earlier finish may have renamed the temporary file. The file at the final name is
 * read to find out. */
static void file_upload_start_verify(struct file_job *j) {
    struct stat st;
    int error = file_job_stat_final(j, &st);
    if (error && error != ENOENT) {
        file_job_fail_errno(j, "cannot read its attributes", error);
        return;
    }
    bool may_be_ours = !error && S_ISREG(st.st_mode) && st.st_ino == j->handle_ino &&
                       (uint64_t)st.st_size == j->task->job.source.file.size;
    if (!may_be_ours) {
        file_job_end_gone(j);
        return;
    }
    if (j->fd != -1)
        close(j->fd);
    j->fd = file_open_at(j->path.dir_fd, j->path.name, O_RDONLY);
    if (j->fd == -1) {
        file_job_fail_errno(j, "cannot be read for verification", errno);
        return;
    }
    FAULT_POINT(finish_doubted);
    j->phase = PHASE_VERIFY;
}

void file_upload_finish(struct file_job *j) {
    struct stat st = {0};
    if (!file_upload_combine(j->task, &j->wanted_crc)) {
        file_job_fail(j, FAIL_INTEGRITY, "the records of its chunks do not make up the file", NULL);
        return;
    }
    int error = file_upload_open_temp(j, O_WRONLY, &st);
    if (error == ENOENT)
        file_upload_start_verify(j);
    else if (error)
        file_job_fail_errno(j, "cannot open its temporary file", error);
    else if ((uint64_t)st.st_size != j->task->job.source.file.size)
        file_job_fail(j, FAIL_INTEGRITY, "its temporary file has another size than the source", NULL);
    else
        j->phase = PHASE_PUBLISH;
}

void file_upload_verify(struct backend_file *b, struct file_job *j) {
    for (size_t moved = 0; moved < FILE_STEP_BYTES;) {
        ssize_t got = pread(j->fd, b->piece, FILE_PIECE_BYTES, (off_t)j->position);
        if (got == -1 && errno == EINTR)
            continue;
        if (got == -1) {
            file_job_fail_errno(j, "cannot be read for verification", errno);
            return;
        }
        if (got == 0) {
            struct stat st;
            bool ours = j->crc == j->wanted_crc && file_job_stat_final(j, &st) == 0 && st.st_ino == j->handle_ino;
            FAULT_POINT_IF(ours, finish_verified, "");
            if (ours)
                file_job_wait_dir_sync(b, j);
            else
                file_job_end_gone(j);
            return;
        }
        j->crc = crc32c_add(j->crc, b->piece, (size_t)got);
        j->position += (uint64_t)got;
        moved += (size_t)got;
        j->task->checked_bytes += (uint64_t)got;
    }
}
