#include "system/file_io.h"

#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define READ_BYTES 4096

int file_read_all(int fd, struct buf *text, size_t max) {
    size_t start = text->len;
    while (text->len - start <= max) {
        if (buf_reserve(text, READ_BYTES))
            return ERR_NOMEM;
        ssize_t n = read(fd, text->data + text->len, READ_BYTES);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return err_from_errno(errno);
        if (n == 0)
            return 0;
        text->len += (size_t)n;
        text->data[text->len] = '\0';
    }
    return ERR_LIMIT;
}

int file_write_all(int fd, const void *bytes, size_t len) {
    const char *from = bytes;
    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* not for a regular file; an endless loop otherwise */
        if (n <= 0)
            return err_from_errno(errno);
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

struct replacement {
    struct buf path, temporary;
};

static int replacement_init(struct replacement *r, const char *dir, const char *name) {
    *r = (struct replacement){BUF_INIT, BUF_INIT};
    int err = buf_addf(&r->path, "%s/%s", dir, name);
    return err ? err : buf_addf(&r->temporary, "%s/%s.new", dir, name);
}

/* error: an errno, 0 for success. The file goes first: when it filled the disk, a log file there has room again. */
static int replacement_end(struct replacement *r, int err, int error) {
    if (error) {
        unlink(r->temporary.data);
        log_error("%s: cannot be written: %s", r->path.data, strerror(error));
        err = err_from_errno(error);
    }
    buf_release(&r->path);
    buf_release(&r->temporary);
    return err;
}

static int write_new(const char *path, const char *dir, struct slice text, bool durable) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd == -1)
        return errno;
    owner_inherit(fd, dir);
    int error = 0;
    if (file_write_all(fd, text.ptr, text.len) || (durable && fsync(fd) != 0))
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    return error;
}

int file_replace_write(const char *dir, const char *name, struct slice text, bool durable) {
    struct replacement r;
    int err = replacement_init(&r, dir, name);
    return replacement_end(&r, err, err ? 0 : write_new(r.temporary.data, dir, text, durable));
}

static int directory_sync(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return errno;
    int error = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return error;
}

int file_replace_rename(const char *dir, const char *name, bool durable) {
    struct replacement r;
    int error = 0, err = replacement_init(&r, dir, name);
    if (!err && rename(r.temporary.data, r.path.data) != 0)
        error = errno;
    if (!err && !error && durable)
        error = directory_sync(dir);
    return replacement_end(&r, err, error);
}
