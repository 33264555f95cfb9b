/*
 * The journal's last lines in memory, each with the producers it concerns, so that following one's own uploads costs no
 * disk. Bounded in lines and bytes; the oldest goes first. A line is copied once, when it is appended.
 */
#ifndef CHUNKLIFT_CONSUMER_RECENT_H
#define CHUNKLIFT_CONSUMER_RECENT_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define RECENT_LINES_MAX 32768u
#define RECENT_BYTES_MAX ((size_t)8 << 20)

struct recent_line {
    uint64_t seq;
    uint64_t producers;
    uint32_t offset, len;
};

struct recent {
    struct recent_line *lines; /* ring; pages touched as they are used, as are those of bytes */
    char *bytes;
    size_t first, count;
    size_t write;           /* next place in bytes */
    uint64_t complete_from; /* every record from this seq on that concerns a producer is here */
};

int recent_init(struct recent *r, uint64_t next_seq) MUST_CHECK;
void recent_release(struct recent *r);
/* line with its newline; seqs must grow. */
void recent_add(struct recent *r, uint64_t seq, uint64_t producers, struct slice line);

/* Appends to out the lines of `producer` (a bit), those of everybody only when asked for, with from <= seq <= to, up to
 * max_lines and about max_bytes. *next is where to go on: to + 1 when all were handed out. from must be at least
 * complete_from. */
int recent_read(const struct recent *r, uint64_t producer, bool of_everybody, uint64_t from, uint64_t to,
                uint32_t max_lines, size_t max_bytes, struct buf *out, uint32_t *lines, uint64_t *next) MUST_CHECK;

#endif
