/*
 * The layout of every message and of its nested structs: the field number of each member, its kind and its maximum. The
 * encoder and the decoder walk these tables. docs/PROTOCOL.md shows them, and a test compares the two. Only proto_*.c
 * include this header.
 *
 * How the tables may change after the first release:
 *  - A field number is permanent. It never gets another meaning, also not after its field was removed.
 *  - New fields get new numbers and are optional: an older peer does not send them, and ignores them.
 *  - A new required field, a narrower maximum or another meaning of a value needs a new PROTO_VERSION.
 *
 * A zero or empty value is not sent, and a missing field reads as zero or empty. "required" therefore means: neither
 * zero nor empty.
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
    FIELD_TEXT,   /* struct slice without NUL bytes; msgpack bin, because names may have any bytes */
    FIELD_BYTES,  /* struct slice; msgpack bin */
    FIELD_STRUCT, /* a nested msgpack map */
    FIELD_LIST,   /* pointer and count of structs; msgpack array of maps */
    FIELD_TEXTS,  /* pointer and count of slices; msgpack array of bin, none of them empty */
};

struct schema;
struct field {
    const char *name; /* of the member, and in docs/PROTOCOL.md */
    uint16_t number;
    uint8_t kind;
    bool required;
    uint32_t offset;             /* of the member */
    uint32_t count_offset;       /* lists: of the member with the count */
    uint64_t maximum;            /* value, bytes of text, or entries of a list */
    uint32_t text_max;           /* FIELD_TEXTS: bytes of one entry */
    const struct schema *schema; /* FIELD_STRUCT, FIELD_LIST */
};
struct schema {
    const char *name; /* "HELLO", "job" */
    size_t size;      /* of the struct in memory */
    const struct field *fields;
    size_t field_count; /* at most 64 */
};

/* The body of a message type; NULL for a type that this version does not know. */
const struct schema *message_schema(enum msg_type type);
/* The largest frame of a type, in bytes. */
size_t message_frame_max(enum msg_type type);

#endif
