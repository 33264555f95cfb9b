#include "consumer/journal/disk.h"

#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct journal_io journal_real_io = {.write = write, .fdatasync = fdatasync, .fsync = fsync, .rename = rename};

int disk_error(const char *dir, const char *name, const char *operation) {
    int error = errno, err = err_from_errno(error);
    const char *slash = *name ? "/" : "";
    if (err == ERR_FULL)
        log_error("%s: no space left for the journal; nothing was acknowledged; free some space and start again", dir);
    else if (error == EFBIG) {
        log_error(
            "%s%s%s: %s: %s; nothing more is acknowledged; raise the limit of file sizes (ulimit -f), or rotate the "
            "journal earlier (--rotate)",
            dir, slash, name, operation, strerror(error));
        return ERR_DENIED;                          /* the same write fails again */
    } else if (err == ERR_DENIED && error != EROFS) /* a file system that failed is often made read-only */
        log_error("%s%s%s: %s: %s; the journal's directory must be this user's and writable", dir, slash, name,
                  operation, strerror(error));
    else
        log_error("%s%s%s: %s: %s; nothing more is acknowledged; check the disk and start again", dir, slash, name,
                  operation, strerror(error));
    return err;
}

char *disk_path(const char *dir, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, name) == -1 ? NULL : path;
}

int disk_write_all(const struct journal_io *io, int fd, const void *bytes, size_t len) {
    const char *from = bytes;
    while (len > 0) {
        ssize_t n = io->write(fd, from, len);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* write(2) returns 0 for no regular file; an endless loop would be worse */
        if (n <= 0)
            return ERR_IO;
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

int disk_create(const char *dir, const char *name, bool exclusive, int *fd) {
    char *path = disk_path(dir, name);
    if (!path)
        return ERR_NOMEM;
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (exclusive ? O_EXCL : O_TRUNC);
    *fd = open(path, flags, 0600);
    int error = errno;
    owner_inherit(*fd, dir);
    free(path);
    errno = error;
    if (*fd != -1)
        return 0;
    return exclusive && error == EEXIST ? ERR_BUSY : disk_error(dir, name, "create");
}
