/*
 * Reads one file line by line through a bounded buffer. A torn last line (without newline) is not
 * returned; line_reader_torn gives its length. Does not check lines.
 */
#ifndef CHUNKLIFT_JOURNAL_LINE_READER_H
#define CHUNKLIFT_JOURNAL_LINE_READER_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct line_reader;

/* ERR_NOT_FOUND: the file does not exist; not logged. Other errors are logged. */
int line_reader_open(struct line_reader **r, const char *dir, const char *name, uint64_t offset) MUST_CHECK;
void line_reader_close(struct line_reader **r);
/* *line without its newline, valid until the next call. ERR_NOT_FOUND: the present end of the file;
 * a later call returns lines that were appended. ERR_LIMIT: a line is longer than RECORD_LINE_MAX.
 * ERR_IO, logged. */
int line_reader_next(struct line_reader *r, struct slice *line) MUST_CHECK;
uint64_t line_reader_offset(const struct line_reader *r);      /* of the next line */
uint64_t line_reader_line_number(const struct line_reader *r); /* of the last returned line, from 1 */
uint64_t line_reader_torn(const struct line_reader *r);        /* bytes after the last newline; known at the end */
/* True when the path now leads to another file or to none: the journal was rotated. The rest of the
 * old file can still be read. */
bool line_reader_is_replaced(const struct line_reader *r);
/* True when `name` in the reader's directory, or other's file, is the open file. */
bool line_reader_is_file(const struct line_reader *r, const char *name);
bool line_reader_is_same(const struct line_reader *r, const struct line_reader *other);
/* Moves to the start of the last *lines whole lines, or to the start of the file when it has fewer.
 * *lines is lowered by the number found. Line numbers count from there. */
int line_reader_seek_last(struct line_reader *r, uint64_t *lines) MUST_CHECK;

#endif
