#include "uploader/file/file_holes.h"
#include <errno.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

/* len is not 0. */
static bool bytes_are_zero(const char *bytes, size_t len) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Bytes to the next multiple of FILE_HOLE_BYTES in the file: pieces of any size then find the same
 * holes. */
static size_t hole_block_len(uint64_t offset, size_t left) {
    size_t to_edge = FILE_HOLE_BYTES - (size_t)(offset % FILE_HOLE_BYTES);
    return MIN(to_edge, left);
}

/* Bytes from `from` on that are whole blocks of zeros; zeros false: blocks with other bytes. */
static size_t hole_run_len(struct slice piece, uint64_t offset, size_t from, bool zeros) {
    size_t at = from;
    while (at < piece.len) {
        size_t len = hole_block_len(offset + at, piece.len - at);
        if (bytes_are_zero(piece.ptr + at, len) != zeros)
            break;
        at += len;
    }
    return at - from;
}

/* True also after the end. A file system without SEEK_DATA has data everywhere. */
static bool range_is_hole(int fd, uint64_t offset, size_t len) {
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    return data == -1 ? errno == ENXIO : (uint64_t)data >= offset + len;
}

bool file_run_next(int fd, struct slice piece, uint64_t offset, struct file_run *run) {
    size_t at = run->from + run->len;
    size_t zeros = hole_run_len(piece, offset, at, true);
    if (zeros > 0 && !range_is_hole(fd, offset + at, zeros)) {
        *run = (struct file_run){.from = at, .len = zeros};
        return true;
    }
    at += zeros;
    *run = (struct file_run){.from = at, .len = hole_run_len(piece, offset, at, false)};
    return run->len > 0;
}
