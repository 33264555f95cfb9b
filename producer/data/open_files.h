/*
 * The open files of transfers: a bounded number. When all entries are used, the one that was not used for longest is
 * closed. A reader asks for the descriptor each time.
 */
#ifndef CHUNKLIFT_OPEN_FILES_H
#define CHUNKLIFT_OPEN_FILES_H

#include "producer/files.h"
#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

#define OPEN_FILES_LIMIT 64
#define OPEN_FILE_IDLE_MS 5000

struct open_files {
    struct open_file {
        struct id128 upload; /* zero: free */
        int fd;
        uint64_t used_ms;
    } items[OPEN_FILES_LIMIT];
    size_t count; /* usable items: at most a quarter of the descriptors that were free at the start */
};

void open_files_init(struct open_files *o);
void open_files_release(struct open_files *o);
/* Closes the files that were not used for OPEN_FILE_IDLE_MS. */
void open_files_close_idle(struct open_files *o, uint64_t now_ms);
/* Opens f if necessary, and compares it with its plan at each call. The descriptor is valid until the next call.
 * ERR_CHANGED, or the error of opening it; why is the reason. */
int open_files_get(struct open_files *o, const struct file *f, uint64_t now_ms, int *fd, char *why,
                   size_t why_size) MUST_CHECK;
/* Compares f with its plan: the file of fd, and the file at its path, which is opened again. ERR_CHANGED: they differ.
 * ERR_IO: it cannot be read, or has more content than its size. why is the reason. */
int open_files_check(const struct file *f, int fd, char *why, size_t why_size) MUST_CHECK;

#endif
