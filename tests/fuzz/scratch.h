/*
 * Shared by the fuzz targets that need files: a directory of this process, emptied for every input. With it comes a
 * write(2) that drops the bytes for stderr (every log line is still formatted, a million of them are not printed),
 * and a clock in which nanosleep passes at once. A failing system call here ends the program: it is the test's own.
 */
#ifndef CHUNKLIFT_FUZZ_SCRATCH_H
#define CHUNKLIFT_FUZZ_SCRATCH_H

#include "pure/buf.h"
#include <stdbool.h>

/* Under $TMPDIR, else /dev/shm, else /tmp; removed when the program exits. */
const char *scratch_dir(void);
/* Removes every file in it. */
void scratch_empty(void);
/* Makes or replaces DIR/name. */
void scratch_write(const char *name, struct slice bytes);
/* Appends the contents of DIR/name; false when there is no such file. */
bool scratch_read(const char *name, struct buf *bytes);
/* Calls see for every file of DIR, in no order. */
void scratch_each(void (*see)(void *arg, const char *name), void *arg);

/* The calls of buf.h; their only error is memory. */
void must(int err);

#endif
