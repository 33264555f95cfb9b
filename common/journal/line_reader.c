#include "journal/line_reader.h"

#include "journal/record.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

/* Holds the longest line and a large read-ahead. */
#define READER_SIZE (RECORD_LINE_MAX + (192u << 10))

struct line_reader {
    int fd;
    char *path;
    uint64_t offset; /* of bytes[start] in the file */
    uint64_t lines;
    size_t start, end; /* the buffered bytes: bytes[start, end) */
    size_t searched;   /* so many bytes from start have no newline */
    char bytes[READER_SIZE];
};

int line_reader_open(struct line_reader **out, const char *dir, const char *name, uint64_t offset) {
    *out = NULL;
    struct line_reader *r = malloc(sizeof *r);
    struct buf path = BUF_INIT;
    if (!r || buf_addf(&path, "%s/%s", dir, name)) {
        free(r);
        return ERR_NOMEM;
    }
    r->fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (r->fd == -1) {
        int error = errno;
        if (error != ENOENT)
            log_error("%s: %s", path.data, strerror(error));
        buf_release(&path);
        free(r);
        return err_from_errno(error);
    }
    r->path = path.data; /* the reader owns the buffer's memory now */
    r->offset = offset;
    r->lines = 0;
    r->start = r->end = r->searched = 0;
    *out = r;
    return 0;
}

void line_reader_close(struct line_reader **r) {
    if (!*r)
        return;
    close((*r)->fd);
    free((*r)->path);
    free(*r);
    *r = NULL;
}

/* Fills the buffer from the file. ERR_NOT_FOUND: end of the file. */
static int reader_fill(struct line_reader *r) {
    if (r->start == r->end)
        r->start = r->end = 0;
    if (READER_SIZE - r->end < RECORD_LINE_MAX) {
        memmove(r->bytes, r->bytes + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    for (;;) {
        ssize_t n = pread(r->fd, r->bytes + r->end, READER_SIZE - r->end, (off_t)(r->offset + (r->end - r->start)));
        if (n > 0) {
            r->end += (size_t)n;
            return 0;
        }
        if (n == 0)
            return ERR_NOT_FOUND;
        if (errno != EINTR) {
            log_error("%s: %s", r->path, strerror(errno));
            return ERR_IO;
        }
    }
}

int line_reader_next(struct line_reader *r, struct slice *line) {
    for (;;) {
        size_t have = r->end - r->start;
        const char *from = r->bytes + r->start;
        const char *newline = memchr(from + r->searched, '\n', have - r->searched);
        if (newline) {
            size_t len = (size_t)(newline - from) + 1;
            if (len > RECORD_LINE_MAX)
                return ERR_LIMIT;
            *line = slice_make(from, len - 1);
            r->start += len;
            r->offset += len;
            r->searched = 0;
            r->lines++;
            return 0;
        }
        r->searched = have;
        if (have >= RECORD_LINE_MAX)
            return ERR_LIMIT;
        int err = reader_fill(r);
        if (err)
            return err;
    }
}

uint64_t line_reader_offset(const struct line_reader *r) {
    return r->offset;
}

uint64_t line_reader_line_number(const struct line_reader *r) {
    return r->lines;
}

uint64_t line_reader_torn(const struct line_reader *r) {
    return r->end - r->start;
}

static bool reader_is_at(const struct line_reader *r, const char *path) {
    struct stat mine, named;
    if (fstat(r->fd, &mine) != 0 || stat(path, &named) != 0)
        return false;
    return mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

bool line_reader_is_replaced(const struct line_reader *r) {
    return !reader_is_at(r, r->path);
}

bool line_reader_is_file(const struct line_reader *r, const char *name) {
    struct buf path = BUF_INIT;
    int dir_len = (int)(strrchr(r->path, '/') - r->path);
    bool same = buf_addf(&path, "%.*s/%s", dir_len, r->path, name) == 0 && reader_is_at(r, path.data);
    buf_release(&path);
    return same;
}

bool line_reader_is_same(const struct line_reader *r, const struct line_reader *other) {
    struct stat a, b;
    return fstat(r->fd, &a) == 0 && fstat(other->fd, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int reader_read_exactly(const struct line_reader *r, char *bytes, size_t len, uint64_t offset) {
    while (len > 0) {
        ssize_t n = pread(r->fd, bytes, len, (off_t)offset);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0) { /* 0: the file became shorter */
            log_error("%s: %s", r->path, n == -1 ? strerror(errno) : "became shorter during the read");
            return ERR_IO;
        }
        bytes += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static void reader_seek(struct line_reader *r, uint64_t offset) {
    r->offset = offset;
    r->lines = 0;
    r->start = r->end = r->searched = 0;
}

/* Searches blocks from the end for the newline that ends the last whole line, then for one more for
 * each line. */
int line_reader_seek_last(struct line_reader *r, uint64_t *lines) {
    struct stat st;
    if (fstat(r->fd, &st) != 0) {
        log_error("%s: %s", r->path, strerror(errno));
        return ERR_IO;
    }
    bool ended = false; /* the newline that ends the last whole line was found */
    for (uint64_t block_end = (uint64_t)st.st_size; block_end > 0;) {
        size_t len = (size_t)MIN(block_end, READER_SIZE);
        int err = reader_read_exactly(r, r->bytes, len, block_end - len);
        if (err)
            return err;
        for (size_t i = len; i > 0; i--) {
            if (r->bytes[i - 1] != '\n')
                continue;
            if (ended)
                --*lines; /* a line begins after this newline */
            ended = true;
            if (*lines == 0) {
                reader_seek(r, block_end - len + i);
                return 0;
            }
        }
        block_end -= len;
    }
    if (ended)
        --*lines; /* the file's first line */
    reader_seek(r, 0);
    return 0;
}
