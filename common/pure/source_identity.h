/*
 * The identity of a source file at the time of its plan. The producer takes it from stat, messages carry it,
 * the journal records it. Each side that reads the file compares it again.
 */
#ifndef CHUNKLIFT_SOURCE_IDENTITY_H
#define CHUNKLIFT_SOURCE_IDENTITY_H

#include "pure/nanotime.h"
#include <stdbool.h>
#include <stdint.h>

struct source_identity {
    uint64_t size;
    nanotime mtime_ns, ctime_ns;
    uint64_t ino;  /* 0: not known, or not stable on this file system; not compared */
    uint64_t dev;  /* only valid under the boot id of the producer's host; not in the journal */
    uint32_t mode; /* st_mode, 0: not known. Not compared: a change of it moves ctime. Not in the journal */
};

/* NULL when equal, else the difference, for people: "size changed", "mtime moved", "replaced by another file", ... Static
 * storage. dev is compared when same_boot is true. The inode number is compared when planned has one. */
const char *source_identity_difference(const struct source_identity *planned, const struct source_identity *now,
                                       bool same_boot);

#endif
