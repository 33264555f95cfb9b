/*
 * What was finished, one entry for each destination: the key that finished there last. "Uploaded already" holds only
 * while no later finish or put went to the same destination, so nothing older than the last is worth keeping.
 *
 * Entries lie in one dense array; an open-addressing table of 32-bit positions finds them by the destination's
 * fingerprint. Memory for each finished upload: 64 bytes for the entry (72 and more right after the array grew by half)
 * and 5 to 11 bytes of table, so 68 to 107 bytes; measured 70 MB for a million (tests/bench/test_growth.py), and less
 * than 1 GB for ten million. A start from a snapshot puts them back as they were, in order of the snapshot.
 */
#ifndef CHUNKLIFT_CONSUMER_FINISHED_H
#define CHUNKLIFT_CONSUMER_FINISHED_H

#include "pure/err.h"
#include "pure/ids.h"
#include "pure/source_identity.h"
#include <stddef.h>
#include <stdint.h>

#define FINISHED_SEQ_MAX ((UINT64_C(1) << 48) - 1)
struct finished_entry {
    struct id128 dest, key; /* fingerprints */
    struct id128 upload;
    uint64_t seq : 48;   /* of the finish or put record */
    uint64_t inode : 16; /* fingerprint of the source's inode number; 0: the number was 0, which is not compared */
    uint32_t ctime;      /* fingerprint of the source's ctime */
    uint32_t crc;        /* of the content */
};

struct finished {
    struct finished_entry *entries;
    size_t count, cap;
    uint32_t *table; /* position + 1; 0: free */
    size_t mask;
    uint64_t total; /* finish and put records, also those whose entry was replaced */
};

int finished_init(struct finished *f) MUST_CHECK;
void finished_release(struct finished *f);
/* Replaces what finished at the same destination before. Moves entries: pointers are invalid afterwards. */
int finished_put(struct finished *f, const struct finished_entry *e) MUST_CHECK;
/* Fills in what the source was. The key does not cover it: a file whose inode or ctime moved may have the same content.
 */
void finished_identify(struct finished_entry *e, const struct source_identity *file);
/* Bits of enum differs; an inode number of 0, here or in the entry, is not compared. */
uint32_t finished_differs(const struct finished_entry *e, const struct source_identity *file);
/* The same source, with another inode number and ctime. Nothing when another upload or key finished there, or none. */
void finished_update(struct finished *f, const struct finished_entry *same);
/* NULL when nothing finished there. */
const struct finished_entry *finished_find(const struct finished *f, const struct id128 *dest);
/* The entry's record was carried: it stands at seq now. Nothing when another upload finished there, or none. */
void finished_move(struct finished *f, const struct id128 *dest, const struct id128 *upload, uint64_t seq);
/* Forgets entries of this upload. Walks all of them: for `forget` records only. */
int finished_forget(struct finished *f, const struct id128 *upload) MUST_CHECK;
/* Forgets entries whose record stands at seq or before; what was replaced counts no more either. Walks all of them: for
 * `drop` records only. */
int finished_drop(struct finished *f, uint64_t seq) MUST_CHECK;

#endif
