/*
 * Every line of a journal in order, file after file, without a lock: safe beside a running consumer
 * that appends and rotates. At the present end the walk keeps its position; a later call continues
 * with new lines, also in new files. Does not check lines.
 */
#ifndef CHUNKLIFT_JOURNAL_WALK_H
#define CHUNKLIFT_JOURNAL_WALK_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

struct journal_walk; /* opaque */

/* From the first line. ERR_NOT_FOUND: dir does not exist (logged). A directory without a journal
 * has no lines. */
int journal_walk_open(struct journal_walk **w, const char *dir) MUST_CHECK;
/* From the last `lines` whole lines that are present now. 0: only lines that are appended from now
 * on. */
int journal_walk_open_last(struct journal_walk **w, const char *dir, uint64_t lines) MUST_CHECK;
void journal_walk_close(struct journal_walk **w);

/* *line without its newline, valid until the next call. ERR_NOT_FOUND: the present end. ERR_LIMIT:
 * a line is longer than RECORD_LINE_MAX; every later call returns the same. ERR_IO, logged. */
int journal_walk_next(struct journal_walk *w, struct slice *line) MUST_CHECK;

/* The present file: its name when it was opened ("" before the first), the seq in that name (0: the
 * active file), the number of the last line returned from it. */
const char *journal_walk_file(const struct journal_walk *w);
uint64_t journal_walk_file_seq(const struct journal_walk *w);
uint64_t journal_walk_line_number(const struct journal_walk *w);
uint64_t journal_walk_files(const struct journal_walk *w); /* opened so far, the present one included */
uint64_t journal_walk_torn(const struct journal_walk *w);  /* at the end: bytes after the last newline */
/* Bytes after the last newline of the file before the present one. Only damage leaves some. */
uint64_t journal_walk_torn_before(const struct journal_walk *w);

#endif
