#include "uploader/policy/pace.h"
#include <sys/param.h>

#define WEIGHT 0.125

void pace_note(struct pace *p, enum job_kind kind, uint64_t took_us) {
    double *mean = kind == JOB_CHUNK ? &p->chunk_us : &p->other_us;
    double took = took_us > 0 ? (double)took_us : 1;
    *mean = *mean > 0 ? *mean + WEIGHT * (took - *mean) : took;
}

uint32_t pace_ahead(const struct pace *p, enum job_kind kind, uint32_t slots) {
    double mean = kind == JOB_CHUNK ? p->chunk_us : p->other_us;
    if (mean <= 0)
        return 1;
    double ahead = (double)slots * PACE_AHEAD_MS * 1000 / mean;
    if (ahead < 1)
        return 1;
    return (uint32_t)MIN(ahead, PACE_AHEAD_MAX);
}
