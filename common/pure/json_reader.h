/*
 * A strict reader of JSON text, token by token, for a caller that knows the next token. It accepts no white space between
 * tokens, and allocates memory only for strings with escapes. After an error `at` is its position.
 *
 * Strings are slices of the text, or of scratch when they have escapes. scratch gets room for the whole text at once, so
 * it never moves under earlier slices.
 */
#ifndef CHUNKLIFT_JSON_READER_H
#define CHUNKLIFT_JSON_READER_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

#define JSON_NESTING_MAX 16

struct json_reader {
    const char *at, *end;
    struct buf *scratch; /* empty at the start */
    size_t room;         /* length of the text; an unescaped string is never longer */
};

static inline struct json_reader json_reader_of(struct slice text, struct buf *scratch) {
    return (struct json_reader){text.ptr, text.ptr + text.len, scratch, text.len};
}

static inline bool json_take(struct json_reader *in, const char *literal, size_t len) {
    if ((size_t)(in->end - in->at) < len || memcmp(in->at, literal, len) != 0)
        return false;
    in->at += len;
    return true;
}
#define JSON_TAKE(in, literal) json_take(in, literal, sizeof(literal) - 1)

static inline bool json_take_byte(struct json_reader *in, char byte) {
    if (in->at == in->end || *in->at != byte)
        return false;
    in->at++;
    return true;
}

/* A whole number, 0 to 2^64-1, without sign, leading zeros, fraction or exponent. */
int json_read_u64(struct json_reader *in, uint64_t *value) MUST_CHECK;
/* A whole number in quotes, -2^63 to 2^63-1. */
int json_read_quoted_i64(struct json_reader *in, int64_t *value) MUST_CHECK;
/* A string: valid UTF-8, no raw control characters, no NUL, surrogates only in pairs. */
int json_read_string(struct json_reader *in, struct slice *text) MUST_CHECK;
/* A string without escapes, so that it has one spelling only. */
int json_read_unescaped(struct json_reader *in, struct slice *text) MUST_CHECK;
/* A string of len bytes. Its bytes are not checked; the caller must check them. */
int json_read_fixed(struct json_reader *in, size_t len, struct slice *text) MUST_CHECK;
/* A string of base64; the bytes are in scratch. */
int json_read_base64(struct json_reader *in, struct slice *bytes) MUST_CHECK;
/* Any value; ERR_LIMIT when nested deeper than JSON_NESTING_MAX. */
int json_skip_value(struct json_reader *in) MUST_CHECK;

#endif
