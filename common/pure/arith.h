/* Arithmetic that cannot go below zero. MIN and MAX come from <sys/param.h>. */
#ifndef CHUNKLIFT_ARITH_H
#define CHUNKLIFT_ARITH_H

#include <stdint.h>

/* a - b, or 0 where b is larger. */
static inline uint64_t sub_or_zero(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* value, not less than low and not more than high; low <= high. */
static inline uint64_t clamp_u64(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

#endif
