/*
 * How long jobs take, and from that how many to claim ahead: what the slots can start within 200 ms, so that they are
 * never idle for a round trip and no job waits long at an uploader that others could do. Chunks and all others are
 * measured apart.
 */
#ifndef CHUNKLIFT_PACE_H
#define CHUNKLIFT_PACE_H

#include "pure/proto.h"
#include <stdint.h>

#define PACE_AHEAD_MS 200
#define PACE_AHEAD_MAX 1024

struct pace {
    double chunk_us, other_us; /* moving averages; 0: none finished yet */
};
void pace_note(struct pace *p, enum job_kind kind, uint64_t took_us);
/* 1 to PACE_AHEAD_MAX. */
uint32_t pace_ahead(const struct pace *p, enum job_kind kind, uint32_t slots);

#endif
