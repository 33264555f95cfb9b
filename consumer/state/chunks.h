/*
 * The recorded chunks of one upload. Memory grows with the number of recorded chunks, not with the
 * number of chunks: an upload of 524,288 chunks without a record takes none.
 *
 * The set is an array of pages, sorted by number. A page has a bitmap of 64 chunks and the records
 * of the set bits, in order. A full page takes 33 bytes per chunk, a page with one record about 110
 * bytes. The journal line of a chunk is longer than either.
 */
#ifndef CHUNKLIFT_CONSUMER_CHUNKS_H
#define CHUNKLIFT_CONSUMER_CHUNKS_H

#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

/* A recorded chunk: 32 bytes. An etag of 32 lower-case hex digits (the usual form) is stored as 16
 * bytes. */
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
/* Adds a chunk that has no record yet. *info is zeroed. ERR_NOMEM: nothing changed. */
int chunks_add(struct chunks *c, uint32_t chunk, struct chunk_info **info) MUST_CHECK;
/* Removes a chunk that has a record. The caller frees its etag first. */
void chunks_remove(struct chunks *c, uint32_t chunk);
/* The first record at or after *chunk, which is set to its number. NULL: none. */
struct chunk_info *chunks_next(const struct chunks *c, uint32_t *chunk);
/* Frees the etags too. */
void chunks_release(struct chunks *c);

#endif
