/*
 * Rule 12: which chunks may be given to a second uploader, because the one that holds them takes far longer than the
 * fleet does for such a job, or shows no progress at all.
 *
 * What is usual is the median of the last STRAGGLER_TIMES recorded chunks, in time for each byte, from the grant to the
 * result. A lease is slow when
 *   - what is left of it, at the rate it has moved so far, takes longer than twice what such a chunk usually takes and
 *     STRAGGLER_MARGIN_MS, and it has had its fair time and that margin; or
 *   - what is left of it, at the pace of its holder's other chunks, takes that long: then it need not be waited for; or
 *   - no byte of it moved for three heartbeats, and twice the usual time of such a chunk.
 * While nothing was recorded yet only the last can be said.
 *
 * It decides, and knows no leases: tests call it with times of their own. Who gets a second lease: claim.c.
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
    double ms_per_byte[STRAGGLER_TIMES]; /* of the last ones, going round */
    size_t count, at;
    double median; /* of them; 0 none */
};

struct straggler {
    uint64_t length;   /* of the chunk */
    uint64_t bytes;    /* moved so far, as its holder said; retries included */
    uint64_t age_ms;   /* since it was granted */
    uint64_t still_ms; /* since bytes moved last */
    uint32_t lease_ms;
    double holder_ms_per_byte; /* what its holder needed for others; 0: not known */
};

/* A chunk was recorded, ms after it was granted. */
void stragglers_note(struct stragglers *s, uint64_t length, uint64_t ms);
/* How long such a chunk usually takes; 0: nothing is known. */
uint64_t stragglers_usual_ms(const struct stragglers *s, uint64_t length);
bool stragglers_is_slow(const struct stragglers *s, const struct straggler *l);

#endif
