#include "uploader/policy/pace.h"
#include <sys/param.h>

#define WEIGHT 0.125

void pace_note(struct pace *p, enum job_kind kind, uint64_t took_us) {
    double *mean = kind == JOB_CHUNK ? &p->chunk_us : &p->other_us;
    double took = took_us > 0 ? (double)took_us : 1;
    *mean = *mean > 0 ? *mean + WEIGHT * (took - *mean) : took;
}

void pace_note_grant(struct pace *p, uint64_t took_ms) {
    p->grant_ms += WEIGHT * ((double)took_ms - p->grant_ms);
}

static double pace_mean_us(const struct pace *p, enum job_kind kind) {
    return kind == JOB_CHUNK ? p->chunk_us : p->other_us;
}

double pace_jobs_per_s(const struct pace *p, enum job_kind kind, uint32_t slots) {
    double mean = pace_mean_us(p, kind);
    return mean > 0 ? slots * 1e6 / mean : 0;
}

uint32_t pace_ahead(const struct pace *p, enum job_kind kind, uint32_t slots) {
    double mean = pace_mean_us(p, kind);
    if (mean <= 0)
        return 1;
    double ahead_ms = MIN(PACE_OFFERS_MS + PACE_GRANTS * p->grant_ms, PACE_AHEAD_MAX_MS);
    double ahead = (double)slots * ahead_ms * 1000 / mean;
    if (ahead < 1)
        return 1;
    return (uint32_t)MIN(ahead, PACE_AHEAD_MAX);
}
