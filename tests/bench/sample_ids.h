/* The ids of made-up uploads: they look like real ones and are the same in every run. */
#ifndef CHUNKLIFT_SAMPLE_IDS_H
#define CHUNKLIFT_SAMPLE_IDS_H

#include "pure/ids.h"
#include <string.h>

#define SAMPLE_CHUNK ((uint64_t)8 << 20)
#define SAMPLE_HANDLE "2~Jd0yYkHkq1pQ7fWb3nT9sXvA5LzRcE8"

static inline struct id128 sample_id(uint64_t n) {
    struct id128 id;
    uint64_t x = n;
    for (size_t i = 0; i < sizeof id.b; i += 8) {
        x = (x + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
        x ^= x >> 29;
        memcpy(id.b + i, &x, 8);
    }
    return id;
}

#endif
