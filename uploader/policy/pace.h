/*
 * How long jobs take, and so how many jobs to claim ahead: those that the slots can start until the next ones come. That
 * is the time between two rounds of offers, and a few times that from a claim to its grant. Then slots do not idle for a
 * round trip, and no job waits long here that another uploader could do. Chunks are measured apart from all other kinds.
 */
#ifndef CHUNKLIFT_PACE_H
#define CHUNKLIFT_PACE_H

#include "pure/proto.h"
#include <stdint.h>

#define PACE_OFFERS_MS 50 /* between two rounds of offers, at most */
#define PACE_GRANTS 4     /* times from claim to grant: of the claim, and of the news that leads to new offers */
#define PACE_AHEAD_MAX_MS 400
#define PACE_AHEAD_MAX 1024

struct pace {
    double chunk_us, other_us; /* moving averages; 0: none has finished */
    double grant_ms;           /* moving average from claim to grant */
};
void pace_note_grant(struct pace *p, uint64_t took_ms);
void pace_note(struct pace *p, enum job_kind kind, uint64_t took_us);
/* How many jobs end in a second with so many slots, by Little's law; 0: none has ended. */
double pace_jobs_per_s(const struct pace *p, enum job_kind kind, uint32_t slots);
/* How many jobs to claim ahead for so many slots: 1 to PACE_AHEAD_MAX. */
uint32_t pace_ahead(const struct pace *p, enum job_kind kind, uint32_t slots);

#endif
