/* Whole files: read to the end, write all bytes, replace a small file. All calls block on the file system only. */
#ifndef CHUNKLIFT_FILE_IO_H
#define CHUNKLIFT_FILE_IO_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

/* Appends the rest of fd to text. ERR_LIMIT: there are more than max bytes; text has the first ones. ERR_NOMEM. Any
 * other error is errno's (err_from_errno), and errno is kept. */
int file_read_all(int fd, struct buf *text, size_t max) MUST_CHECK;
/* Writes all bytes; continues after EINTR and after a short write. The error is errno's, and errno is kept. Some bytes
 * may be written then. */
int file_write_all(int fd, const void *bytes, size_t len) MUST_CHECK;

/*
 * Replaces DIR/NAME in two steps, so that a reader sees the old or the new file and never a part of one. The caller
 * makes sure that DIR has one writer.
 *
 * Step 1 writes DIR/NAME.new, mode 0600, with the owner of DIR (owner_inherit). Step 2 renames it. durable: step 1 syncs
 * the file, step 2 the directory. On an error the temporary file is removed and the error is logged; after a failed sync
 * of the directory the new file is in place, but may not survive a power failure.
 */
int file_replace_write(const char *dir, const char *name, struct slice text, bool durable) MUST_CHECK;
int file_replace_rename(const char *dir, const char *name, bool durable) MUST_CHECK;

#endif
