/*
 * Every line of a journal in order, file after file, without a lock: safe beside a running consumer that appends and
 * rotates. At the end of what there is now the walk stays where it is; asked again later it goes on, also into the
 * files that took over meanwhile. Judges nothing.
 */
#ifndef CHUNKLIFT_JOURNAL_WALK_H
#define CHUNKLIFT_JOURNAL_WALK_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

struct journal_walk; /* opaque */

/* From the first line. ERR_NOT_FOUND when dir does not exist; logged. A directory without a journal has no lines. */
int journal_walk_open(struct journal_walk **w, const char *dir) MUST_CHECK;
/* From the last `lines` whole lines there are now; 0: only what is appended from now on. */
int journal_walk_open_last(struct journal_walk **w, const char *dir, uint64_t lines) MUST_CHECK;
void journal_walk_close(struct journal_walk **w);

/* *line without its newline, valid until the next call. ERR_NOT_FOUND at the end of what there is now; ERR_LIMIT when a
 * line is longer than RECORD_LINE_MAX (for good); ERR_IO logged. */
int journal_walk_next(struct journal_walk *w, struct slice *line) MUST_CHECK;

/* Of the line handed out last, or of the file the walk waits in: its name when it was opened ("" before the first), the
 * seq in that name (0: the active file), the line's number. */
const char *journal_walk_file(const struct journal_walk *w);
uint64_t journal_walk_file_seq(const struct journal_walk *w);
uint64_t journal_walk_line_number(const struct journal_walk *w);
uint64_t journal_walk_files(const struct journal_walk *w); /* opened so far, this one included */
uint64_t journal_walk_torn(const struct journal_walk *w);  /* at the end: bytes behind the last newline */
/* Bytes behind the last newline of the file before this one: only damage leaves some there. */
uint64_t journal_walk_torn_before(const struct journal_walk *w);

#endif
