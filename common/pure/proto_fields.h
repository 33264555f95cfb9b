/*
 * The layout of every message and of every part of one: which number on the wire belongs to which member, what may
 * stand there, and how much of it. proto.c walks these tables to encode and decode; docs/PROTOCOL.md shows them to
 * people, and a test holds the two together. Nobody else needs this header.
 *
 * How the tables may change
 *  - A field number is permanent: it is never given to another meaning, also not after the field went away.
 *  - New fields get new numbers and must be optional: an older peer does not send them, and ignores them when sent.
 *  - A new required field, a narrower maximum or another meaning of a value needs a new PROTO_VERSION.
 *
 * A value that is zero or empty is not sent, and what was not sent reads as zero or empty. So "required" is one rule
 * for all kinds: the value is neither zero nor empty.
 */
#ifndef CHUNKLIFT_PROTO_FIELDS_H
#define CHUNKLIFT_PROTO_FIELDS_H

#include "pure/proto.h"
#include <stdint.h>

enum field_kind {
    FIELD_U32, /* uint32_t and every enum; msgpack unsigned integer */
    FIELD_U64,
    FIELD_I64,
    FIELD_TIME, /* nanotime; msgpack integer, or bin of 16 bytes beyond 64 bits */
    FIELD_BOOL,
    FIELD_ID,     /* struct id128; msgpack bin of 16 bytes */
    FIELD_TEXT,   /* struct slice without NUL bytes; msgpack bin, for names may be any bytes */
    FIELD_BYTES,  /* struct slice; msgpack bin */
    FIELD_STRUCT, /* a nested msgpack map */
    FIELD_LIST,   /* pointer and count of structs; msgpack array of maps */
    FIELD_TEXTS,  /* pointer and count of slices; msgpack array of bin, none of them empty */
};

struct shape;
struct field {
    const char *name; /* the member's; also the name in docs/PROTOCOL.md */
    uint16_t number;
    uint8_t kind;
    bool required;
    uint32_t offset;           /* of the member */
    uint32_t count_offset;     /* lists: of the member that counts */
    uint64_t maximum;          /* value, bytes of text, or entries of a list */
    uint32_t text_max;         /* FIELD_TEXTS: bytes of one entry */
    const struct shape *shape; /* FIELD_STRUCT, FIELD_LIST */
};
struct shape {
    const char *name; /* "HELLO", "job" */
    size_t size;      /* of the struct in memory */
    const struct field *fields;
    size_t field_count; /* at most 64 */
};

/* The body of a message type; NULL for a type that this version does not know. */
const struct shape *message_shape(enum msg_type type);

#endif
