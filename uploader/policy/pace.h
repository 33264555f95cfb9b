/*
 * How long jobs take, and so how many jobs to claim ahead: those that the slots can start within 200 ms. Then slots do
 * not idle for a round trip, and no job waits long here that another uploader could do. Chunks are measured apart from
 * all other kinds.
 */
#ifndef CHUNKLIFT_PACE_H
#define CHUNKLIFT_PACE_H

#include "pure/proto.h"
#include <stdint.h>

#define PACE_AHEAD_MS 200
#define PACE_AHEAD_MAX 1024

struct pace {
    double chunk_us, other_us; /* moving averages; 0: none has finished */
};
void pace_note(struct pace *p, enum job_kind kind, uint64_t took_us);
/* How many jobs to claim ahead for so many slots: 1 to PACE_AHEAD_MAX. */
uint32_t pace_ahead(const struct pace *p, enum job_kind kind, uint32_t slots);

#endif
