/* System calls on the files of a journal directory: the calls that matter for durability can be
 * replaced in tests. The function that has a fresh errno logs it, once. */
#ifndef CHUNKLIFT_CONSUMER_DISK_H
#define CHUNKLIFT_CONSUMER_DISK_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct journal_io {
    ssize_t (*write)(int fd, const void *bytes, size_t len);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
};
extern const struct journal_io journal_real_io;

/* Logs "DIR/NAME: operation: reason; remedy" from errno and returns the enum err. name may be
 * "". */
int disk_error(const char *dir, const char *name, const char *operation);
/* "DIR/NAME" on the heap. NULL: no memory. */
char *disk_path(const char *dir, const char *name);
/* Errors are not logged; errno is kept. */
int disk_write_all(const struct journal_io *io, int fd, const void *bytes, size_t len) MUST_CHECK;
/* Mode 0600, the owner of dir. exclusive: ERR_BUSY, not logged, when the file exists; otherwise it
 * is truncated. Other errors are logged. */
int disk_create(const char *dir, const char *name, bool exclusive, int *fd) MUST_CHECK;

#endif
