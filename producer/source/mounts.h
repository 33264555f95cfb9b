/*
 * Whether inode numbers are stable, for each file system that contains sources. Local file systems are known to keep
 * them. On others (FUSE, network) it is not known until an unchanged file has another number; from then on the identity
 * of files there is size, mtime and ctime.
 */
#ifndef CHUNKLIFT_MOUNTS_H
#define CHUNKLIFT_MOUNTS_H

#include "pure/proto.h"
#include <stdint.h>

#define MOUNTS_MAX 32 /* remembered at a time; the oldest entry is replaced */

struct mounts {
    struct mount {
        uint64_t dev;
        enum inodes inodes;
    } items[MOUNTS_MAX];
    unsigned count, next;
};

/* For the file system dev, which contains path. */
enum inodes mounts_look(struct mounts *m, uint64_t dev, const char *path);
/* An unchanged file had another inode number. Returns true if that is new. A file system with stable numbers remains
 * stable. */
bool mounts_found_unstable(struct mounts *m, uint64_t dev);

#endif
