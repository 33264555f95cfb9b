#include "consumer/snapshot_file.h"

#include "consumer/journal_internal.h"
#include "pure/digest.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "chunklift-snapshot"
#define HEADER_MAX 256
#define SHA256_HEX ((size_t)2 * SHA256_SIZE)

/* Hex of SHA-256(header ‖ body). */
static int digest_of(struct slice header, struct slice body, char hex[SHA256_HEX + 1]) {
    struct digest *sha = NULL;
    uint8_t sum[SHA256_SIZE];
    int err = digest_new(&sha, DIGEST_SHA256);
    if (!err)
        err = digest_begin(sha);
    if (!err)
        err = digest_add(sha, header.ptr, header.len);
    if (!err)
        err = digest_add(sha, body.ptr, body.len);
    if (!err)
        err = digest_end(sha, sum);
    if (!err)
        hex_encode(sum, sizeof sum, hex);
    digest_destroy(&sha);
    return err;
}

static int make_header(const struct journal_position *pos, struct slice body, struct buf *header) {
    char journal[ID_HEX_SIZE], sum[SHA256_HEX + 1];
    id_to_hex(&pos->journal, journal);
    int err = buf_addf(header, MAGIC " %d %s %" PRIu64 " %" PRIu64 " %.32s %zu ", SNAPSHOT_VERSION, journal, pos->epoch,
                       pos->seq, pos->h, body.len);
    if (!err)
        err = digest_of(buf_slice(header), body, sum);
    return err ? err : buf_addf(header, "%s\n", sum);
}

static int warn(const char *dir, const char *operation) {
    int error = errno;
    log_warn("%s/" SNAPSHOT_NAME ": %s: %s; the next start reads the whole journal", dir, operation, strerror(error));
    return err_from_errno(error);
}

static int write_temp(const struct journal_io *io, const char *dir, const char *path, struct slice header,
                      struct slice body) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return warn(dir, "create");
    int err = 0;
    if (disk_write_all(io, fd, header.ptr, header.len) || disk_write_all(io, fd, body.ptr, body.len))
        err = warn(dir, "write");
    FAULT_POINT_IF(!err, snapshot_written, "");
    if (!err && io->fsync(fd) != 0)
        err = warn(dir, "fsync");
    FAULT_POINT_IF(!err, snapshot_synced, "");
    close(fd);
    return err;
}

static int sync_dir(const struct journal_io *io, const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return warn(dir, "open the directory");
    int err = io->fsync(fd) == 0 ? 0 : warn(dir, "fsync the directory");
    close(fd);
    return err;
}

int snapshot_write_by(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                      struct slice body) {
    if (body.len > SNAPSHOT_BODY_MAX)
        return ERR_LIMIT;
    struct buf header = BUF_INIT;
    char *temp = disk_path(dir, SNAPSHOT_TEMP), *final = disk_path(dir, SNAPSHOT_NAME);
    int err = temp && final ? make_header(pos, body, &header) : ERR_NOMEM;
    if (!err) {
        err = write_temp(io, dir, temp, buf_slice(&header), body);
        if (!err && io->rename(temp, final) != 0)
            err = warn(dir, "rename");
        FAULT_POINT_IF(!err, snapshot_named, "");
        if (err)
            unlink(temp);
        else
            err = sync_dir(io, dir);
        FAULT_POINT_IF(!err, snapshot_done, "");
    }
    buf_release(&header);
    free(temp);
    free(final);
    return err;
}

int snapshot_write(const char *dir, const struct journal_position *pos, struct slice body) {
    return snapshot_write_by(&journal_real_io, dir, pos, body);
}

/* The next word of the header, ended by one space or, the last, by the line's end. */
static bool take_word(struct slice *rest, struct slice *word) {
    const char *space = memchr(rest->ptr, ' ', rest->len);
    size_t len = space ? (size_t)(space - rest->ptr) : rest->len;
    *word = slice_make(rest->ptr, len);
    rest->ptr += len + (space != NULL);
    rest->len -= len + (space != NULL);
    return len > 0;
}

static bool take_number(struct slice *rest, uint64_t *value) {
    struct slice word;
    if (!take_word(rest, &word) || word.len > 20)
        return false;
    *value = 0;
    for (size_t i = 0; i < word.len; i++) {
        uint64_t digit = (uint64_t)(word.ptr[i] - '0');
        if (word.ptr[i] < '0' || word.ptr[i] > '9' || *value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return true;
}

/* The header line without its newline. *covered is the part the digest covers. */
static int parse_header(struct slice line, struct journal_position *pos, uint64_t *length, struct slice *covered,
                        struct slice *sum) {
    struct slice word, rest = line;
    uint64_t version;
    uint8_t h[ID_HEX_LEN / 2];
    if (!take_word(&rest, &word) || !slice_equal(word, slice_of(MAGIC)) || !take_number(&rest, &version))
        return ERR_DAMAGED;
    if (version != SNAPSHOT_VERSION)
        return ERR_VERSION;
    if (!take_word(&rest, &word) || id_from_hex(&pos->journal, word) || !take_number(&rest, &pos->epoch) ||
        !take_number(&rest, &pos->seq) || !take_word(&rest, &word) || hex_decode(word, h, sizeof h))
        return ERR_DAMAGED;
    memcpy(pos->h, word.ptr, ID_HEX_LEN);
    pos->h[ID_HEX_LEN] = '\0';
    if (!take_number(&rest, length) || rest.len != SHA256_HEX)
        return ERR_DAMAGED;
    *covered = slice_make(line.ptr, line.len - rest.len);
    *sum = rest;
    return 0;
}

/* Exactly len bytes, or what the file has when it is shorter; -1 with errno. */
static ssize_t read_full(int fd, char *to, size_t len, uint64_t offset) {
    size_t have = 0;
    while (have < len) {
        ssize_t n = pread(fd, to + have, len - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static int read_body(int fd, uint64_t offset, uint64_t length, const char *dir, struct buf *body) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return warn(dir, "stat");
    if (length > SNAPSHOT_BODY_MAX || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != offset + length)
        return ERR_DAMAGED;
    int err = buf_reserve(body, length);
    if (err)
        return err;
    ssize_t n = length ? read_full(fd, body->data, length, offset) : 0;
    if (n < 0)
        return warn(dir, "read");
    if ((uint64_t)n != length)
        return ERR_DAMAGED;
    body->len = length;
    if (body->data)
        body->data[length] = '\0';
    return 0;
}

static int read_open(int fd, const char *dir, struct journal_position *pos, struct buf *body) {
    char text[HEADER_MAX], wanted[SHA256_HEX + 1];
    ssize_t n = read_full(fd, text, sizeof text, 0);
    if (n < 0)
        return warn(dir, "read");
    const char *newline = memchr(text, '\n', (size_t)n);
    if (!newline)
        return ERR_DAMAGED;
    struct slice covered, sum, line = slice_make(text, (size_t)(newline - text));
    uint64_t length;
    int err = parse_header(line, pos, &length, &covered, &sum);
    if (!err)
        err = read_body(fd, line.len + 1, length, dir, body);
    if (!err)
        err = digest_of(covered, buf_slice(body), wanted);
    if (!err && !slice_equal(sum, slice_of(wanted)))
        err = ERR_DAMAGED;
    return err;
}

int snapshot_read(const char *dir, struct journal_position *pos, struct buf *body) {
    *pos = (struct journal_position){0};
    buf_clear(body);
    char *path = disk_path(dir, SNAPSHOT_NAME);
    if (!path)
        return ERR_NOMEM;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int err = 0;
    if (fd < 0)
        err = errno == ENOENT ? ERR_NOT_FOUND : warn(dir, "open");
    else
        err = read_open(fd, dir, pos, body);
    if (fd >= 0)
        close(fd);
    free(path);
    if (err) {
        *pos = (struct journal_position){0};
        buf_clear(body);
    }
    return err;
}
