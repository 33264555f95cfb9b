/*
 * What is known of the inode numbers of each file system that sources are on. Local file systems are known to keep
 * them; of others (FUSE, network) that is not known before an unchanged file is met with another number. From then on
 * the identity of files there is size, mtime and ctime.
 */
#ifndef CHUNKLIFT_MOUNTS_H
#define CHUNKLIFT_MOUNTS_H

#include "pure/proto.h"
#include <stdint.h>

#define MOUNTS_MAX 32 /* known at a time; the one met first is forgotten for a new one */

struct mounts {
    struct mount {
        uint64_t dev;
        enum inodes inodes;
    } items[MOUNTS_MAX];
    unsigned count, next;
};

/* Of the file system dev, which path is on. */
enum inodes mounts_look(struct mounts *m, uint64_t dev, const char *path);
/* An unchanged file had another inode number. True: this was not known before. A file system whose numbers are stable
 * stays what it is. */
bool mounts_found_unstable(struct mounts *m, uint64_t dev);

#endif
