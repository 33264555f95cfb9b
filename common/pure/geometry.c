#include "pure/geometry.h"
#include "pure/check.h"
#include <sys/param.h>

/* Amazon S3 user guide, "Amazon S3 multipart upload limits": parts of 5 MiB to 5 GiB, 10,000 of them, 48.8 TiB. */
const struct geometry_limits geometry_limits_s3 = {
    .chunk_min_bytes = (uint64_t)5 << 20,
    .chunk_max_bytes = (uint64_t)5 << 30,
    .chunks_max = 10000,
    .file_max_bytes = 10000 * ((uint64_t)5 << 30),
};

/* CHUNKS_MAX chunks of this size cover every off_t. */
#define FILE_CHUNK_MAX ((uint64_t)1 << 44)
const struct geometry_limits geometry_limits_file = {
    .chunk_min_bytes = CHUNK_ALIGN,
    .chunk_max_bytes = FILE_CHUNK_MAX,
    .chunks_max = CHUNKS_MAX,
    .file_max_bytes = INT64_MAX,
};

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

int geometry_plan(const struct geometry_limits *limits, uint64_t size, uint64_t wanted, struct geometry *g) {
    uint64_t largest = limits->chunk_max_bytes / CHUNK_ALIGN * CHUNK_ALIGN;
    CHECK(largest > 0 && limits->chunk_min_bytes > 0 && limits->chunks_max > 0 && limits->chunks_max <= CHUNKS_MAX);
    if (size > limits->file_max_bytes)
        return ERR_LIMIT;
    uint64_t fitting = divide_up(size, limits->chunks_max);
    uint64_t chunk_size = MAX(MAX(wanted, limits->chunk_min_bytes), fitting);
    chunk_size = MIN(chunk_size, largest); /* before rounding: wanted can be anything */
    chunk_size = divide_up(chunk_size, CHUNK_ALIGN) * CHUNK_ALIGN;
    uint64_t chunks = divide_up(size, chunk_size);
    if (chunks > limits->chunks_max)
        return ERR_LIMIT;
    *g = (struct geometry){.size = size, .chunk_size = chunk_size, .chunks = (uint32_t)chunks};
    return 0;
}

bool geometry_is_valid(const struct geometry *g) {
    return g->size <= INT64_MAX && g->chunk_size > 0 && g->chunk_size % CHUNK_ALIGN == 0 &&
           g->chunk_size <= FILE_CHUNK_MAX && g->chunks <= CHUNKS_MAX && g->chunks == divide_up(g->size, g->chunk_size);
}

uint64_t geometry_offset(const struct geometry *g, uint32_t chunk) {
    CHECK(chunk < g->chunks);
    return chunk * g->chunk_size;
}

uint64_t geometry_length(const struct geometry *g, uint32_t chunk) {
    uint64_t left = g->size - geometry_offset(g, chunk);
    return MIN(left, g->chunk_size);
}
