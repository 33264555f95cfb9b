/*
 * Access to the members of a message's structs by the descriptions of proto_fields.h, for the encoder and the decoder.
 * base is the struct that has the member. Members are read with memcpy, so that no alias rule is broken.
 */
#ifndef CHUNKLIFT_PROTO_MEMBER_H
#define CHUNKLIFT_PROTO_MEMBER_H

#include "pure/proto_fields.h"

struct slice member_slice(const struct field *f, const void *base);
size_t member_count(const struct field *f, const void *base);
const char *member_list(const struct field *f, const void *base);
uint64_t member_number(const struct field *f, const void *base); /* FIELD_U32, U64, I64 (its bits), BOOL */
nanotime member_time(const struct field *f, const void *base);

/* True for zero or empty: such a field is not sent. */
bool field_is_empty(const struct field *f, const void *base);
/* ERR_LIMIT: longer than max. ERR_INVALID: a NUL where none is allowed (text is used as a C string). */
int text_check(struct slice text, uint64_t max, bool nul_allowed) MUST_CHECK;

/* Bytes of a time that does not fit 64 bits. */
#define TIME_BYTES 16
/* The first member of struct msg's union of bodies. */
#define BODY_OFFSET offsetof(struct msg, hello)
#define ENVELOPE_ELEMENTS 6 /* version, type, journal, sender, number, body; further ones are ignored */

#endif
