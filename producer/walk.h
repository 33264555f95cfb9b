/*
 * Walks one directory tree, one entry a call, depth first. Symlinks are not followed, not even by a race: every step
 * is an openat(2) with O_NOFOLLOW. Within a directory names come in byte order as long as the names of all directories
 * being read take no more than WALK_SORT_BYTES; a directory too large for that comes in the file system's order.
 *
 * Bounds: WALK_SORT_BYTES for names, WALK_FDS open directories (farther ones are reopened when they are come back to),
 * and paths of at most PROTO_NAME_MAX bytes, which bounds the depth.
 */
#ifndef CHUNKLIFT_WALK_H
#define CHUNKLIFT_WALK_H

#include "pure/err.h"
#include <stdint.h>
#include <sys/stat.h>

#define WALK_SORT_BYTES ((size_t)4 << 20)
#define WALK_FDS 32 /* at most; a quarter of what is free when it begins */

enum walk_kind {
    WALK_FILE = 1, /* a regular file that can be opened for reading; st is set */
    WALK_SKIPPED,  /* nothing to do. left_out says what it is, when it is neither a directory to be read nor its end */
    WALK_BAD_FILE, /* cannot be read: error says why */
    WALK_BAD_DIR,  /* cannot be listed: what is below is missing */
    WALK_END,
};
struct walk_entry { /* strings are valid until the next call */
    enum walk_kind kind;
    const char *path; /* absolute */
    const char *name; /* below the tree's root */
    struct stat st;
    const char *error;
    const char *left_out; /* "symbolic link", "fifo", "socket", "device", "empty directory", WALK_OWN; static storage */
};
#define WALK_OWN "own journal"

struct walk_counts {
    uint64_t links, empty_dirs, others;
};

struct walk;

/* root: absolute. A root that cannot be opened is reported by the first walk_next as WALK_BAD_DIR. */
int walk_new(struct walk **w, const char *root) MUST_CHECK;
void walk_destroy(struct walk **w);
/* A directory that is not entered wherever the tree holds it, as WALK_OWN; it need not exist. The root itself is read.
 * path stays the caller's and must outlive the walk; NULL: none. */
void walk_leave_out(struct walk *w, const char *path);
/* ERR_NOMEM only; everything else is an entry. Work of one call is bounded by the size of one directory. */
int walk_next(struct walk *w, struct walk_entry *e) MUST_CHECK;
const struct walk_counts *walk_counts(const struct walk *w);

/* Opens and stats a regular file as the walk does (dir_fd AT_FDCWD and a path, too). *error is NULL when it can be
 * read. */
void walk_probe_file(int dir_fd, const char *name, struct stat *st, const char **error);

#endif
