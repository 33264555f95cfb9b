/* The file system that holds a path: its kind and its free space. */
#ifndef CHUNKLIFT_FS_FACTS_H
#define CHUNKLIFT_FS_FACTS_H

#include "pure/err.h"
#include <stdint.h>

enum fs_kind {
    FS_OTHER, /* a local disk, or a kind that is not known */
    FS_MEMORY,
    FS_NETWORK,
    FS_FUSE,
    FS_OVERLAY, /* of a container */
};

struct fs_facts {
    enum fs_kind kind;
    const char *name;    /* "ext4"; NULL: not known */
    uint64_t free_bytes; /* that this user may use; root also has the reserved ones */
    uint64_t free_files; /* inodes; UINT64_MAX: the file system does not count them */
};

/* ERR_NOT_FOUND, ERR_DENIED, ERR_IO as of statfs(2); errno is kept. Blocks while a network file system does not answer. */
int fs_facts_read(const char *path, struct fs_facts *f) MUST_CHECK;

#endif
