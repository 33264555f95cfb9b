/* put: a small file in one job, written to a temporary file that is locked until it is renamed. */
#include "system/fault.h"
#include "uploader/file/file_job.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

/* Opens the temporary file and locks it. 0, errno, or EBUSY: another uploader is writing it. */
static int file_put_lock(struct file_job *j) {
    for (int tries = 0; tries < 8; tries++) {
        j->fd = file_open_temp(j->path.dir_fd, j->temp, O_RDWR | O_CREAT);
        if (j->fd == -1)
            return errno;
        struct stat st, named;
        if (flock(j->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            return EBUSY;
        if (fstat(j->fd, &st) != 0)
            return errno;
        if (!S_ISREG(st.st_mode))
            return EEXIST;
        if (fstatat(j->path.dir_fd, j->temp, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == st.st_ino &&
            named.st_dev == st.st_dev)
            return ftruncate(j->fd, 0) == 0 ? 0 : errno;
        close(j->fd); /* its last holder renamed or removed it between open and lock */
        j->fd = -1;
    }
    return EBUSY;
}

void file_put_open(struct file_job *j) {
    if (!file_job_check_final(j))
        return;
    int error = file_put_lock(j);
    if (error) {
        j->temp[0] = 0; /* not removed at the end: it is not ours */
        j->task->result.transient = error == EBUSY;
        if (error == EBUSY)
            file_job_fail(j, FAIL_DEST, "another uploader is writing it", NULL);
        else
            file_job_fail_errno(j, "cannot create its temporary file", error);
        return;
    }
    FAULT_POINT_AS(temp_created, "put");
    j->phase = PHASE_WRITE;
}

void file_put_publish(struct backend_file *b, struct file_job *j) {
    char why[128] = "";
    int err = source_check(j->task->source, why, sizeof why); /* before the destination is replaced */
    if (err) {
        file_job_fail_source(j, err);
        return;
    }
    j->task->result.source_checked = true;
    j->task->result.crc = source_crc(j->task->source);
    j->task->result.size = source_length(j->task->source);
    if (lseek(j->fd, 0, SEEK_END) != (off_t)source_length(j->task->source) && /* it ends in a hole */
        ftruncate(j->fd, (off_t)source_length(j->task->source)) != 0) {
        file_job_fail_errno(j, "cannot set the size of its temporary file", errno);
        return;
    }
    file_job_publish(b, j);
}
