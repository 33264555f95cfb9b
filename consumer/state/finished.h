/*
 * Finished uploads: one entry for each destination, with the key that finished there last. An
 * upload counts as done only until the next finish or put at the same destination, so older entries
 * are not kept.
 *
 * The entries are in one dense array. An open-addressing table of 32-bit positions finds them by
 * the destination's fingerprint. Memory for each finished upload: 48 bytes for the entry and 5 to 8
 * bytes of table; the array grows by half, and its unused part takes no memory. Measured in
 * tests/bench/test_growth.py: 560 MB for ten million. A start from a snapshot restores
 * their order.
 *
 * Fingerprints have 64 bits here (finished_short, finished_key). A file is taken for a finished one
 * by mistake only if both its destination and its key have the fingerprints of that entry. For two
 * different destinations the probability is at most 2^-96. For another source or another version at
 * the same destination it is 2^-64, or 2^-32 if the size is the same; and then the file is read and
 * compared unless the 32 bits of its ctime are equal too, which makes it 2^-64. If only the destinations have the same fingerprint, one of the files is uploaded again
 * in the next run: among ten million files the probability is 2^-18.
 */
#ifndef CHUNKLIFT_CONSUMER_FINISHED_H
#define CHUNKLIFT_CONSUMER_FINISHED_H

#include "pure/err.h"
#include "pure/ids.h"
#include "pure/source_identity.h"
#include <stddef.h>
#include <stdint.h>

#define FINISHED_SEQ_MAX ((UINT64_C(1) << 47) - 1)
struct finished_entry {
    uint64_t dest; /* finished_short of the fingerprint */
    uint64_t key;  /* finished_key */
    struct id128 upload;
    uint64_t seq : 47;     /* of the finish or put record */
    uint64_t deleting : 1; /* its object is being removed, or the removal was interrupted: it does not count as done */
    uint64_t inode : 16;   /* fingerprint of the source's inode number; 0: the number was 0, which is not compared */
    uint32_t ctime;        /* fingerprint of the source's ctime */
    uint32_t crc;          /* of the content */
};

struct finished {
    struct finished_entry *entries;
    size_t count, cap;
    uint32_t *table;        /* 0: free */
    size_t cells;           /* of table */
    uint32_t position_mask; /* the bits of a cell that have its position */
    uint64_t total;         /* the number of finish and put records, replaced ones included */
};

/* The first half of a fingerprint of upload_identity.h. */
static inline uint64_t finished_short(const struct id128 *fingerprint) {
    return id_hash(fingerprint);
}

/* Of sizes below 4 GiB each has its own. */
static inline uint32_t finished_size(uint64_t size) {
    return (uint32_t)(size ^ (size >> 32) * UINT64_C(0x9e3779b1));
}

/* The key of an entry: a quarter of the upload's fingerprint, and the size. So an entry can also be compared by size
 * alone. */
static inline uint64_t finished_key(const struct id128 *fingerprint, uint64_t size) {
    return (id_hash(fingerprint) & ~(uint64_t)UINT32_MAX) | finished_size(size);
}

int finished_init(struct finished *f) MUST_CHECK;
void finished_release(struct finished *f);
/* Frees the table. Only entries, count and total can be used afterwards. */
void finished_release_table(struct finished *f);
/* Makes room for this many entries at once. ERR_NOMEM; ERR_LIMIT: too many. */
int finished_reserve(struct finished *f, size_t count) MUST_CHECK;
/* Replaces the entry of the same destination, with its mark. May move entries: pointers become invalid. */
int finished_put(struct finished *f, const struct finished_entry *e) MUST_CHECK;
/* Sets the fingerprints of inode number and ctime. They are not part of the key: a file with
 * another inode or ctime can have the same content. */
void finished_identify(struct finished_entry *e, const struct source_identity *file);
/* Bits of enum differs; an inode number of 0, here or in the entry, is not compared. */
uint32_t finished_differs(const struct finished_entry *e, const struct source_identity *file);
/* Stores the new inode number and ctime of the same source. No effect when the destination has
 * another upload or key, or no entry. */
void finished_update(struct finished *f, const struct finished_entry *same);
/* NULL: no entry. */
const struct finished_entry *finished_find(const struct finished *f, uint64_t dest);
/* The entry's record was carried and has a new seq. No effect when the destination has another
 * upload, or no entry. */
void finished_move(struct finished *f, uint64_t dest, const struct id128 *upload, uint64_t seq);
/* Sets the mark `deleting`. No effect when the destination has another upload, or no entry. */
void finished_mark(struct finished *f, uint64_t dest, const struct id128 *upload);
/* An entry has the mark. Visits all entries: only for a start. */
bool finished_has_mark(const struct finished *f);
/* Removes the entry of the destination, marked or not, in constant time. The last entry takes its place. No effect when
 * the destination has another upload, or no entry. */
void finished_remove(struct finished *f, uint64_t dest, const struct id128 *upload);
/* Removes the entries of this upload. Visits all entries: only for `forget` records. */
int finished_forget(struct finished *f, const struct id128 *upload) MUST_CHECK;
/* Removes the entries whose record is at or before seq; total becomes the number of entries. Visits
 * all entries: only for `drop` records. */
int finished_drop(struct finished *f, uint64_t seq) MUST_CHECK;

#endif
