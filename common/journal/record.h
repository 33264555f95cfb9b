/*
 * One line of the journal: its fields, its text, its validity. docs/JOURNAL.md is the format's description; this is its
 * only code.
 *
 * A line is JSON: {"seq":1,"batch":1,"ts":"2026-11-21T08:40:00.000000Z","ev":"chunk",…,"h":"32 hex digits"}\n
 * A line is valid if and only if it ends in a newline, parses, has the next seq, and its h is right:
 *     h = hex of the first 16 bytes of SHA-256(previous h as 32 ASCII digits ‖ this line's bytes before ,"h")
 * The first line of a journal follows 32 zeros. Strings that are not UTF-8 (src, dest only) stand in base64 as src_b64,
 * dest_b64.
 */
#ifndef CHUNKLIFT_RECORD_H
#define CHUNKLIFT_RECORD_H

#include "pure/buf.h"
#include "pure/digest.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/source_identity.h"
#include <stdint.h>

#define JOURNAL_VERSION 1
#define RECORD_LINE_MAX 65536 /* bytes with the newline; longer is never written and refused when read */

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
    EV_COUNT
};
const char *record_ev_name(enum record_ev ev);

enum record_field { /* bits of record.has, for what is not always there */
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
};

/* Slices point into the parsed line or into the scratch buffer of record_parse; when encoding, to anything. */
struct record {
    uint64_t seq, batch;
    int64_t ts_us; /* since 1970, UTC */
    enum record_ev ev;
    uint32_t has;
    struct id128 upload;
    /* open, begin, put (and finish: dest, size) */
    struct slice src, source, dest, endpoint;
    struct source_identity file; /* dev and mode are not written */
    /* begin */
    uint64_t chunk_size;
    uint32_t chunks;
    struct slice handle, checksum;
    /* chunk, redo */
    uint32_t chunk;
    uint64_t offset, length;
    /* chunk, finish, put */
    uint32_t crc; /* crc32c */
    struct slice etag, worker;
    uint64_t ms;
    struct slice via;       /* chunk, put: "fetch" when the bytes came from the producer */
    struct slice integrity; /* chunk, finish, put: enum integrity by name */
    /* fail: class, error; abort: reason */
    struct slice class, error, reason;
    /* epoch: epoch, journal, version; segment: prev; drop: file, from, to */
    uint64_t epoch;
    struct id128 journal;
    uint64_t version;
    struct slice prev, dropped_file;
    uint64_t from, to;
    /* carry: kind ("upload", "chunk", "finished") with the fields of that kind above */
    struct slice kind;
    int64_t since_ns; /* of upload and finished: the ts of the record that this one stands for */
    uint64_t opens;   /* of upload: how many `open` lines it had, where they were more than one */
    /* as read: the line's own chain value */
    char h[ID_HEX_SIZE];
};

/* The running chain: one reused SHA-256 context and the last h. */
struct chain {
    struct digest *sha;
    char h[ID_HEX_SIZE];
};
int chain_init(struct chain *c) MUST_CHECK; /* h = 32 zeros */
void chain_release(struct chain *c);

/*
 * Appends the whole line with its newline to out and moves the chain on. On error out and chain are as before.
 * ERR_LIMIT when the line would pass RECORD_LINE_MAX. Text that is not UTF-8 is written with U+FFFD in its place (src
 * and dest: in base64), so any bytes a peer sent can be given.
 *
 * CHECKs that the fields of r's event are there: the HAS_ bits of every field in the event's row of docs/JOURNAL.md but
 * etag, checksum, via and integrity, which are left out without their bit or when empty, as endpoint is when empty; in
 * a carry also worker, ms, geometry, handle, since_ns and opens. An epoch has version JOURNAL_VERSION, a segment's prev
 * is an h.
 */
int record_encode(const struct record *r, struct chain *c, struct buf *out) MUST_CHECK;

/*
 * Parses one line without its newline, strictly: known layout for known events, integers exact to 64 bits, valid UTF-8,
 * every field an event must have. Unknown extra fields are skipped; an unknown ev, kind of carry or a later version in
 * epoch is ERR_VERSION; everything else ERR_INVALID or, exceeds a limit, ERR_LIMIT. Does not look at the chain. scratch
 * receives unescaped strings; it is cleared first and must outlive the record.
 */
int record_parse(struct slice line, struct record *r, struct buf *scratch) MUST_CHECK;

/* ERR_DAMAGED when the line's h does not follow the chain; on success the chain moves on. line without its newline. */
int record_verify(struct slice line, struct chain *c) MUST_CHECK;

#endif
