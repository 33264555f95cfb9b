/*
 * The recorded chunks of one upload. Memory grows with the chunks that have a record, not with those that the upload
 * will have: an upload of 524,288 chunks without a record takes none.
 *
 * Pages of 64 chunks, sorted by number, each a bitmap and its records in the order of the set bits. A full page takes
 * 33 bytes for each chunk, a page with a single record about 110 bytes; the journal line of a chunk is longer than
 * either.
 */
#ifndef CHUNKLIFT_CONSUMER_CHUNKS_H
#define CHUNKLIFT_CONSUMER_CHUNKS_H

#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

/* A recorded chunk: 32 bytes. An etag of 32 lower-case hex digits (nearly all are) is kept as its 16 bytes. */
enum etag_form { ETAG_NONE, ETAG_HEX, ETAG_TEXT };
struct chunk_info {
    uint64_t seq;
    uint32_t crc;
    uint32_t etag_form;
    union {
        uint8_t hex[16];
        char *text;
    };
};

#define CHUNKS_OF_PAGE 64
struct chunk_page {
    uint64_t recorded; /* bit i: chunk number * 64 + i */
    struct chunk_info *items;
    uint32_t number;
    uint32_t cap; /* of items */
};

struct chunks {
    struct chunk_page *pages;
    uint32_t page_count, page_cap;
    uint32_t count;
};

/* NULL: no record. Valid until the next chunk is added or removed. */
struct chunk_info *chunks_find(const struct chunks *c, uint32_t chunk);
/* The chunk must have no record. *info is all zero. ERR_NOMEM: nothing changed. */
int chunks_add(struct chunks *c, uint32_t chunk, struct chunk_info **info) MUST_CHECK;
/* The chunk must have a record. Its etag must have been freed. */
void chunks_remove(struct chunks *c, uint32_t chunk);
/* The first record at *chunk or after it; *chunk becomes its number. NULL: there is none. */
struct chunk_info *chunks_next(const struct chunks *c, uint32_t *chunk);
/* Frees the etags as well. */
void chunks_release(struct chunks *c);

#endif
