/* Columns of text on a terminal (wcwidth). In the C locale, and for bytes that are no characters, each character counts
 * as one. Text is valid UTF-8 without control characters (text_add_printable). */
#ifndef CHUNKLIFT_COLUMNS_H
#define CHUNKLIFT_COLUMNS_H

#include "pure/buf.h"

int columns_of(struct slice text);
/* Appends the end of the text, in exactly `room` columns: padded, or with "…" for the part that does not fit. */
int columns_add_end(struct buf *out, struct slice text, int room) MUST_CHECK;
/* Appends the start of the text, in at most `room` columns. */
int columns_add_start(struct buf *out, struct slice text, int room) MUST_CHECK;

#endif
