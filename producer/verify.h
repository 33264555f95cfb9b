/*
 * Files that look like the recorded ones by name, size and mtime, but have another inode number or ctime: their content
 * is read once and compared with the crc32c of the record. One file at a time, a bounded piece in each turn.
 */
#ifndef CHUNKLIFT_VERIFY_H
#define CHUNKLIFT_VERIFY_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct core;

#define VERIFY_PIECE ((size_t)256 << 10)
#define VERIFY_STEP_MS 20u

struct verify {
    uint64_t index; /* of the file being read */
    int fd;         /* -1: none */
    uint64_t position;
    uint32_t crc;
    char *piece; /* of VERIFY_PIECE bytes; NULL before the first use */
};

void verify_init(struct verify *v);
void verify_release(struct verify *v);
/* Some more of the files in FILE_VERIFY, for about VERIFY_STEP_MS; *more when there is something left to do. ERR_NOMEM.
 * now_ms is the turn's time. */
int verify_step(struct core *c, uint64_t now_ms, bool *more) MUST_CHECK;

#endif
