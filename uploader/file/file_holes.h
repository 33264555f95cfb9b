/* Holes of a source stay holes at the destination: zeros are not written where the file has none but zeros anyway. */
#ifndef CHUNKLIFT_UPLOADER_FILE_HOLES_H
#define CHUNKLIFT_UPLOADER_FILE_HOLES_H

#include "pure/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shorter runs of zeros are written, so that a file is not cut into many extents. */
#define FILE_HOLE_BYTES (64u << 10)

struct file_run {
    size_t from, len; /* in the piece */
};

/* The next bytes of piece that must be written at offset (of the piece's first byte) in fd. Begin with a run of zeros.
 * False: none are left. A range that is skipped reads as zeros already: it is a hole, or beyond the end of the file,
 * which must get its size afterwards. Costs a system call where zeros are, none elsewhere. */
bool file_run_next(int fd, struct slice piece, uint64_t offset, struct file_run *run);

#endif
