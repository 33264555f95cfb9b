/*
 * The files that are being fetched, open: a bounded number, the one not used for longest makes room. Whoever reads asks
 * for the descriptor each time.
 */
#ifndef CHUNKLIFT_DATA_FILES_H
#define CHUNKLIFT_DATA_FILES_H

#include "producer/files.h"
#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

#define DATA_FILES_MAX 64
#define DATA_FILE_IDLE_MS 5000

struct data_files {
    struct data_file {
        struct id128 upload; /* zero: free */
        int fd;
        uint64_t used_ms;
    } items[DATA_FILES_MAX];
    size_t count; /* of them that are used: no more than a quarter of the descriptors that were free */
};

void data_files_init(struct data_files *d);
void data_files_release(struct data_files *d);
/* Closes what was not used for a while. */
void data_files_tick(struct data_files *d, uint64_t now_ms);
/* Opens f when it is not, and compares it with its plan, each time. ERR_CHANGED or another error of open(2), with why.
 * The descriptor is valid until the next call. */
int data_files_get(struct data_files *d, const struct file *f, uint64_t now_ms, int *fd, char *why,
                   size_t why_size) MUST_CHECK;
/* Is f still what was planned: what fd shows, and what its path does when opened again? ERR_CHANGED; ERR_IO: it cannot
 * be read, or has more content than its size. With why. */
int data_file_check(const struct file *f, int fd, char *why, size_t why_size) MUST_CHECK;

#endif
