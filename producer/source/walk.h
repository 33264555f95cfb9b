/*
 * Walks one directory tree, one entry per call, depth first. Symbolic links are not followed, also not in a race: each
 * step is an openat(2) with O_NOFOLLOW. With walk_set_reach they can be followed; a link to a directory above it is
 * found by device and inode, and is an error. The names of a directory come in byte order while the names of all open
 * directories take at most WALK_SORT_BYTES. A directory that is too large for that, or larger than WALK_UNSORTED_SIZE
 * itself, comes in the file system's order.
 *
 * Bounds: WALK_SORT_BYTES for names, WALK_FDS open directories (the ones near the root are closed first and reopened
 * later), and paths of at most PROTO_NAME_MAX bytes, which bounds the depth.
 */
#ifndef CHUNKLIFT_WALK_H
#define CHUNKLIFT_WALK_H

#include "producer/select/selection.h"
#include "pure/err.h"
#include <stdint.h>
#include <sys/stat.h>

#define WALK_SORT_BYTES ((size_t)4 << 20)
#define WALK_UNSORTED_SIZE ((off_t)4 * (off_t)WALK_SORT_BYTES)
#define WALK_FDS 32 /* at most; also at most a quarter of the descriptors that are free at the start */

enum walk_kind {
    WALK_FILE = 1, /* a regular file that this process may read; st is set */
    WALK_SKIPPED,  /* not uploaded; skip says why, or is WALK_SKIP_NONE at the start and end of a directory */
    WALK_BAD_FILE, /* cannot be read: see error */
    WALK_BAD_DIR,  /* cannot be listed, or not to its end: see error */
    WALK_END,
};
enum walk_skip {
    WALK_SKIP_NONE,
    WALK_SKIP_LINK,
    WALK_SKIP_FIFO,
    WALK_SKIP_SOCKET,
    WALK_SKIP_DEVICE,
    WALK_SKIP_EMPTY_DIR,
    WALK_SKIP_OWN_JOURNAL,
    WALK_SKIP_EXCLUDED,     /* a file, or another entry that is no directory */
    WALK_SKIP_EXCLUDED_DIR, /* was not opened */
    WALK_SKIP_OTHER_SYSTEM, /* a directory of another file system; was not opened */
};
/* "symbolic link", "fifo", "socket", "device", "empty directory", "own journal", "excluded", "excluded directory",
 * "other file system"; part of the --json interface. */
const char *walk_skip_name(enum walk_skip skip);

struct walk_entry { /* strings are valid until the next call */
    enum walk_kind kind;
    enum walk_skip skip;
    const char *path; /* absolute */
    const char *name; /* relative to the root of the tree */
    struct stat st;
    const char *error;
};

struct walk_counts {
    uint64_t links, empty_dirs, others;
    uint64_t excluded, excluded_dirs;
    uint64_t other_systems; /* directories */
};

struct walk;

/* root: absolute. A root that cannot be opened is the first entry, as WALK_BAD_DIR. ERR_NOMEM. */
int walk_new(struct walk **w, const char *root) MUST_CHECK;
void walk_destroy(struct walk **w);
/* Names the journal directory, which is skipped wherever the tree contains it. It need not exist. A root that is the
 * journal itself is walked. path belongs to the caller and must outlive the walk; NULL: none. */
void walk_set_own_journal(struct walk *w, const char *path);
/* follow_links: entries that are symbolic links stand for their targets; a directory that is the destination (NULL: not
 * a local one; must outlive the walk) or is above itself is a WALK_BAD_DIR, and so is a link to a directory under the
 * destination. one_file_system: directories that are not on
 * the device of the root are skipped. */
void walk_set_reach(struct walk *w, bool follow_links, const char *destination, bool one_file_system);
/* Names the files to take; it must outlive the walk. NULL: all. Entries that it excludes are WALK_SKIPPED. */
void walk_set_selection(struct walk *w, struct selection *selection);
/* ERR_NOMEM; all other errors are entries. The work of one call is bounded by the size of one directory. */
int walk_next(struct walk *w, struct walk_entry *e) MUST_CHECK;
const struct walk_counts *walk_counts(const struct walk *w);

/* Opens and stats a regular file, without blocking: on network file systems an open refreshes the attributes. dir_fd can be AT_FDCWD and name a path. *error is NULL when the file
 * can be read. */
void walk_probe_file(int dir_fd, const char *name, struct stat *st, const char **error);

#endif
