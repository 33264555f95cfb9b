#include "consumer/fleet/stragglers.h"
#include "pure/arith.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define MEDIAN_EVERY 8u /* chunks between two medians, once the ring is full */
#define STILL_BEATS 3u
#define BEAT_MAX_MS 1000u /* a HEARTBEAT is sent every min(1 s, lease / 4) */
#define SLOW_FACTOR 2u

static int stragglers_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return isgreater(x, y) - isless(x, y);
}

static double stragglers_median(const struct stragglers *s) {
    double sorted[STRAGGLER_TIMES];
    memcpy(sorted, s->ms_per_byte, s->count * sizeof *sorted);
    qsort(sorted, s->count, sizeof *sorted, stragglers_compare);
    return sorted[s->count / 2];
}

void stragglers_note(struct stragglers *s, uint64_t length, uint64_t ms) {
    if (length == 0)
        return;
    s->ms_per_byte[s->next++ % STRAGGLER_TIMES] = (double)(ms ? ms : 1) / (double)length;
    if (s->count < STRAGGLER_TIMES)
        s->count++;
    else if (s->next % MEDIAN_EVERY)
        return;
    s->median = stragglers_median(s);
}

uint64_t stragglers_usual_ms(const struct stragglers *s, uint64_t length) {
    double ms = s->median * (double)length;
    return (uint64_t)MIN(ms, (double)UINT32_MAX);
}

bool stragglers_is_slow(const struct stragglers *s, const struct straggler *l) {
    uint64_t beat_ms = MIN(l->lease_ms / 4, BEAT_MAX_MS);
    uint64_t usual_ms = stragglers_usual_ms(s, l->length), still_ms = STILL_BEATS * beat_ms;
    if (l->still_ms >= MAX(still_ms, SLOW_FACTOR * usual_ms))
        return true;
    uint64_t left = sub_or_zero(l->length, l->bytes);
    if (s->count > 0 && l->holder_ms_per_byte * (double)left > (double)(SLOW_FACTOR * usual_ms + STRAGGLER_MARGIN_MS))
        return true;
    if (s->count == 0 || l->age_ms < usual_ms + STRAGGLER_MARGIN_MS)
        return false;
    /* left / (bytes / age) > 2 × usual + margin */
    return (double)left * (double)l->age_ms > (double)l->bytes * (double)(SLOW_FACTOR * usual_ms + STRAGGLER_MARGIN_MS);
}
