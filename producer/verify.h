/*
 * Compares the content of a file with the crc32c of its journal record, one bounded piece at a time. Used for files
 * that match their record by name, size and mtime, but have another inode number or ctime. One file at a time; asking
 * for another one drops the progress. No decision is made here: planner_verify.c makes them.
 */
#ifndef CHUNKLIFT_VERIFY_H
#define CHUNKLIFT_VERIFY_H

#include "producer/files.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define VERIFY_PIECE ((size_t)256 << 10)
#define VERIFY_STEP_MS 20u

struct verify {
    uint64_t index; /* of the file being read */
    int fd;         /* -1: none */
    uint64_t position;
    uint32_t crc;
    char *piece; /* VERIFY_PIECE bytes; NULL before the first use */
};

enum verify_result {
    VERIFY_MORE,       /* continue with verify_read */
    VERIFY_SAME,       /* all was read: the recorded content */
    VERIFY_OTHER,      /* all was read: other content */
    VERIFY_CHANGED,    /* the file is not the planned one any more */
    VERIFY_UNREADABLE, /* reading failed */
};

void verify_init(struct verify *v);
void verify_release(struct verify *v);
/* Allocates the piece at the first call. ERR_NOMEM. */
int verify_prepare(struct verify *v) MUST_CHECK;
bool verify_is_reading(const struct verify *v, const struct file *f);
/* Reads the next piece of f. *why: the difference (VERIFY_CHANGED) or the error (VERIFY_UNREADABLE), static storage.
 * After any result but VERIFY_MORE the file is closed. */
enum verify_result verify_read(struct verify *v, const struct file *f, const char **why);
/* Closes the file being read. */
void verify_stop(struct verify *v);

#endif
