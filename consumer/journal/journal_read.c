/*
 * Committed lines, from any seq on, for tails.
 *
 * There is no index. Lines are in the order of their seq, and each has it in its first bytes, so a
 * line is found by bisecting the file's offsets: about ten short reads in 64 MiB. A reader that
 * continues where an earlier call ended is found in a few remembered cursors. A cursor names its
 * file by the file's first seq, which does not change when the file is sealed.
 */
#include "consumer/journal/journal_internal.h"

#include "pure/arith.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW ((uint64_t)65536)              /* a narrower range is searched line by line */
#define PROBE 4096                            /* most lines are far shorter */
#define SEARCH_MAX (WINDOW + RECORD_LINE_MAX) /* a window and the end of its last line */
#define READ_MAX ((size_t)1 << 20)

/* One file of the journal, and its committed bytes [0, limit). */
struct segment {
    const struct journal *j;
    int fd;
    bool own_fd;
    uint64_t first_seq, limit;
    char name[JOURNAL_NAME_SIZE];
};

static int segment_error(const struct segment *s, const char *operation) {
    log_error("%s/%s: %s: %s", s->j->dir, s->name, operation, strerror(errno));
    return ERR_IO;
}

static int segment_damaged(const struct segment *s, uint64_t offset) {
    log_error("%s/%s: no valid line at byte %" PRIu64 "; see 'chunklift journal verify'", s->j->dir, s->name, offset);
    return ERR_DAMAGED;
}

static int segment_open_sealed(struct segment *s, uint64_t seq) {
    const struct journal *j = s->j;
    size_t low = 0, high = j->sealed_count; /* files before low begin at or before seq, from high on after it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (j->sealed[middle] <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return ERR_NOT_FOUND;
    s->first_seq = j->sealed[low - 1];
    journal_sealed_name(s->first_seq, s->name);
    s->fd = openat(j->dir_fd, s->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd == -1)
        return errno == ENOENT ? ERR_NOT_FOUND : segment_error(s, "open");
    s->own_fd = true;
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return segment_error(s, "stat");
    s->limit = (uint64_t)st.st_size;
    return 0;
}

static int segment_open(struct segment *s, const struct journal *j, uint64_t seq) {
    *s = (struct segment){.j = j, .fd = -1};
    if (seq == 0 || seq > j->seq)
        return ERR_NOT_FOUND;
    if (seq < j->first_seq)
        return segment_open_sealed(s, seq);
    s->fd = j->fd;
    s->first_seq = j->first_seq;
    s->limit = j->size;
    snprintf(s->name, sizeof s->name, "%s", JOURNAL_ACTIVE);
    return 0;
}

static void segment_release(struct segment *s) {
    if (s->own_fd)
        close(s->fd);
}

/* Appends up to max bytes from offset; fewer only at the limit. */
static int segment_read(const struct segment *s, uint64_t offset, size_t max, struct buf *out) {
    uint64_t left = sub_or_zero(s->limit, offset);
    size_t want = (size_t)MIN(left, max);
    int err = buf_reserve(out, want);
    if (err)
        return err;
    while (want > 0) {
        ssize_t n = pread(s->fd, out->data + out->len, want, (off_t)offset);
        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return segment_error(s, "read");
        if (n == 0)
            return segment_damaged(s, offset);
        out->len += (size_t)n;
        want -= (size_t)n;
        offset += (uint64_t)n;
    }
    if (out->data)
        out->data[out->len] = '\0';
    return 0;
}

/* The first line that starts after the byte `from`: its offset and seq; limit and UINT64_MAX when
 * there is none. */
static int segment_next_line(const struct segment *s, uint64_t from, struct buf *scratch, uint64_t *offset,
                             uint64_t *seq) {
    buf_clear(scratch);
    for (;;) {
        uint64_t at = from + scratch->len;
        int err = segment_read(s, at, PROBE, scratch);
        if (err)
            return err;
        const char *newline = scratch->len ? memchr(scratch->data, '\n', scratch->len) : NULL;
        size_t start = newline ? (size_t)(newline - scratch->data) + 1 : scratch->len;
        *offset = from + start;
        if (newline && line_seq(slice_make(scratch->data + start, scratch->len - start), seq))
            return 0;
        bool at_end = from + scratch->len >= s->limit;
        if (at_end && newline && *offset == s->limit) {
            *seq = UINT64_MAX;
            return 0;
        }
        /* A line has at most RECORD_LINE_MAX bytes, and the next one has its seq in its first
         * bytes. */
        if (at_end || scratch->len > RECORD_LINE_MAX + PROBE)
            return segment_damaged(s, *offset);
    }
}

/* Narrows [low, high) to a window. low is the start of line *low_seq <= seq; line seq starts before
 * or at high. */
static int segment_bisect(const struct segment *s, uint64_t seq, struct buf *scratch, uint64_t *low,
                          uint64_t *low_seq) {
    uint64_t high = s->limit;
    *low = 0;
    *low_seq = s->first_seq;
    while (high - *low > WINDOW) {
        uint64_t middle = *low + (high - *low) / 2, offset, found;
        int err = segment_next_line(s, middle, scratch, &offset, &found);
        if (err)
            return err;
        if (offset < high && found <= seq) { /* a damaged file may be in another order */
            *low = offset;
            *low_seq = found;
        } else {
            high = middle;
        }
    }
    return 0;
}

static int segment_find(const struct segment *s, uint64_t seq, uint64_t *offset) {
    for (const struct read_cursor *c = s->j->cursors; c != s->j->cursors + READ_CURSORS; c++) {
        if (c->seq == seq && c->first_seq == s->first_seq) {
            *offset = c->offset;
            return 0;
        }
    }
    struct buf scratch = BUF_INIT;
    uint64_t low, at;
    int err = segment_bisect(s, seq, &scratch, &low, &at);
    buf_clear(&scratch);
    if (!err)
        err = segment_read(s, low, SEARCH_MAX, &scratch);
    size_t start = 0;
    for (; !err && at < seq; at++) {
        const char *newline = memchr(scratch.data + start, '\n', scratch.len - start);
        if (newline)
            start = (size_t)(newline - scratch.data) + 1;
        else
            err = segment_damaged(s, low + start);
    }
    *offset = low + start;
    buf_release(&scratch);
    return err;
}

/* Cuts the bytes from `start` on to whole lines, and counts them. */
static void buf_keep_whole_lines(struct buf *out, size_t start, uint64_t *lines) {
    size_t end = start;
    *lines = 0;
    for (const char *newline; (newline = memchr(out->data + end, '\n', out->len - end)); ++*lines)
        end = (size_t)(newline - out->data) + 1;
    out->len = end;
    out->data[end] = '\0';
}

static int segment_read_lines(const struct segment *s, uint64_t offset, uint64_t seq, size_t max, struct buf *out,
                              uint64_t *lines) {
    size_t start = out->len;
    int err = segment_read(s, offset, max, out);
    if (!err && !memchr(out->data + start, '\n', out->len - start)) /* max was less than a line */
        err = segment_read(s, offset + (out->len - start), RECORD_LINE_MAX, out);
    if (err)
        return err;
    if (out->len - start > max) { /* only one line is wanted */
        const char *newline = memchr(out->data + start, '\n', out->len - start);
        out->len = newline ? (size_t)(newline - out->data) + 1 : start;
    }
    uint64_t named;
    bool fits = line_seq(slice_make(out->data + start, out->len - start), &named) && named == seq;
    buf_keep_whole_lines(out, start, lines);
    return fits && *lines > 0 ? 0 : segment_damaged(s, offset);
}

int journal_read(struct journal *j, uint64_t seq, size_t max, struct buf *out, uint64_t *next) {
    if (j->failed)
        return ERR_IO;
    struct segment s;
    uint64_t offset, lines;
    size_t start = out->len;
    max = (size_t)clamp_u64(max, 1, READ_MAX);
    int err = segment_open(&s, j, seq);
    if (!err)
        err = segment_find(&s, seq, &offset);
    if (!err)
        err = segment_read_lines(&s, offset, seq, max, out, &lines);
    if (err) {
        if (out->data) {
            out->len = start;
            out->data[start] = '\0';
        }
    } else {
        *next = seq + lines;
        j->cursors[j->cursor_next++ % READ_CURSORS] =
            (struct read_cursor){.first_seq = s.first_seq, .seq = *next, .offset = offset + (out->len - start)};
    }
    segment_release(&s);
    return err;
}
