/*
 * The first invalid line of the active file: a torn tail, or damage?
 *
 * A batch is synced before the next one is written, so a crash damages only the last batch. The
 * bytes from the invalid line on may be cut if and only if no line after it belongs to a later
 * batch; otherwise acknowledged lines would be lost. But an invalid line may not show its batch.
 * With L the batch of the last valid line, it is L or L + 1. In this order:
 *   - its h is right with the first bytes that it should have for L, or for L + 1: it is of that
 *     batch;
 *   - its first bytes are those for L + 1: it is of that batch;
 *   - otherwise it counts as L. This is the careful answer: with a line of L + 1 after it, the
 *     journal refuses to start.
 *
 * Lines are searched wherever `{"seq":` is, not only after newlines: the damaged byte can be the
 * newline. (In a string a quote is escaped, so these bytes never occur inside a line.) More than
 * one batch of bytes after the invalid line is never a torn tail.
 *
 * Nothing is cut in place. The valid part is copied to a new file, because pages whose write failed
 * look valid as long as the kernel keeps them. The rest is saved in a side file. Then the copy
 * takes the name.
 */
#include "consumer/journal/journal_internal.h"

#include "system/fault.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_START "{\"seq\":"
#define LINE_START_LEN (sizeof LINE_START - 1)
#define COPY_STEP ((size_t)256 << 10)

/* Appends the bytes [from, to) of an open file to out. ERR_IO, errno set: not all of them could be
 * read. */
static int read_range(int fd, uint64_t from, uint64_t to, struct buf *out) {
    int err = buf_reserve(out, to - from);
    if (err)
        return err;
    while (from < to) {
        ssize_t n = pread(fd, out->data + out->len, to - from, (off_t)from);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return ERR_IO;
        out->len += (size_t)n;
        from += (uint64_t)n;
    }
    out->data[out->len] = '\0';
    return 0;
}

static int damage_open_active(const struct journal *j, int *fd, uint64_t *size) {
    struct stat st;
    *fd = openat(j->dir_fd, JOURNAL_ACTIVE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd != -1 && fstat(*fd, &st) == 0) {
        *size = (uint64_t)st.st_size;
        return 0;
    }
    return disk_error(j->dir, JOURNAL_ACTIVE, "open");
}

static struct slice tail_line_at(struct slice tail, size_t at) {
    const char *newline = memchr(tail.ptr + at, '\n', tail.len - at);
    return slice_make(tail.ptr + at, newline ? (size_t)(newline - tail.ptr) - at : tail.len - at);
}

/* The judgement of one tail: the bytes from the invalid line on. */
struct tail_judgement {
    const struct damage *d;
    struct slice tail;
    struct chain chain;
    struct buf scratch;
    uint64_t batch; /* of the invalid line, as above */
    bool repaired;  /* batch is known from the h of the line */
};

static size_t tail_line_prefix(char out[96], uint64_t seq, uint64_t batch) {
    return (size_t)snprintf(out, 96, "{\"seq\":%" PRIu64 ",\"batch\":%" PRIu64 ",\"ts\":\"", seq, batch);
}

/* Tests whether the h of the invalid line is right with the first bytes that it should have in
 * `batch`. (One of them may be a newline now.) */
static int tail_repair(struct tail_judgement *v, uint64_t batch) {
    char prefix[96];
    size_t len = tail_line_prefix(prefix, v->d->seq + 1, batch);
    struct slice rest = tail_line_at(v->tail, MIN(len, v->tail.len));
    buf_clear(&v->scratch);
    int err = buf_add(&v->scratch, prefix, len);
    if (!err)
        err = buf_add(&v->scratch, rest.ptr, rest.len);
    if (err)
        return err;
    memcpy(v->chain.h, v->d->h, sizeof v->chain.h);
    err = chain_verify(&v->chain, buf_slice(&v->scratch));
    if (err == 0) {
        v->batch = batch;
        v->repaired = true;
    }
    return err == ERR_NOMEM ? err : 0;
}

static int tail_find_batch(struct tail_judgement *v) {
    uint64_t last = v->d->batch;
    v->batch = last;
    for (uint64_t next = 0; next <= 1 && !v->repaired; next++) {
        int err = tail_repair(v, last + next);
        if (err)
            return err;
    }
    char prefix[96];
    size_t len = tail_line_prefix(prefix, v->d->seq + 1, last + 1);
    if (!v->repaired && slice_equal(slice_make(v->tail.ptr, MIN(len, v->tail.len)), slice_make(prefix, len)))
        v->batch = last + 1;
    return 0;
}

/* *found: a line of the tail parses and has a later batch, whether its h is right or not. */
static int tail_find_later_batch(struct tail_judgement *v, bool *found) {
    *found = false;
    for (size_t at = 0;; at++) {
        const char *start = memmem(v->tail.ptr + at, v->tail.len - at, LINE_START, LINE_START_LEN);
        if (!start)
            return 0;
        at = (size_t)(start - v->tail.ptr);
        if (at == 0 && v->repaired)
            continue; /* its batch is known */
        struct record r;
        int err = record_parse(tail_line_at(v->tail, at), &r, &v->scratch);
        if (err == ERR_NOMEM)
            return err;
        if ((!err || err == ERR_VERSION) && r.batch > v->batch) {
            *found = true;
            return 0;
        }
    }
    return 0;
}

/* A journal's first line is on the disk before the file has its name, so a file without a valid
 * line is probably not a journal. Exceptions are the remains that a file system can leave: a part
 * of the first line, or zeros. */
static bool tail_is_first_line(struct slice tail) {
    static const char start[] = "{\"seq\":1,\"batch\":1,";
    size_t len = MIN(tail.len, sizeof start - 1);
    if (memcmp(tail.ptr, start, len) == 0)
        return true;
    for (const char *at = tail.ptr; at != tail.ptr + tail.len; at++)
        if (*at)
            return false;
    return true;
}

static int tail_judge(struct tail_judgement *v, bool *torn) {
    *torn = false;
    if (v->d->seq == 0 && !tail_is_first_line(v->tail))
        return 0;
    bool later;
    int err = tail_find_batch(v);
    if (!err)
        err = tail_find_later_batch(v, &later);
    if (!err)
        *torn = !later;
    return err;
}

int damage_judge(const struct journal *j, const struct damage *d) {
    struct buf tail = BUF_INIT;
    struct tail_judgement v = {.d = d};
    bool torn = false;
    uint64_t size = 0;
    int fd = -1, err = 0;
    if (strcmp(d->name, JOURNAL_ACTIVE) == 0) {
        err = damage_open_active(j, &fd, &size);
        if (!err && size - d->offset <= JOURNAL_BATCH_MAX) {
            if ((err = read_range(fd, d->offset, size, &tail)) == ERR_IO)
                err = disk_error(j->dir, d->name, "read");
            v.tail = buf_slice(&tail);
            if (!err)
                err = chain_init(&v.chain);
            if (!err)
                err = tail_judge(&v, &torn);
        }
    }
    if (!err && !torn) {
        log_error("%s/%s:%" PRIu64 ": %s; see 'chunklift journal verify', restore the file from a copy, or start a new "
                  "journal directory",
                  j->dir, d->name, d->line, d->reason);
        err = ERR_DAMAGED;
    }
    if (fd != -1)
        close(fd);
    chain_release(&v.chain);
    buf_release(&v.scratch);
    buf_release(&tail);
    return err;
}

/* Writes DIR/torn-SEQ-TIME and fsyncs it. When the name exists, -2, -3, ... is appended. */
static int tail_keep(const struct journal *j, struct slice tail, uint64_t next_seq, const char *reason) {
    char name[96], when[32];
    time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc))
        snprintf(when, sizeof when, "19700101T000000Z");
    int fd = -1, err = ERR_BUSY;
    for (int i = 1; err == ERR_BUSY; i++) {
        int len = snprintf(name, sizeof name, "torn-%" PRIu64 "-%s", next_seq, when);
        if (i > 1)
            snprintf(name + len, sizeof name - (size_t)len, "-%d", i);
        err = disk_create(j->dir, name, true, &fd);
    }
    if (err)
        return err;
    if (disk_write_all(j->io, fd, tail.ptr, tail.len))
        err = disk_error(j->dir, name, "write");
    if (!err && j->io->fsync(fd) != 0)
        err = disk_error(j->dir, name, "fsync");
    close(fd);
    if (!err)
        err = journal_dir_sync(j); /* its name must be on the disk before the tail is cut */
    if (!err)
        log_warn("%s/%s: the last %zu bytes were cut, from a batch that was not written whole (%s); "
                 "they are kept in %s",
                 j->dir, JOURNAL_ACTIVE, tail.len, reason, name);
    return err;
}

static int damage_copy_bytes(const struct journal *j, int from, int to, uint64_t end, struct buf *step) {
    for (uint64_t at = 0; at < end;) {
        uint64_t next = MIN(at + COPY_STEP, end);
        buf_clear(step);
        int err = read_range(from, at, next, step);
        if (err)
            return err == ERR_IO ? disk_error(j->dir, JOURNAL_ACTIVE, "read") : err;
        if (disk_write_all(j->io, to, step->data, step->len))
            return disk_error(j->dir, JOURNAL_TEMP, "write");
        at = next;
    }
    return j->io->fsync(to) == 0 ? 0 : disk_error(j->dir, JOURNAL_TEMP, "fsync");
}

int damage_copy_prefix(struct journal *j, uint64_t end, uint64_t next_seq, const char *reason) {
    struct buf step = BUF_INIT;
    uint64_t size = 0;
    int from = -1, to = -1;
    int err = damage_open_active(j, &from, &size);
    if (!err)
        err = disk_create(j->dir, JOURNAL_TEMP, false, &to);
    if (!err)
        err = damage_copy_bytes(j, from, to, end, &step);
    FAULT_POINT_IF(!err, recovery_copied, size > end ? "torn" : "sync");
    if (!err && size > end) {
        buf_clear(&step);
        if ((err = read_range(from, end, size, &step)) == ERR_IO)
            err = disk_error(j->dir, JOURNAL_ACTIVE, "read");
        if (!err)
            err = tail_keep(j, buf_slice(&step), next_seq, reason);
        FAULT_POINT_IF(!err, recovery_tail_kept, "torn");
    }
    /* Without any valid line the copy is empty, and the caller replaces it by a new file. */
    if (!err && (err = journal_dir_rename(j, JOURNAL_TEMP, JOURNAL_ACTIVE)) == 0) {
        FAULT_POINT_AS(recovery_renamed, size > end ? "torn" : "sync");
        err = journal_dir_sync(j);
    }
    FAULT_POINT_IF(!err, recovery_done, size > end ? "torn" : "sync");
    if (from != -1)
        close(from);
    if (to != -1)
        close(to);
    if (err)
        (void)unlinkat(j->dir_fd, JOURNAL_TEMP, 0); /* a partial copy would only take space on a full disk */
    buf_release(&step);
    return err;
}
