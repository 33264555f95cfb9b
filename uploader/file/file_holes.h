/* Sparse files: zeros are not written to ranges of the destination that read as zeros already. */
#ifndef CHUNKLIFT_UPLOADER_FILE_HOLES_H
#define CHUNKLIFT_UPLOADER_FILE_HOLES_H

#include "pure/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shorter runs of zeros are written, so that a file does not get many extents. */
#define FILE_HOLE_BYTES (64u << 10)

struct file_run {
    size_t from, len; /* in the piece */
};

/* Finds the next bytes of piece that must be written; offset: of its first byte in fd. *run is zero
 * at the first call. False: none are left. A skipped range is a hole or is after the end of the
 * file, so the caller sets the size of the file afterwards. Costs a system call for each run of
 * zeros. */
bool file_run_next(int fd, struct slice piece, uint64_t offset, struct file_run *run);

#endif
