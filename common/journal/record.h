/*
 * One line of the journal: its fields and its text. docs/JOURNAL.md describes the format; this is
 * its only code.
 *
 * A line is JSON and ends in a newline:
 *     {"seq":1,"batch":1,"ts":"2026-11-21T08:40:00.000000Z","ev":"chunk",...,"h":"32 hex digits"}
 *
 * Strings that are not UTF-8 (only src and dest) are written in base64 as src_b64, dest_b64.
 * line_check.h defines when a line is valid in its journal; chain.h defines h.
 */
#ifndef CHUNKLIFT_RECORD_H
#define CHUNKLIFT_RECORD_H

#include "journal/chain.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/source_identity.h"
#include <stdint.h>

#define JOURNAL_VERSION 1
#define RECORD_LINE_MAX 65536 /* bytes with the newline; a longer line is never written, and refused by the reader */

enum record_ev {
    EV_EPOCH = 1,
    EV_STOP,
    EV_SEGMENT,
    EV_OPEN,
    EV_BEGIN,
    EV_CHUNK,
    EV_REDO,
    EV_FINISH,
    EV_PUT,
    EV_FAIL,
    EV_ABORT,
    EV_CARRY,
    EV_DROP,
    EV_FORGET,
    EV_SAME,
    EV_VERIFIED,
    EV_DELETING,
    EV_DELETE,
    EV_COUNT
};
const char *record_ev_name(enum record_ev ev);

enum record_field { /* bits of record.has: optional fields */
                    HAS_UPLOAD = 1 << 0,
                    HAS_SRC = 1 << 1,
                    HAS_DEST = 1 << 2,
                    HAS_GEOMETRY = 1 << 3,
                    HAS_HANDLE = 1 << 4,
                    HAS_CHECKSUM = 1 << 5,
                    HAS_CHUNK = 1 << 6,
                    HAS_CRC = 1 << 7,
                    HAS_ETAG = 1 << 8,
                    HAS_WORKER = 1 << 9,
                    HAS_MS = 1 << 10,
                    HAS_SINCE = 1 << 11,
                    HAS_OPENS = 1 << 12,
                    HAS_VIA = 1 << 13,
                    HAS_INTEGRITY = 1 << 14,
                    HAS_PROPERTIES = 1 << 15,
                    HAS_GROW = 1 << 16,
                    HAS_TOTAL = 1 << 17,
};

/* The reason of an abort: another source took the destination. Readers compare no other reason. */
#define RECORD_SUPERSEDED "superseded"

/* The values of record.kind, of a carry. */
#define CARRY_UPLOAD "upload"
#define CARRY_CHUNK "chunk"
#define CARRY_FINISHED "finished"

/* After record_parse, slices point into the line or into the scratch buffer. */
struct record {
    uint64_t seq, batch;
    int64_t ts_us; /* since 1970, UTC */
    enum record_ev ev;
    uint32_t has;
    struct id128 upload;
    /* open, begin, put; of finish: dest, file.size */
    struct slice src, source, dest, endpoint;
    struct source_identity file; /* dev and mode are not written */
    /* begin */
    uint64_t chunk_size;
    uint32_t chunks;
    uint32_t grow; /* as in struct geometry */
    struct slice handle, checksum;
    /* open, begin */
    struct id128 properties; /* properties_digest (pure/properties.h) of the object */
    /* chunk, redo */
    uint32_t chunk;
    uint64_t offset, length;
    uint64_t total; /* chunk: the size of an input of unknown length; in the record of its last chunk */
    /* chunk, finish, put */
    uint32_t crc; /* crc32c */
    struct slice etag, worker;
    uint64_t ms;
    struct slice via;       /* chunk, put: "fetch" when the bytes came from the producer */
    struct slice integrity; /* chunk, finish, put: enum integrity by name */
    /* fail: class, error; abort: reason, RECORD_SUPERSEDED or a text for users */
    struct slice class, error, reason;
    /* epoch: epoch, journal, version; segment: prev; drop: file, from, to */
    uint64_t epoch;
    struct id128 journal;
    uint64_t version;
    struct slice prev, dropped_file;
    uint64_t from, to;
    /* verified: enum finding by name, and "read" or "head" */
    struct slice found, how;
    /* carry: kind, with the fields of that kind above */
    struct slice kind;
    int64_t since_ns; /* of upload and finished: ts of the original record */
    uint64_t opens;   /* of upload: the number of its `open` lines when there were several */
    /* set by record_parse: the line's chain value */
    char h[ID_HEX_SIZE];
};

/*
 * Appends the whole line with its newline to out and adds it to the chain. On error out and chain
 * are unchanged. ERR_LIMIT: the line would exceed RECORD_LINE_MAX. Bytes that are not UTF-8 become
 * U+FFFD (in src and dest: base64), so any bytes from a peer are accepted.
 *
 * CHECKs that r has the required fields of its event: the HAS_ bits of every field in the event's
 * row of docs/JOURNAL.md. Optional are etag, checksum, properties, grow, total, via, integrity and an empty endpoint; in a
 * carry also worker, ms, geometry, handle, since_ns and opens. An epoch has a version
 * from 1 to JOURNAL_VERSION. A segment's prev is an h.
 */
int record_encode(const struct record *r, struct chain *c, struct buf *out) MUST_CHECK;

/*
 * Parses one line without its newline. Strict: known layout, integers exact to 64 bits, valid
 * UTF-8, every required field. Unknown additional fields are skipped. Ignores the chain. scratch
 * receives unescaped strings; it is cleared first and must outlive the record.
 *
 * ERR_VERSION: an unknown ev, an unknown kind of carry, or a later version in epoch; seq, batch and
 * ts_us are set. ERR_LIMIT: too long, or too many unknown fields. ERR_INVALID: anything else.
 * ERR_NOMEM.
 */
int record_parse(struct slice line, struct record *r, struct buf *scratch) MUST_CHECK;

#endif
