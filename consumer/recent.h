/*
 * The journal's last lines in memory, each with the producers it concerns, so that a producer
 * follows its own uploads without disk reads. Lines that every producer has read are forgotten
 * (recent_forget), and memory grows only for the others. Bounded in lines and bytes; the oldest line
 * goes first. A line is copied when it is appended, and when memory grows.
 */
#ifndef CHUNKLIFT_CONSUMER_RECENT_H
#define CHUNKLIFT_CONSUMER_RECENT_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define RECENT_LINES_MAX 32768u
#define RECENT_BYTES_MAX ((size_t)8 << 20)
#define RECENT_LINES_FIRST 1024u
#define RECENT_BYTES_FIRST ((size_t)256 << 10)

struct recent_line {
    uint64_t seq;
    uint64_t producers; /* bits; UINT64_MAX: all */
    uint32_t offset, len;
};

struct recent {
    struct recent_line *lines; /* a ring of lines_cap */
    char *bytes;               /* a ring of bytes_cap; a line is in one piece */
    size_t lines_cap, bytes_cap;
    size_t first, count;
    size_t write;           /* the next position in bytes */
    uint64_t complete_from; /* every record from this seq on that concerns a producer is here */
};

int recent_init(struct recent *r, uint64_t next_seq) MUST_CHECK;
void recent_release(struct recent *r);
/* line includes its newline; seqs must grow. Without memory for more lines the oldest ones go. */
void recent_add(struct recent *r, uint64_t seq, uint64_t producers, struct slice line);
/* No producer needs a line below seq any more. */
void recent_forget(struct recent *r, uint64_t seq);

/*
 * Appends to out the lines that concern `producer` (one bit) with from <= seq <= to, at most
 * max_lines and about max_bytes. Lines that concern all producers are left out unless with_shared.
 * *next is where to go on: to + 1 when all were read. from must be at least complete_from.
 * ERR_NOMEM: out has some of the lines.
 */
int recent_read(const struct recent *r, uint64_t producer, bool with_shared, uint64_t from, uint64_t to,
                uint32_t max_lines, size_t max_bytes, struct buf *out, uint32_t *lines, uint64_t *next) MUST_CHECK;

#endif
