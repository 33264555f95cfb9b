/* Text for other programs and for people: UTF-8, JSON strings, base64 (RFC 4648, padded, standard alphabet), safe display.
 * On an error of an append, the buffer is unchanged. */
#ifndef CHUNKLIFT_TEXT_H
#define CHUNKLIFT_TEXT_H

#include "pure/buf.h"
#include "pure/err.h"

/* True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_is_valid(struct slice text);
/* Length of the well-formed part at the start of text. */
size_t utf8_valid_prefix(struct slice text);

/* Appends "text" with JSON escapes and both quotes; text must be valid UTF-8. Control characters and DEL as \u00XX. */
int json_add_string(struct buf *out, struct slice text) MUST_CHECK;
/* The same for any bytes: each byte that is not UTF-8, and each NUL, becomes U+FFFD. */
int json_add_string_lossy(struct buf *out, struct slice text) MUST_CHECK;

int base64_add(struct buf *out, struct slice bytes) MUST_CHECK;
int base64_decode(struct buf *out, struct slice text) MUST_CHECK;

/*
 * Appends a file or key name for display; the result is valid UTF-8. Control characters and bytes that are not UTF-8
 * become \n, \t or \xNN. A backslash is doubled where it would be ambiguous.
 */
int text_add_printable(struct buf *out, struct slice name) MUST_CHECK;

#endif
