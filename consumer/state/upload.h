/*
 * One unfinished upload: the data of its records, and data of this process only (planners, leases).
 *
 * Life: planned (memory only); opened (`open` record: something may exist at the destination);
 * begun (`begin` record: handle and geometry are fixed, chunks get records); removed by finish, put
 * or abort. A put is never begun.
 *
 * Memory: about 650 bytes with names of 50 bytes, 33 bytes for each recorded chunk (chunks.h), and
 * etags that are not 32 hex digits. A chunk without a record takes none. Measured:
 * tests/bench/test_growth.py.
 *
 * Invariants
 *  1. handle is set if and only if begun. chunk_size, grow and chunks never change after that, except
 *     that the last chunk of a stream sets `end` and chunks. Before it no chunk has a record.
 *  2. done_count and done_bytes always agree with the records.
 *  3. An upload that is neither opened nor begun has no record: losing it loses no data.
 */
#ifndef CHUNKLIFT_CONSUMER_UPLOAD_H
#define CHUNKLIFT_CONSUMER_UPLOAD_H

#include "consumer/state/chunks.h"
#include "consumer/state/upload_identity.h"
#include "pure/buf.h"
#include "pure/geometry.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stdint.h>

struct upload {
    struct hash_node by_id, by_key, by_dest;
    size_t position; /* in state.uploads */
    struct id128 id;
    struct id128 key, dest_key; /* fingerprints of identity and destination */
    struct upload_identity identity;
    char *names;             /* the texts of identity */
    struct id128 properties; /* of the object that is created; zero: the defaults */

    /* from records */
    bool opened, begun;
    bool spoiled;      /* a `fail` of a class that spoils it: it is aborted, never continued */
    bool has_failed;   /* it has a `fail` record */
    bool reopened;     /* begin was granted more than once, so several may have been created (rule 10) */
    int64_t open_us;   /* ts of the first `open`; of the `begin` when begun and not reopened */
    uint64_t open_seq; /* of the first `open`; 0: from a snapshot */
    uint64_t begin_seq;
    enum fail_class failed_as; /* of the last `fail`, until the next plan; not in a snapshot */
    char *failure;             /* its error, shortened; NULL: none */
    char *handle;
    enum checksum_kind checksum;
    uint64_t chunk_size; /* before begun: as last planned, 0: not known */
    uint32_t chunks;
    uint32_t grow; /* as in struct geometry */
    uint64_t end;  /* of a stream: its size, from the record of its last chunk; 0: not known */
    struct chunks done;
    uint32_t done_count;
    uint64_t done_bytes;
    enum integrity integrity; /* the weakest of its chunks; valid when there is one */

    /* of this process only */
    bool shaped;             /* planned in this epoch: put is valid; before begun also chunk_size and chunks */
    bool put;                /* planned as one request */
    bool inherited;          /* was open when the last epoch ended (rule 6) */
    uint64_t producers;      /* bit of every producer that planned it */
    uint64_t droppers;       /* those of them that only want it aborted */
    uint64_t made_by;        /* the producers whose plan made this id */
    uint32_t failed;         /* bits of the fail classes recorded since the last plan */
    struct chunks redone;    /* chunks redone since the last plan; seq is the number of redos */
    struct id128 supersedes; /* the upload that must end first; zero: none */
    struct id128 superseded_by;
    struct id128 put_holder; /* incarnation of the last uploader that was granted the put */
    struct list planned;     /* plans.h; empty when the upload has a record */
    unsigned planner;        /* the index of the producer with that list */
    struct list leases;
    uint32_t lease_count;
};

/* Copies the texts. NULL: no memory. */
struct upload *upload_new(const struct id128 *id, const struct upload_identity *is) MUST_CHECK;
void upload_destroy(struct upload **u);

/* Fills the fields of r that every record of an open upload has: its identity and its properties. */
void upload_to_record(const struct upload *u, struct record *r);
struct geometry upload_geometry(const struct upload *u);
/* Standard input, in several chunks: its size in the identity is 0. Until its last chunk is recorded, chunks and geometry
 * are those of the longest input. */
bool upload_is_stream(const struct upload *u);
bool upload_is_open_ended(const struct upload *u); /* a stream whose end is not known */
uint64_t upload_size(const struct upload *u);      /* 0: not known yet */
bool upload_is_file(const struct upload *u);       /* file:// */
static inline bool upload_is_superseded(const struct upload *u) {
    return !id_is_zero(&u->superseded_by);
}
static inline struct slice upload_handle(const struct upload *u) {
    return slice_of(u->handle);
}

/* Stores class and shortened error of a `fail`. Without memory only the class. */
void upload_note_failure(struct upload *u, struct slice class, struct slice error);
void upload_forget_failure(struct upload *u);
/* Fixes handle and geometry; grow is set before. ERR_INVALID: the geometry does not fit the file. ERR_NOMEM. On an
 * error u is unchanged. */
int upload_begin(struct upload *u, struct slice handle, enum checksum_kind checksum, uint64_t chunk_size,
                 uint32_t chunks) MUST_CHECK;
/* The record of a chunk, or NULL. Valid until a chunk is set or cleared. */
const struct chunk_info *upload_chunk(const struct upload *u, uint32_t chunk);
static inline bool upload_has_chunk(const struct upload *u, uint32_t chunk) {
    return upload_chunk(u, chunk) != NULL;
}
/* The first record at or after *chunk, which is set to its number. NULL: none. */
const struct chunk_info *upload_next_chunk(const struct upload *u, uint32_t *chunk);
/* Appends a bitmap (pure/bitmap.h) of the recorded chunks, up to the last one. */
int upload_add_bitmap(const struct upload *u, struct buf *out) MUST_CHECK;
/* Records a chunk. One that has a record keeps it. ERR_INVALID: not begun, or no such chunk.
 * ERR_NOMEM. */
int upload_set_chunk(struct upload *u, uint32_t chunk, uint32_t crc, struct slice etag, uint64_t seq) MUST_CHECK;
/* Sets the seq of the record of a done chunk. */
void upload_move_chunk(struct upload *u, uint32_t chunk, uint64_t seq);
/* Call before upload_set_chunk: the proof that the store has the chunk. */
void upload_note_integrity(struct upload *u, uint32_t chunk, enum integrity integrity);
/* Call before upload_set_chunk: the chunk is the last one of a stream of `total` bytes. No effect when that does not fit. */
void upload_note_end(struct upload *u, uint32_t chunk, uint64_t total);
void upload_clear_chunk(struct upload *u, uint32_t chunk);
/* Counts one redo of the chunk. ERR_NOMEM: nothing was counted. */
int upload_count_redo(struct upload *u, uint32_t chunk) MUST_CHECK;
unsigned upload_redos(const struct upload *u, uint32_t chunk);
void upload_forget_redos(struct upload *u);
/* The etag of a done chunk. It points into info or into room. */
struct slice upload_etag(const struct upload *u, uint32_t chunk, char room[ID_HEX_SIZE]);
struct slice chunk_etag(const struct chunk_info *info, char room[ID_HEX_SIZE]);

#endif
