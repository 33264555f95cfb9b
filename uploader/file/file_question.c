/* read: a range of the file at the destination, for its checksum. */
#include "pure/digest.h"
#include "uploader/file/file_job.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/param.h>
#include <unistd.h>

void file_question_open(struct file_job *j) {
    struct stat st;
    int error = file_job_stat_final(j, &st);
    if (error && error != ENOENT) {
        file_job_fail_errno(j, "cannot read its attributes", error);
        return;
    }
    if (error || !S_ISREG(st.st_mode)) {
        file_job_end(j, OUTCOME_DONE);
        return;
    }
    j->fd = file_open_at(j->path.dir_fd, j->path.name, O_RDONLY);
    if (j->fd == -1) {
        file_job_fail_errno(j, "cannot be read", errno);
        return;
    }
    j->task->result.exists = true;
    j->phase = PHASE_READ;
}

static void file_question_end(struct file_job *j) {
    struct task_result *result = &j->task->result;
    result->size = j->position;
    result->has_crc = true;
    result->crc = j->crc;
    file_job_end(j, OUTCOME_DONE);
}

void file_question_read(struct backend_file *b, struct file_job *j) {
    const struct job *job = &j->task->job;
    for (size_t moved = 0; moved < FILE_STEP_BYTES;) {
        uint64_t left = job->length - j->position;
        ssize_t got =
            left ? pread(j->fd, b->piece, (size_t)MIN(left, FILE_PIECE_BYTES), (off_t)(job->offset + j->position)) : 0;
        if (got == -1 && errno == EINTR)
            continue;
        if (got == -1) {
            file_job_fail_errno(j, "cannot be read", errno);
            return;
        }
        if (got == 0) {
            file_question_end(j);
            return;
        }
        j->crc = crc32c_add(j->crc, b->piece, (size_t)got);
        j->position += (uint64_t)got;
        moved += (size_t)got;
        j->task->checked_bytes += (uint64_t)got;
    }
    file_job_requeue(b, j);
}
