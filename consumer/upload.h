/*
 * One unfinished upload: what its records say, and beside it what only this process knows (who planned it, who holds
 * leases on it).
 *
 * Life: planned (memory only) → opened (`open` record: something may exist at the destination) → begun (`begin` record:
 * handle and geometry are fixed, chunks get records) → gone by finish, put or abort. A put is never begun.
 *
 * Memory: about 750 bytes with names of 50 bytes, 32 for each chunk (struct chunk_info, recorded or not), one bit for
 * each chunk, and etags that are not 32 hex digits; 100,000 uploads of 100 chunks take 380 MB. Measured:
 * tests/bench/test_growth.py.
 *
 * Invariants
 *  1. done, info and handle are there if and only if begun; chunk_size and chunks never change after that.
 *  2. done_count and done_bytes always agree with the bitmap.
 *  3. An upload with neither opened nor begun has no record: losing it loses nothing.
 */
#ifndef CHUNKLIFT_CONSUMER_UPLOAD_H
#define CHUNKLIFT_CONSUMER_UPLOAD_H

#include "consumer/hash.h"
#include "pure/geometry.h"
#include "pure/list.h"
#include "pure/proto.h"
#include <stdbool.h>
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

struct upload_identity {
    struct slice src, source, dest, endpoint;
    uint64_t size;
    int64_t mtime_ns, ctime_ns;
    uint64_t ino;
};

struct upload {
    struct hash_node by_id, by_key, by_dest;
    size_t position; /* in state.uploads */
    struct id128 id;
    struct id128 key, place; /* fingerprints of identity and destination */
    struct upload_identity is;
    char *names; /* is's texts */

    /* from records */
    bool opened, begun;
    bool spoiled;      /* its source changed (a `fail`): nothing goes on with what is there */
    bool reopened;     /* begin was granted more than once: more than one may have been created (rule 10) */
    int64_t open_us;   /* ts of the first `open`, once begun of the `begin` unless reopened */
    uint64_t open_seq; /* of the first `open`; 0 when all that is known came from a snapshot */
    uint64_t begin_seq;
    char *handle;
    enum checksum_kind checksum;
    uint64_t chunk_size; /* before begun: as last planned, 0 when not known */
    uint32_t chunks;
    uint8_t *done; /* bit i%8 of byte i/8 */
    struct chunk_info *info;
    uint32_t done_count;
    uint64_t done_bytes;

    /* this process's own */
    bool shaped;             /* planned in this epoch: put, and before begun chunk_size and chunks, mean something */
    bool put;                /* planned to travel in one request */
    bool inherited;          /* was open when the last epoch ended (rule 6) */
    uint64_t producers;      /* bit of every producer that planned it */
    uint64_t made_by;        /* the producers whose plan made this id */
    uint32_t failed;         /* classes recorded since it was planned last */
    uint8_t *redone;         /* redos of each chunk since it was planned last; NULL: none */
    struct id128 supersedes; /* must end first; zero: nothing */
    struct id128 superseded_by;
    struct list leases;
    uint32_t lease_count;
};

/* Texts are copied. NULL when memory is out. */
struct upload *upload_new(const struct id128 *id, const struct upload_identity *is) MUST_CHECK;
void upload_destroy(struct upload **u);

struct geometry upload_geometry(const struct upload *u);
bool upload_is_file(const struct upload *u); /* file:// */
static inline bool upload_is_superseded(const struct upload *u) {
    return !id_is_zero(&u->superseded_by);
}
static inline struct slice upload_handle(const struct upload *u) {
    return slice_of(u->handle);
}
static inline size_t upload_bitmap_size(const struct upload *u) {
    return ((size_t)u->chunks + 7) / 8;
}

/* Fixes handle and geometry. ERR_INVALID when the geometry cannot be the file's; ERR_NOMEM: u as before. */
int upload_begin(struct upload *u, struct slice handle, enum checksum_kind checksum, uint64_t chunk_size,
                 uint32_t chunks) MUST_CHECK;
bool upload_has_chunk(const struct upload *u, uint32_t chunk);
/* ERR_INVALID: not begun, or no such chunk. A chunk that is done already stays as it is. */
int upload_set_chunk(struct upload *u, uint32_t chunk, uint32_t crc, struct slice etag, uint64_t seq) MUST_CHECK;
void upload_clear_chunk(struct upload *u, uint32_t chunk);
/* Counts one redo of the chunk. ERR_NOMEM: nothing was counted. */
int upload_count_redo(struct upload *u, uint32_t chunk) MUST_CHECK;
unsigned upload_redos(const struct upload *u, uint32_t chunk);
void upload_forget_redos(struct upload *u);
/* The etag of a done chunk; room is where one kept as bytes is spelled out. */
struct slice upload_etag(const struct upload *u, uint32_t chunk, char room[ID_HEX_SIZE]);

#endif
