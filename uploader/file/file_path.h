/*
 * Where a file:// destination lies: its directory, opened beneath the allowed one, and its last name.
 *
 * The allowed directory is the operator's word: it is opened as written (and made when missing). Everything below is
 * resolved with openat2(2) RESOLVE_BENEATH: neither ".." nor a symlink leads out. A destination that is an allowed name
 * itself lies in that name's parent directory.
 */
#ifndef CHUNKLIFT_FILE_PLACE_H
#define CHUNKLIFT_FILE_PLACE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct file_allow; /* the allowed file:// destinations */
int file_allow_new(struct file_allow **a, const char *const *urls, size_t count) MUST_CHECK; /* others are skipped */
void file_allow_destroy(struct file_allow **a);

struct file_place {
    int dir_fd;
    char name[NAME_MAX + 1]; /* the last component */
};
/*
 * create: makes missing directories (0777 less the umask) and syncs each into its parent. On error errno tells why and
 * nothing is open: ERR_DENIED (not allowed, leads out, no permission), ERR_NOT_FOUND, ERR_INVALID (no usable last
 * name), ERR_LIMIT (a name too long), ERR_FULL, ERR_IO, ERR_NOMEM.
 */
int file_place_open(const struct file_allow *a, struct slice dest, bool create, struct file_place *place) MUST_CHECK;
void file_place_close(struct file_place *place);

/* Calls visit with each name of dest beneath what is allowed and the directory it is in, from the top; ends at the
 * first that returns other than 0, with that. A negative err when a directory cannot be opened. */
int file_place_visit(const struct file_allow *a, struct slice dest,
                     int (*visit)(void *arg, int dir_fd, struct slice name), void *arg) MUST_CHECK;

/* fsync of a directory: 0 or errno. A file system that cannot sync directories (EINVAL, ENOTSUP) is named once, and the
 * answer is 0: what a program does there has always the durability that the file system gives. */
int file_sync_dir(int dir_fd) MUST_CHECK;

#endif
