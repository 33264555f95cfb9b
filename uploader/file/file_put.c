#include "system/fault.h"
#include "uploader/file/file_job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

/* Takes the temporary name for us alone. 0, EBUSY: another uploader is writing it, or errno. */
static int lock_put(struct file_job *j) {
    for (int tries = 0; tries < 8; tries++) {
        j->fd = file_open_temp(j->place.dir_fd, j->temp, O_RDWR | O_CREAT);
        if (j->fd < 0)
            return errno;
        struct stat st, named;
        if (flock(j->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            return EBUSY;
        if (fstat(j->fd, &st) != 0)
            return errno;
        if (!S_ISREG(st.st_mode))
            return EEXIST;
        if (fstatat(j->place.dir_fd, j->temp, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == st.st_ino &&
            named.st_dev == st.st_dev)
            return ftruncate(j->fd, 0) == 0 ? 0 : errno;
        close(j->fd); /* renamed or removed by its last holder between our open and our lock */
        j->fd = -1;
    }
    return EBUSY;
}

void file_put_open(struct file_job *j) {
    if (!file_job_final_is_usable(j))
        return;
    int error = lock_put(j);
    if (error) {
        j->temp[0] = 0; /* not ours to remove */
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

void file_put_close(struct backend_file *b, struct file_job *j) {
    char why[128] = "";
    int err = source_check(j->task->source, why, sizeof why); /* before anything is replaced by it */
    if (err) {
        file_job_source_failed(j, err);
        return;
    }
    j->task->result.crc = source_crc(j->task->source);
    j->task->result.size = source_length(j->task->source);
    if (lseek(j->fd, 0, SEEK_END) < (off_t)source_length(j->task->source) && /* it ends in a hole */
        ftruncate(j->fd, (off_t)source_length(j->task->source)) != 0) {
        file_job_fail_errno(j, "cannot give its temporary file its size", errno);
        return;
    }
    file_job_close(b, j);
}
