/*
 * DIR/snapshot: the consumer's state at one place of the journal, in a container that knows whether it is whole. Only a
 * cache: always safe to delete, and whoever cannot read it reads the journal instead. What the body holds is its
 * writer's affair.
 *
 * The first line is text: "chunklift-snapshot VERSION JOURNAL EPOCH SEQ H LENGTH SHA256\n", with SHA256 (64 hex digits)
 * over everything before it in the line and the body. LENGTH bytes of body follow, and nothing else.
 */
#ifndef CHUNKLIFT_SNAPSHOT_FILE_H
#define CHUNKLIFT_SNAPSHOT_FILE_H

#include "consumer/journal/journal.h"
#include "pure/buf.h"
#include "pure/err.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_NAME "snapshot"
#define SNAPSHOT_TEMP "tmp-snapshot"
#define SNAPSHOT_BODY_MAX ((uint64_t)1 << 30)

/* Replaces DIR/snapshot as a whole: on success it is on the disk, on failure (logged) the old one stands. pos is
 * journal_position()'s, taken when nothing is gathered. Only for who holds the journal's lock. ERR_LIMIT for a body
 * beyond SNAPSHOT_BODY_MAX; ERR_FULL, ERR_DENIED, ERR_IO, ERR_NOMEM. Blocks for two fsyncs. */
int snapshot_write(const char *dir, const struct journal_position *pos, struct slice body) MUST_CHECK;
/* The same through another set of system calls (tests). */
int snapshot_write_by(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                      struct slice body) MUST_CHECK;

/* A body that is never in memory as a whole. produce() hands it to put() piece by piece. It is called twice, for the
 * length and for the bytes, and must produce the same bytes both times. io NULL: the real calls. */
typedef int snapshot_put(void *arg, struct slice piece);
struct snapshot_body {
    int (*produce)(const void *of, snapshot_put *put, void *arg);
    const void *of;
};
int snapshot_write_body(const struct journal_io *io, const char *dir, const struct journal_position *pos,
                        const struct snapshot_body *body) MUST_CHECK;

/* body is replaced. ERR_NOT_FOUND: there is none. ERR_VERSION: of another version. ERR_DAMAGED: not whole. In all cases
 * the caller goes on without; pos->seq is then 0 and body empty. Whether pos fits the journal is journal_open's to say
 * (options.known). */
int snapshot_read(const char *dir, struct journal_position *pos, struct buf *body) MUST_CHECK;

/* The body piece by piece. snapshot_open verifies the whole file first, with the same errors as snapshot_read; then
 * `length` bytes can be read. snapshot_close is always allowed. */
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
