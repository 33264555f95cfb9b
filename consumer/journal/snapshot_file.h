/*
 * DIR/snapshot: the consumer's state at one position of the journal, in a container with a
 * checksum. It is only a cache: always safe to delete, and a program that cannot read it reads the
 * journal instead. This module does not know the format of the body (consumer/state/snapshot.h).
 *
 * The first line is text: "chunklift-snapshot VERSION JOURNAL EPOCH SEQ H LENGTH SHA256\n". SHA256
 * (64 hex digits) covers the line before it and the body. Exactly LENGTH bytes of body follow.
 */
#ifndef CHUNKLIFT_SNAPSHOT_FILE_H
#define CHUNKLIFT_SNAPSHOT_FILE_H

#include "consumer/journal/journal.h"
#include "pure/buf.h"
#include "pure/err.h"

#define SNAPSHOT_VERSION 2
#define SNAPSHOT_NAME "snapshot"
#define SNAPSHOT_TEMP "tmp-snapshot"
#define SNAPSHOT_BODY_MAX ((uint64_t)1 << 30)

/* Replaces DIR/snapshot. On success the new one is on the disk; on an error (logged) the old one
 * stays. pos is from journal_position(), when no lines are gathered. The caller holds the journal's
 * lock. ERR_LIMIT: the body exceeds SNAPSHOT_BODY_MAX; ERR_FULL, ERR_DENIED, ERR_IO, ERR_NOMEM.
 * Blocks for two fsyncs. */
int snapshot_write(const char *dir, const struct journal_position *pos, struct slice body) MUST_CHECK;
/* The same through another set of system calls (tests). */
int snapshot_write_by(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                      struct slice body) MUST_CHECK;

/* A body that is never in memory as a whole. produce() passes it to put() piece by piece. It is
 * called twice, for the length and for the bytes, and must produce the same bytes both times. */
typedef int snapshot_put(void *arg, struct slice piece);
struct snapshot_body {
    int (*produce)(const void *of, snapshot_put *put, void *arg);
    const void *of;
};
/* io NULL: the real calls. Errors as snapshot_write. */
int snapshot_write_body(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                        const struct snapshot_body *body) MUST_CHECK;

/* Replaces body. ERR_NOT_FOUND: no snapshot. ERR_VERSION: another version. ERR_DAMAGED: not whole.
 * After an error pos->seq is 0 and body is empty; the caller continues without a snapshot.
 * journal_open checks whether pos fits the journal (options.known). */
int snapshot_read(const char *dir, struct journal_position *pos, struct buf *body) MUST_CHECK;

/* The body piece by piece. snapshot_open verifies the whole file first; errors as snapshot_read.
 * Then `length` bytes can be read. snapshot_close is always allowed. */
struct snapshot_reading {
    const char *dir;
    int fd;
    uint64_t offset, length;
};
int snapshot_open(const char *dir, struct journal_position *pos, struct snapshot_reading *r) MUST_CHECK;
/* Exactly len bytes. ERR_DAMAGED: the file is shorter now. */
int snapshot_next(struct snapshot_reading *r, char *to, size_t len) MUST_CHECK;
void snapshot_close(struct snapshot_reading *r);

#endif
