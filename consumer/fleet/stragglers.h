/*
 * Decides which chunk jobs are slow, so that a second uploader may get them (rule 12).
 *
 * The usual time of a chunk is the median of the last STRAGGLER_TIMES recorded chunks, in
 * milliseconds for each byte, from grant to result. A job is slow when one of these holds:
 *   1. The rest of it, at its rate so far, takes longer than two times the usual time of the whole
 *      chunk and STRAGGLER_MARGIN_MS. It must have had the usual time and that margin before.
 *   2. The rest of it, at the pace of its holder's other chunks, takes longer than that.
 *   3. No byte of it moved for three heartbeats, and for two times the usual time of the chunk.
 * Without a recorded chunk only the third rule applies.
 *
 * Pure: it knows no leases. Tests pass times of their own.
 */
#ifndef CHUNKLIFT_CONSUMER_STRAGGLERS_H
#define CHUNKLIFT_CONSUMER_STRAGGLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRAGGLER_TIMES 64u
#define STRAGGLER_MARGIN_MS 1000u
#define SECOND_LEASES_MAX 64u /* at a time, of all producers */

struct stragglers {
    double ms_per_byte[STRAGGLER_TIMES]; /* a ring of the last chunks */
    size_t count, next;
    double median; /* of the ring; 0: it is empty */
};

struct straggler {
    uint64_t length;   /* of the chunk */
    uint64_t bytes;    /* moved so far, by the holder's report; retries included */
    uint64_t age_ms;   /* since the grant */
    uint64_t still_ms; /* since bytes moved last */
    uint32_t lease_ms;
    double holder_ms_per_byte; /* mean of the holder's other chunks; 0: not known */
};

/* A chunk was recorded, ms after it was granted. */
void stragglers_note(struct stragglers *s, uint64_t length, uint64_t ms);
/* The usual time of a chunk of this length; 0: not known. */
uint64_t stragglers_usual_ms(const struct stragglers *s, uint64_t length);
bool stragglers_is_slow(const struct stragglers *s, const struct straggler *l);

#endif
