#include "uploader/policy/auto_slots.h"
#include <math.h>
#include <sys/param.h>

#define GAIN 1.5
#define WORK_US 60.0           /* the first guess: of a request, */
#define WORK_US_OF_BYTE 0.0005 /* and of a byte of its body */
#define WORK_US_MIN 10.0
#define LENGTH_WEIGHT 0.0625
#define WORK_WEIGHT 0.25
#define JOBS_MEASURED 64
#define LARGE_JOBS_MEASURED 8
#define BUFFER_MAX (512.0 * 1024) /* bytes that a transfer reads ahead, at most */
#define BUFFER_OTHER (32.0 * 1024)
#define CUT 0.5
#define PART_MIN 0.125
#define GROWTH 1.25 /* a second, after a cut */
#define CUT_AGAIN_MS 1000
#define CUT_ONE_IN 50 /* jobs */
#define FAST_S 0.5    /* of work at a time */
#define FORGET 1024   /* jobs, after which earlier ones count half */
#define IDLE_MS 30000 /* after so long, a store has to prove itself again */

void auto_slots_init(struct auto_slots *a, uint32_t most) {
    *a = (struct auto_slots){.most = MIN(most, AUTO_SLOTS_MAX), .length = -1, .part = 1, .window = AUTO_SLOTS_UNPROVEN};
}

void auto_slots_start(struct auto_slots *a, uint64_t length) {
    a->rests = false;
    a->length = a->length < 0 ? (double)length : a->length + LENGTH_WEIGHT * ((double)length - a->length);
}

void auto_slots_end(struct auto_slots *a) {
    a->jobs++;
    if (++a->ended < FORGET)
        return;
    a->ended /= 2;
    a->troubles /= 2;
}

void auto_slots_reply(struct auto_slots *a) {
    if (a->window < AUTO_SLOTS_MAX)
        a->window++;
}

void auto_slots_unreachable(struct auto_slots *a, uint64_t now_ms) {
    if (a->unreachable_ms && now_ms < a->unreachable_ms + CUT_AGAIN_MS)
        return;
    a->unreachable_ms = now_ms;
    a->window = MAX(a->window / 2, AUTO_SLOTS_UNPROVEN);
}

void auto_slots_rest(struct auto_slots *a, uint64_t now_ms) {
    a->cpu_ns = a->jobs = 0;
    if (!a->rests)
        a->rest_ms = now_ms;
    a->rests = true;
    if (now_ms >= a->rest_ms + IDLE_MS)
        a->window = AUTO_SLOTS_UNPROVEN;
}

bool auto_slots_is_due(const struct auto_slots *a) {
    return a->jobs >= (a->length > AUTO_SLOTS_SMALL ? LARGE_JOBS_MEASURED : JOBS_MEASURED);
}

void auto_slots_measure(struct auto_slots *a, uint64_t cpu_ns) {
    if (a->cpu_ns > 0 && a->jobs > 0) {
        double us = MAX((double)(cpu_ns - a->cpu_ns) / 1000 / (double)a->jobs, WORK_US_MIN);
        a->work_us += a->work_us > 0 ? WORK_WEIGHT * (us - a->work_us) : us;
    }
    a->cpu_ns = cpu_ns;
    a->jobs = 0;
}

void auto_slots_rate(struct auto_slots *a, double jobs_per_s) {
    a->jobs_per_s = jobs_per_s;
}

/* The part that is allowed at this time, as it grows back. */
static double auto_slots_part(const struct auto_slots *a, uint64_t now_ms) {
    if (a->trouble_ms == 0)
        return 1;
    double part = a->part * pow(GROWTH, (double)(now_ms - a->trouble_ms) / 1000);
    return MIN(part, 1);
}

void auto_slots_trouble(struct auto_slots *a, uint64_t now_ms) {
    a->troubles++;
    if ((a->trouble_ms && now_ms < a->trouble_ms + CUT_AGAIN_MS) || a->troubles * CUT_ONE_IN < a->ended)
        return;
    a->troubles = a->ended = 0;
    double part = auto_slots_part(a, now_ms) * CUT;
    a->part = MAX(part, PART_MIN);
    a->trouble_ms = now_ms;
}

double auto_slots_work_us(const struct auto_slots *a) {
    return a->work_us > 0 ? a->work_us : WORK_US + WORK_US_OF_BYTE * MAX(a->length, 0);
}

/* Lowers *count to limit. */
static void count_limit(double *count, double limit, enum slots_why reason, enum slots_why *why) {
    if (*count <= limit)
        return;
    *count = limit;
    *why = reason;
}

static double auto_slots_least(const struct auto_slots *a) {
    if (a->length >= 0 && a->length <= AUTO_SLOTS_SMALL)
        return AUTO_SLOTS_FEW_SMALL;
    return MIN(MAX(a->jobs_per_s * FAST_S, AUTO_SLOTS_FEW), AUTO_SLOTS_FAST);
}

uint32_t auto_slots_count(const struct auto_slots *a, uint64_t reply_us, uint64_t now_ms, enum slots_why *why) {
    double work_us = auto_slots_work_us(a), least = auto_slots_least(a);
    double count = GAIN * ((double)reply_us + work_us) / work_us;
    *why = SLOTS_REPLY;
    if (count <= least) {
        count = least;
        *why = SLOTS_NEAR;
    }
    count_limit(&count, AUTO_SLOTS_MEMORY / (MIN(a->length, BUFFER_MAX) + BUFFER_OTHER), SLOTS_MEMORY, why);
    count_limit(&count, a->most, SLOTS_MOST, why);
    count_limit(&count, a->window, SLOTS_REPLY, why);
    double part = count * auto_slots_part(a, now_ms);
    count_limit(&count, MAX(part, least), SLOTS_TROUBLE, why);
    return (uint32_t)MAX(count, 1);
}
