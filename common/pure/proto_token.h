/*
 * A frame as a sequence of msgpack tokens. A token is a value without children, or the head of an array or a map. The
 * children of an array or a map are the next tokens. Nothing is allocated.
 *
 * A token is inside the frame. No container announces more children than bytes are left, and none is nested deeper than
 * NESTING_MAX. So the memory for a container's children is bounded by the frame before any of them was read.
 */
#ifndef CHUNKLIFT_PROTO_TOKEN_H
#define CHUNKLIFT_PROTO_TOKEN_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

#define NESTING_MAX 8 /* the deepest message: envelope, body, files, file, leases, lease, ref */

enum token_kind {
    TOKEN_NONE,     /* no msgpack value */
    TOKEN_UNSIGNED, /* an integer from zero, in any of msgpack's forms */
    TOKEN_NEGATIVE,
    TOKEN_BOOL,
    TOKEN_BIN,
    TOKEN_ARRAY,
    TOKEN_MAP,
    TOKEN_OTHER, /* nil, float, str, ext: no field has such a value */
};
struct token {
    enum token_kind kind;
    uint64_t number;    /* integers (NEGATIVE: two's complement), BOOL; ARRAY: elements; MAP: pairs */
    struct slice bytes; /* BIN: its content, in the frame */
};
struct tokens {
    const uint8_t *next;
    size_t left;
    unsigned depth; /* open containers; counted by the caller, who knows where one ends */
};

struct tokens tokens_of(struct slice frame);
/* ERR_INVALID: there is no token, or it breaks a bound. */
int tokens_next(struct tokens *r, struct token *t) MUST_CHECK;
/* The same. ERR_INVALID: also another kind. */
int tokens_expect(struct tokens *r, enum token_kind kind, struct token *t) MUST_CHECK;
/* Skips one value with its children. ERR_INVALID as above. */
int tokens_skip(struct tokens *r) MUST_CHECK;
uint64_t big_endian_read(const uint8_t *p, size_t len);

#endif
