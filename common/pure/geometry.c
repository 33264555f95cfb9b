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

/* Chunks that grow: an eighth of the largest number has the first size (on S3 1,250 chunks, 10 GB of the default size). */
#define GROW_PART 8

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

/* --- growing chunks --- */

/* Where chunk number `chunk` begins, and its size if it is not the last one. A sum of CHUNKS_MAX sizes fits. */
static uint64_t geometry_place(const struct geometry *g, uint32_t chunk, uint64_t *size) {
    uint64_t offset = 0, largest = MAX(g->chunk_size, CHUNK_GROWN_MAX);
    uint32_t run = g->grow ? g->grow : UINT32_MAX, further = MAX(g->grow / 2, 1u);
    *size = g->chunk_size;
    while (chunk >= run && *size < largest) {
        offset += run * *size;
        chunk -= run;
        run = further;
        *size = MIN(2 * *size, largest);
    }
    return offset + chunk * *size;
}

struct geometry geometry_open(uint64_t size, uint64_t chunk_size, uint32_t chunks, uint32_t grow) {
    struct geometry g = {.size = size, .chunk_size = chunk_size, .chunks = chunks, .grow = grow};
    uint64_t last, most;
    if (size == 0 && chunks > 0 && chunks <= CHUNKS_MAX && chunk_size <= FILE_CHUNK_MAX) {
        most = geometry_place(&g, chunks, &last);
        g.size = MIN(most, INT64_MAX);
    }
    return g;
}

int geometry_plan_open(const struct geometry_limits *limits, uint64_t expected, uint64_t wanted, struct geometry *g) {
    struct geometry plan;
    int err = geometry_plan(limits, expected, wanted, &plan);
    if (err)
        return err;
    if (expected > 0)
        *g = geometry_open(0, plan.chunk_size, MAX(plan.chunks, 2u), 0);
    else
        *g = geometry_open(0, plan.chunk_size, limits->chunks_max, limits->chunks_max / GROW_PART);
    return 0;
}

int geometry_end(const struct geometry *open, uint32_t chunk, uint64_t size, struct geometry *g) {
    uint64_t most;
    if (chunk >= open->chunks)
        return ERR_INVALID;
    uint64_t offset = geometry_place(open, chunk, &most);
    if (size <= offset || size - offset > most)
        return ERR_INVALID;
    *g = *open;
    g->size = size;
    g->chunks = chunk + 1;
    return 0;
}

/* --- any chunks --- */

static bool geometry_fits(const struct geometry *g) {
    uint64_t last;
    if (g->grow == 0 || g->chunks == 0)
        return g->chunks == divide_up(g->size, g->chunk_size);
    uint64_t offset = geometry_place(g, g->chunks - 1, &last);
    return g->size > offset && g->size - offset <= last;
}

bool geometry_is_valid(const struct geometry *g) {
    return g->size <= INT64_MAX && g->chunk_size > 0 && g->chunk_size % CHUNK_ALIGN == 0 &&
           g->chunk_size <= FILE_CHUNK_MAX && g->chunks <= CHUNKS_MAX && geometry_fits(g);
}

uint64_t geometry_offset(const struct geometry *g, uint32_t chunk) {
    uint64_t size;
    CHECK(chunk < g->chunks);
    return geometry_place(g, chunk, &size);
}

uint64_t geometry_length(const struct geometry *g, uint32_t chunk) {
    uint64_t size;
    CHECK(chunk < g->chunks);
    uint64_t left = g->size - geometry_place(g, chunk, &size);
    return MIN(left, size);
}
