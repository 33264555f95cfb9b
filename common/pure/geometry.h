/*
 * The division of a file into chunks.
 *
 * Chunk sizes are multiples of 64 KiB, because neighbouring writers on NFS must not share a page. A file has at most
 * limits->chunks_max chunks: the chunk size grows until they fit. Every chunk but the last has chunk_size bytes.
 *
 * Standard input without a size has chunks that grow, because its length is not known: the first `grow` ones have
 * chunk_size bytes, and after each further grow / 2 the size doubles, up to CHUNK_GROWN_MAX. So a short input needs little
 * memory, and a long one few chunks. Until its end is known it has the geometry of the longest input (geometry_open).
 */
#ifndef CHUNKLIFT_GEOMETRY_H
#define CHUNKLIFT_GEOMETRY_H

#include "pure/err.h"
#include <stdint.h>

#define CHUNK_ALIGN ((uint64_t)65536)
#define CHUNK_SIZE_DEFAULT ((uint64_t)8 << 20)
/* The maximum of any store: PLANNED has one bit for each chunk (64 KiB of bits). */
#define CHUNKS_MAX 524288u
/* Chunks do not grow beyond this size, the largest part of S3. */
#define CHUNK_GROWN_MAX ((uint64_t)5 << 30)

/* The limits of a kind of destination. */
struct geometry_limits {
    uint64_t chunk_min_bytes; /* 5 MiB for S3, without the last part */
    uint64_t chunk_max_bytes; /* 5 GiB for S3 */
    uint32_t chunks_max;      /* 10,000 for S3 */
    uint64_t file_max_bytes;
};

extern const struct geometry_limits geometry_limits_s3;
extern const struct geometry_limits geometry_limits_file;

struct geometry {
    uint64_t size;       /* of the file */
    uint64_t chunk_size; /* bytes */
    uint32_t chunks;     /* 0 for an empty file, which is always sent by a put job */
    uint32_t grow;       /* the number of chunks before they grow; 0: they do not */
};

/* Rounds wanted up to CHUNK_ALIGN and increases it until the file fits. ERR_LIMIT: the file is too large for the store. */
int geometry_plan(const struct geometry_limits *limits, uint64_t size, uint64_t wanted, struct geometry *g) MUST_CHECK;
/* The geometry of an input of unknown length: the longest one that fits. expected: its length, or 0 when that is not
 * known; then the chunks grow. ERR_LIMIT: `expected` is too large for the store. */
int geometry_plan_open(const struct geometry_limits *limits, uint64_t expected, uint64_t wanted,
                       struct geometry *g) MUST_CHECK;
/* The geometry of an upload from its journal line. A size of 0 with chunks means that the length is not known: the result
 * has the size of the longest input. */
struct geometry geometry_open(uint64_t size, uint64_t chunk_size, uint32_t chunks, uint32_t grow);
/* The geometry of the input when its last chunk is `chunk` and its size is `size`. ERR_INVALID: they do not fit. */
int geometry_end(const struct geometry *open, uint32_t chunk, uint64_t size, struct geometry *g) MUST_CHECK;
/* True when geometry_plan or geometry_plan_open can return g for some store: the check of a geometry from a peer or a disk. */
bool geometry_is_valid(const struct geometry *g);
uint64_t geometry_offset(const struct geometry *g, uint32_t chunk); /* CHECKs chunk < chunks */
uint64_t geometry_length(const struct geometry *g, uint32_t chunk);

#endif
