/* The earliest of several times, for a loop that sleeps until then. */
#ifndef CHUNKLIFT_DEADLINE_H
#define CHUNKLIFT_DEADLINE_H

#include <stdint.h>

static inline void deadline_lower(uint64_t *deadline_ms, uint64_t other_ms) {
    if (other_ms < *deadline_ms)
        *deadline_ms = other_ms;
}

#endif
