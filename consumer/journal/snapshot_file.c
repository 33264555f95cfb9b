#include "consumer/journal/snapshot_file.h"

#include "consumer/journal/disk.h"
#include "pure/decimal.h"
#include "pure/digest.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "chunklift-snapshot"
#define HEADER_MAX 256
#define SHA256_HEX ((size_t)2 * SHA256_SIZE)

#define PIECE ((size_t)256 << 10)

static int digest_end_hex(struct digest *sha, char hex[SHA256_HEX_SIZE]) {
    uint8_t sum[SHA256_SIZE];
    int err = digest_end(sha, sum);
    if (!err)
        hex_encode(sum, sizeof sum, hex);
    return err;
}

/* The part of the first line that the digest covers. */
static int header_add_prefix(const struct journal_position *pos, uint64_t length, struct buf *header) {
    char journal[ID_HEX_SIZE];
    id_to_hex(&pos->journal, journal);
    return buf_addf(header, MAGIC " %d %s %" PRIu64 " %" PRIu64 " %.32s %" PRIu64 " ", SNAPSHOT_VERSION, journal,
                    pos->epoch, pos->seq, pos->h, length);
}

static int snapshot_warn(const char *dir, const char *operation) {
    int error = errno;
    log_warn("%s/" SNAPSHOT_NAME ": %s: %s; the next start reads the whole journal", dir, operation, strerror(error));
    return err_from_errno(error);
}

struct writing {
    const struct journal_io *io;
    int fd;
    struct digest *sha;
    uint64_t length;
    bool failed; /* a write failed; errno has the reason */
};

static int snapshot_count_piece(void *arg, struct slice piece) {
    struct writing *w = arg;
    w->length += piece.len;
    return w->length > SNAPSHOT_BODY_MAX ? ERR_LIMIT : 0;
}

static int snapshot_write_bytes(struct writing *w, const void *bytes, size_t len) {
    w->failed = disk_write_all(w->io, w->fd, bytes, len) != 0;
    return w->failed ? ERR_IO : 0;
}

static int snapshot_write_piece(void *arg, struct slice piece) {
    struct writing *w = arg;
    w->length += piece.len;
    int err = digest_add(w->sha, piece.ptr, piece.len);
    return err ? err : snapshot_write_bytes(w, piece.ptr, piece.len);
}

/* The digest is before the body in the file and is known after it: zeros are written first, then
 * replaced. */
static int snapshot_write_all(struct writing *w, struct slice prefix, const struct snapshot_body *body) {
    char sum[SHA256_HEX_SIZE];
    struct buf header = BUF_INIT;
    memset(sum, '0', SHA256_HEX);
    sum[SHA256_HEX] = '\0';
    uint64_t length = w->length;
    w->length = 0;
    int err = digest_begin(w->sha);
    if (!err)
        err = buf_addf(&header, "%.*s%s\n", (int)prefix.len, prefix.ptr, sum);
    if (!err)
        err = snapshot_write_bytes(w, header.data, header.len);
    if (!err)
        err = digest_add(w->sha, prefix.ptr, prefix.len);
    if (!err)
        err = body->produce(body->of, snapshot_write_piece, w);
    if (!err)
        err = w->length == length ? digest_end_hex(w->sha, sum) : ERR_INVALID;
    if (!err && lseek(w->fd, (off_t)prefix.len, SEEK_SET) == -1)
        w->failed = true;
    else if (!err)
        err = snapshot_write_bytes(w, sum, SHA256_HEX);
    int error = errno;
    buf_release(&header);
    errno = error;
    return err;
}

static int snapshot_write_temp(struct writing *w, const char *dir, const char *path, struct slice prefix,
                               const struct snapshot_body *body) {
    w->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd == -1)
        return snapshot_warn(dir, "create");
    owner_inherit(w->fd, dir);
    int err = snapshot_write_all(w, prefix, body);
    if (w->failed)
        err = snapshot_warn(dir, "write");
    FAULT_POINT_IF(!err, snapshot_written, "");
    if (!err && w->io->fsync(w->fd) != 0)
        err = snapshot_warn(dir, "fsync");
    FAULT_POINT_IF(!err, snapshot_synced, "");
    close(w->fd);
    return err;
}

static int snapshot_sync_dir(const struct journal_io *io, const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return snapshot_warn(dir, "open the directory");
    int err = io->fsync(fd) == 0 ? 0 : snapshot_warn(dir, "fsync the directory");
    close(fd);
    return err;
}

int snapshot_write_body(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                        const struct snapshot_body *body) {
    struct writing w = {.io = io ? io : &journal_real_io};
    struct buf prefix = BUF_INIT;
    char *temp = disk_path(dir, SNAPSHOT_TEMP), *final = disk_path(dir, SNAPSHOT_NAME);
    int err = temp && final ? body->produce(body->of, snapshot_count_piece, &w) : ERR_NOMEM;
    if (!err)
        err = header_add_prefix(pos, w.length, &prefix);
    if (!err)
        err = digest_new(&w.sha, DIGEST_SHA256);
    if (!err) {
        err = snapshot_write_temp(&w, dir, temp, buf_slice(&prefix), body);
        if (!err && w.io->rename(temp, final) != 0)
            err = snapshot_warn(dir, "rename");
        FAULT_POINT_IF(!err, snapshot_named, "");
        if (err)
            unlink(temp);
        else
            err = snapshot_sync_dir(w.io, dir);
        FAULT_POINT_IF(!err, snapshot_done, "");
    }
    digest_destroy(&w.sha);
    buf_release(&prefix);
    free(temp);
    free(final);
    return err;
}

static int snapshot_produce_slice(const void *of, snapshot_put *put, void *arg) {
    return put(arg, *(const struct slice *)of);
}

int snapshot_write_by(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                      struct slice body) {
    return snapshot_write_body(io, dir, pos, &(struct snapshot_body){.produce = snapshot_produce_slice, .of = &body});
}

int snapshot_write(const char *dir, const struct journal_position *pos, struct slice body) {
    return snapshot_write_by(&journal_real_io, dir, pos, body);
}

/* Takes the next word of the header. One space or the end of the line ends it; it may be empty. */
static struct slice header_take_word(struct slice *rest) {
    const char *space = memchr(rest->ptr, ' ', rest->len);
    size_t len = space ? (size_t)(space - rest->ptr) : rest->len;
    struct slice word = slice_make(rest->ptr, len);
    rest->ptr += len + (space != NULL);
    rest->len -= len + (space != NULL);
    return word;
}

static bool header_take_number(struct slice *rest, uint64_t *value) {
    return decimal_parse(header_take_word(rest), UINT64_MAX, value) == 0;
}

/* line is without its newline. *covered is the part that the digest covers. */
static int header_parse(struct slice line, struct journal_position *pos, uint64_t *length, struct slice *covered,
                        struct slice *sum) {
    struct slice word, rest = line;
    uint64_t version;
    uint8_t h[ID_HEX_LEN / 2];
    if (!slice_equal(header_take_word(&rest), slice_of(MAGIC)) || !header_take_number(&rest, &version))
        return ERR_DAMAGED;
    if (version != SNAPSHOT_VERSION)
        return ERR_VERSION;
    if (id_from_hex(&pos->journal, header_take_word(&rest)) || !header_take_number(&rest, &pos->epoch) ||
        !header_take_number(&rest, &pos->seq))
        return ERR_DAMAGED;
    word = header_take_word(&rest);
    if (hex_decode(word, h, sizeof h))
        return ERR_DAMAGED;
    memcpy(pos->h, word.ptr, ID_HEX_LEN);
    pos->h[ID_HEX_LEN] = '\0';
    if (!header_take_number(&rest, length))
        return ERR_DAMAGED;
    *covered = slice_make(line.ptr, line.len - rest.len);
    *sum = rest;
    return 0;
}

/* Reads len bytes, fewer only at the end of the file; -1 with errno. */
static ssize_t snapshot_read_full(int fd, char *to, size_t len, uint64_t offset) {
    size_t have = 0;
    ssize_t n;
    while ((n = TEMP_FAILURE_RETRY(pread(fd, to + have, len - have, (off_t)(offset + have)))) > 0)
        have += (size_t)n;
    return n == -1 ? -1 : (ssize_t)have;
}

int snapshot_next(struct snapshot_reading *r, char *to, size_t len) {
    ssize_t n = len <= r->length ? snapshot_read_full(r->fd, to, len, r->offset) : 0;
    if (n == -1)
        return snapshot_warn(r->dir, "read");
    if ((size_t)n != len)
        return ERR_DAMAGED;
    r->offset += len;
    r->length -= len;
    return 0;
}

/* Reads the whole body once; r stays at its start. */
static int snapshot_verify(const struct snapshot_reading *r, struct digest *sha, struct slice covered,
                           struct slice sum) {
    struct snapshot_reading rest = *r;
    char hex[SHA256_HEX_SIZE], *piece = malloc(PIECE);
    int err = piece ? digest_begin(sha) : ERR_NOMEM;
    if (!err)
        err = digest_add(sha, covered.ptr, covered.len);
    while (!err && rest.length > 0) {
        size_t len = (size_t)MIN(rest.length, PIECE);
        err = snapshot_next(&rest, piece, len);
        if (!err)
            err = digest_add(sha, piece, len);
    }
    free(piece);
    if (!err)
        err = digest_end_hex(sha, hex);
    return err ? err : slice_equal(sum, slice_of(hex)) ? 0 : ERR_DAMAGED;
}

static int snapshot_check_length(const struct snapshot_reading *r) {
    struct stat st;
    if (fstat(r->fd, &st) != 0)
        return snapshot_warn(r->dir, "stat");
    bool fits = r->length <= SNAPSHOT_BODY_MAX && S_ISREG(st.st_mode) && (uint64_t)st.st_size == r->offset + r->length;
    return fits ? 0 : ERR_DAMAGED;
}

static int snapshot_read_header(struct snapshot_reading *r, struct journal_position *pos) {
    char text[HEADER_MAX];
    struct digest *sha = NULL;
    ssize_t n = snapshot_read_full(r->fd, text, sizeof text, 0);
    if (n == -1)
        return snapshot_warn(r->dir, "read");
    const char *newline = memchr(text, '\n', (size_t)n);
    if (!newline)
        return ERR_DAMAGED;
    struct slice covered, sum, line = slice_make(text, (size_t)(newline - text));
    int err = header_parse(line, pos, &r->length, &covered, &sum);
    r->offset = line.len + 1;
    if (!err)
        err = snapshot_check_length(r);
    if (!err)
        err = digest_new(&sha, DIGEST_SHA256);
    if (!err)
        err = snapshot_verify(r, sha, covered, sum);
    digest_destroy(&sha);
    return err;
}

int snapshot_open(const char *dir, struct journal_position *pos, struct snapshot_reading *r) {
    *r = (struct snapshot_reading){.dir = dir, .fd = -1};
    *pos = (struct journal_position){0};
    char *path = disk_path(dir, SNAPSHOT_NAME);
    if (!path)
        return ERR_NOMEM;
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int err = r->fd != -1 ? snapshot_read_header(r, pos) : errno == ENOENT ? ERR_NOT_FOUND : snapshot_warn(dir, "open");
    free(path);
    if (err) {
        *pos = (struct journal_position){0};
        snapshot_close(r);
    }
    return err;
}

void snapshot_close(struct snapshot_reading *r) {
    if (r->fd != -1)
        close(r->fd);
    r->fd = -1;
}

int snapshot_read(const char *dir, struct journal_position *pos, struct buf *body) {
    struct snapshot_reading r;
    buf_clear(body);
    int err = snapshot_open(dir, pos, &r);
    size_t length = err ? 0 : (size_t)r.length;
    if (!err)
        err = buf_reserve(body, length);
    if (!err)
        err = snapshot_next(&r, body->data, length);
    snapshot_close(&r);
    if (err) {
        *pos = (struct journal_position){0};
        return err;
    }
    body->len = length;
    if (body->data)
        body->data[length] = '\0';
    return 0;
}
