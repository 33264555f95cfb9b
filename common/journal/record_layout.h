/* The fields of each event's line, and their order: the one table that record_encode.c and
 * record_parse.c share. Not for other files. */
#ifndef CHUNKLIFT_RECORD_LAYOUT_H
#define CHUNKLIFT_RECORD_LAYOUT_H

#include "journal/record.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_U64,
    FIELD_U32,
    FIELD_I64,  /* a decimal number in a JSON string */
    FIELD_TIME, /* nanotime; the same */
    FIELD_ID,   /* 32 hex digits */
    FIELD_CRC,  /* "crc32c:1a2b3c4d" */
    FIELD_TEXT, /* any text; bytes that are not UTF-8 are replaced */
    FIELD_NAME, /* any bytes; written as NAME_b64 when they are not UTF-8 */
};

enum field_id {
    F_UPLOAD,
    F_SRC,
    F_SOURCE,
    F_SIZE,
    F_MTIME_NS,
    F_CTIME_NS,
    F_INO,
    F_DEST,
    F_ENDPOINT,
    F_CHUNK_SIZE,
    F_CHUNKS,
    F_HANDLE,
    F_CHECKSUM,
    F_CHUNK,
    F_OFFSET,
    F_LENGTH,
    F_CRC,
    F_ETAG,
    F_WORKER,
    F_MS,
    F_CLASS,
    F_ERROR,
    F_REASON,
    F_EPOCH,
    F_JOURNAL,
    F_VERSION,
    F_PREV,
    F_FILE,
    F_FROM,
    F_TO,
    F_KIND,
    F_SINCE_NS,
    F_OPENS,
    F_VIA,
    F_INTEGRITY,
    F_PROPERTIES,
    F_GROW,
    F_TOTAL,
    F_FOUND,
    F_HOW,
    F_COUNT
};

#define FIELD_BIT(id) ((uint64_t)1 << (id))

struct record_field_def {
    const char *name;
    uint8_t name_len;
    uint8_t type;
    uint16_t offset; /* in struct record */
    uint32_t has;    /* its bit in record.has, 0: none */
};

#define LAYOUT_FIELDS_MAX 18
struct record_layout {
    const char *name;  /* of the event; for carry of the kind */
    uint64_t required; /* FIELD_BITs */
    uint8_t count;
    uint8_t order[LAYOUT_FIELDS_MAX];
};

extern const struct record_field_def record_fields[F_COUNT];

/* The layout of an event; for EV_CARRY that of its kind. NULL for an event or kind that is not
 * known. */
const struct record_layout *record_layout_of(enum record_ev ev, struct slice kind);

/* Every required field of r's event is present and in range. True of every record that is written
 * or read. */
bool record_is_valid(const struct record *r);

/* The last ts_us that a year of four digits can show: the end of 9999. The first is 0. */
#define RECORD_TS_MAX INT64_C(253402300799999999)

#endif
