/* The functions of a kind of source; for source.c and the kinds (source_local.c, source_text.c, fetch.c) only. */
#ifndef CHUNKLIFT_SOURCE_OPS_H
#define CHUNKLIFT_SOURCE_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct source_ops;

struct source {
    const struct source_ops *ops;
    uint64_t offset, length, position;
    uint32_t crc; /* of the bytes read since position 0; kept by the kind's read */
    bool has_expected;
    uint32_t expected; /* of the whole range: announced by the producer, or from source_precompute_crc */
};

struct source_ops {
    /* Reads at most max > 0 bytes within the range. Updates crc, not position. */
    ssize_t (*read)(struct source *s, void *out, size_t max);
    int (*check)(struct source *s, char *why, size_t why_size);
    void (*close)(struct source *s); /* frees it */
    /* NULL for a kind that is always ready: */
    bool (*ready)(const struct source *s);
    int (*rewind)(struct source *s); /* to 0; source.c resets position and crc */
    uint64_t (*progress)(const struct source *s);
};

#endif
