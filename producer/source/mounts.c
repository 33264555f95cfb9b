#include "producer/source/mounts.h"

#include "system/fileid.h"
#include <fcntl.h>
#include <sys/param.h>
#include <unistd.h>

static struct mount *mounts_find(struct mounts *m, uint64_t dev) {
    for (struct mount *known = m->items; known != m->items + m->count; known++)
        if (known->dev == dev)
            return known;
    return NULL;
}

static enum inodes mounts_probe(const char *path) {
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd == -1)
        return INODES_WEAK;
    bool stable = fileid_inodes_are_stable(fd);
    close(fd);
    return stable ? INODES_STABLE : INODES_WEAK;
}

enum inodes mounts_look(struct mounts *m, uint64_t dev, const char *path) {
    struct mount *known = mounts_find(m, dev);
    if (known)
        return known->inodes;
    struct mount *entry = &m->items[m->next];
    m->next = (m->next + 1) % MOUNTS_MAX;
    m->count = MIN(m->count + 1, MOUNTS_MAX);
    *entry = (struct mount){.dev = dev, .inodes = mounts_probe(path)};
    return entry->inodes;
}

bool mounts_found_unstable(struct mounts *m, uint64_t dev) {
    struct mount *known = mounts_find(m, dev);
    if (!known || known->inodes != INODES_WEAK)
        return false;
    known->inodes = INODES_UNSTABLE;
    return true;
}
