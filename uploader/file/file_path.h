/*
 * The path of a file:// destination: its directory, opened under an allowed directory, and its last
 * name.
 *
 * An allowed directory (--allow) is trusted: it is opened as written, and created if missing. The
 * rest of the path is resolved by openat2(2) with RESOLVE_BENEATH: neither ".." nor a symlink leads
 * out. A destination that is itself an allowed name is in the parent directory of that name.
 *
 * For a file that is to be removed no symlink is followed at all: the directory of its name may have
 * become a symlink to another one since the file was written.
 */
#ifndef CHUNKLIFT_FILE_PATH_H
#define CHUNKLIFT_FILE_PATH_H

#include "pure/buf.h"
#include "pure/err.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct file_allow; /* the allowed file:// destinations */
/* Takes the file:// URLs among urls. ERR_NOMEM. */
int file_allow_new(struct file_allow **a, const char *const *urls, size_t count) MUST_CHECK;
void file_allow_destroy(struct file_allow **a);

struct file_path {
    int dir_fd;
    char name[NAME_MAX + 1]; /* the last component */
};
enum file_path_use {
    FILE_PATH_FIND,
    FILE_PATH_CREATE, /* missing directories are created (0777 less the umask), each synced into its parent */
    FILE_PATH_REMOVE, /* no symlink is followed under the allowed directory */
};
/* Errors, with errno set and nothing open: ERR_DENIED (not allowed, leads out, a symlink, no
 * permission), ERR_NOT_FOUND, ERR_INVALID (no usable last name), ERR_LIMIT (a name is too long),
 * ERR_FULL, ERR_IO, ERR_NOMEM. */
int file_path_open(const struct file_allow *a, struct slice dest, enum file_path_use use,
                   struct file_path *p) MUST_CHECK;
void file_path_close(struct file_path *p);

/* Calls visit for each name of dest under the allowed directory, with the directory it is in, from
 * the top. Stops at the first result other than 0 and returns it. A negative err: a directory
 * cannot be opened. */
int file_path_visit(const struct file_allow *a, struct slice dest,
                    int (*visit)(void *arg, int dir_fd, struct slice name), void *arg) MUST_CHECK;

/* fsync(2) of a directory: 0 or errno. A file system that cannot sync directories (EINVAL,
 * EOPNOTSUPP) is logged once and returns 0: its durability is all that a program can get there. */
int file_dir_sync(int dir_fd) MUST_CHECK;

#endif
