#include "journal/files.h"

#include "system/log.h"
#include "system/oserr.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALED_PREFIX "journal."
#define SEALED_SUFFIX ".jsonl"
#define SEALED_DIGITS 20
#define SEALED_LENGTH (sizeof SEALED_PREFIX - 1 + SEALED_DIGITS + sizeof SEALED_SUFFIX - 1)

/* "journal.<20 digits>.jsonl" with a number of 1 to 2^64-1; 0 for any other name. */
static uint64_t sealed_seq(const char *name) {
    if (strlen(name) != SEALED_LENGTH || strncmp(name, SEALED_PREFIX, sizeof SEALED_PREFIX - 1) != 0 ||
        strcmp(name + SEALED_LENGTH - (sizeof SEALED_SUFFIX - 1), SEALED_SUFFIX) != 0)
        return 0;
    uint64_t seq = 0;
    for (const char *digit = name + sizeof SEALED_PREFIX - 1; *digit != '.'; digit++) {
        uint64_t value = (uint64_t)(*digit - '0');
        if (*digit < '0' || *digit > '9' || seq > (UINT64_MAX - value) / 10)
            return 0;
        seq = seq * 10 + value;
    }
    return seq;
}

bool journal_file_name_is_valid(const char *name) {
    return strcmp(name, JOURNAL_ACTIVE) == 0 || sealed_seq(name) != 0;
}

static int add_file(struct journal_files *list, const char *name, uint64_t first_seq, uint64_t size) {
    struct journal_file *grown = realloc(list->files, (list->count + 1) * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    list->files = grown;
    struct journal_file *f = &list->files[list->count++];
    f->first_seq = first_seq;
    f->size = size;
    snprintf(f->name, sizeof f->name, "%.*s", (int)SEALED_LENGTH, name);
    return 0;
}

static int consider(DIR *d, const char *dir, const char *name, struct journal_files *list) {
    uint64_t seq = sealed_seq(name);
    bool active = strcmp(name, JOURNAL_ACTIVE) == 0;
    if (!seq && !active)
        return 0;
    struct stat st;
    if (fstatat(dirfd(d), name, &st, 0) != 0) {
        if (errno == ENOENT) /* renamed meanwhile */
            return 0;
        int error = errno;
        log_error("%s/%s: %s", dir, name, strerror(error));
        return err_from_errno(error);
    }
    list->has_active |= active;
    return add_file(list, name, seq, (uint64_t)st.st_size);
}

/* By first seq, the active file (0) last. */
static int compare_files(const void *left, const void *right) {
    uint64_t a = ((const struct journal_file *)left)->first_seq - 1;
    uint64_t b = ((const struct journal_file *)right)->first_seq - 1;
    return (a > b) - (a < b);
}

int journal_files_list(const char *dir, struct journal_files *list) {
    *list = (struct journal_files){0};
    DIR *d = opendir(dir);
    if (!d) {
        int error = errno;
        log_error("%s: %s", dir, error == ENOENT ? "no such journal directory" : strerror(error));
        return err_from_errno(error);
    }
    int err = 0;
    struct dirent *entry;
    while (!err && (errno = 0, entry = readdir(d)))
        err = consider(d, dir, entry->d_name, list);
    if (!err && errno) {
        log_error("%s: %s", dir, strerror(errno));
        err = ERR_IO;
    }
    closedir(d);
    if (err)
        journal_files_release(list);
    else if (list->count)
        qsort(list->files, list->count, sizeof *list->files, compare_files);
    return err;
}

void journal_files_release(struct journal_files *list) {
    free(list->files);
    *list = (struct journal_files){0};
}

/* Room for the longest line and for reading ahead in large steps. */
#define READER_SIZE (RECORD_LINE_MAX + (192u << 10))

struct line_reader {
    int fd;
    char *path;
    uint64_t offset; /* of bytes[start] in the file */
    uint64_t lines;
    size_t start, end; /* what is buffered: bytes[start, end) */
    size_t searched;   /* bytes from start on that hold no newline */
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
    if (r->fd < 0) {
        int error = errno;
        if (error != ENOENT)
            log_error("%s: %s", path.data, strerror(error));
        buf_release(&path);
        free(r);
        return err_from_errno(error);
    }
    r->path = path.data; /* the buffer's memory is the reader's from here on */
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

/* Reads what fits behind the buffered bytes; ERR_NOT_FOUND at the end of the file. */
static int fill(struct line_reader *r) {
    if (r->start == r->end)
        r->start = r->end = 0;
    if (r->start > 0 && READER_SIZE - r->end < RECORD_LINE_MAX) {
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
        const char *newline = have > r->searched ? memchr(from + r->searched, '\n', have - r->searched) : NULL;
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
        int err = fill(r);
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

static bool is_at(const struct line_reader *r, const char *path) {
    struct stat mine, named;
    if (fstat(r->fd, &mine) != 0 || stat(path, &named) != 0)
        return false;
    return mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

bool line_reader_is_replaced(const struct line_reader *r) {
    return !is_at(r, r->path);
}

bool line_reader_is_file(const struct line_reader *r, const char *name) {
    struct buf path = BUF_INIT;
    int dir_len = (int)(strrchr(r->path, '/') - r->path);
    bool same = buf_addf(&path, "%.*s/%s", dir_len, r->path, name) == 0 && is_at(r, path.data);
    buf_release(&path);
    return same;
}

bool line_reader_is_same(const struct line_reader *r, const struct line_reader *other) {
    struct stat a, b;
    return fstat(r->fd, &a) == 0 && fstat(other->fd, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int read_exactly(const struct line_reader *r, char *bytes, size_t len, uint64_t offset) {
    while (len > 0) {
        ssize_t n = pread(r->fd, bytes, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* 0: the file became shorter */
            log_error("%s: %s", r->path, n < 0 ? strerror(errno) : "became shorter while it was read");
            return ERR_IO;
        }
        bytes += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static void seek(struct line_reader *r, uint64_t offset) {
    r->offset = offset;
    r->lines = 0;
    r->start = r->end = r->searched = 0;
}

/* Blocks from the end: the newline that ends the last whole line, then one more for each line wanted. */
int line_reader_seek_last(struct line_reader *r, uint64_t *lines) {
    struct stat st;
    if (fstat(r->fd, &st) != 0) {
        log_error("%s: %s", r->path, strerror(errno));
        return ERR_IO;
    }
    bool ended = false; /* the newline that ends the last whole line was met */
    for (uint64_t block_end = (uint64_t)st.st_size; block_end > 0;) {
        size_t len = block_end < READER_SIZE ? (size_t)block_end : READER_SIZE;
        int err = read_exactly(r, r->bytes, len, block_end - len);
        if (err)
            return err;
        for (size_t i = len; i > 0; i--) {
            if (r->bytes[i - 1] != '\n')
                continue;
            if (ended)
                --*lines; /* a line begins behind this newline */
            ended = true;
            if (*lines == 0) {
                seek(r, block_end - len + i);
                return 0;
            }
        }
        block_end -= len;
    }
    if (ended)
        --*lines; /* the file's first line */
    seek(r, 0);
    return 0;
}
