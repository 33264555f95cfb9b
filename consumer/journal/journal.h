/*
 * The journal on disk, written: append, group commit, rotation, recovery, the lock on its directory. Format:
 * docs/JOURNAL.md.
 *
 * Invariants
 *  1. journal_append only gathers lines in memory; nothing is durable, and nothing may be told to anybody, before
 * journal_commit returned 0.
 *  2. A batch is written and fdatasynced before the next one is begun, so a torn tail is damage in the last batch only.
 *  3. A failed write or sync is never retried: the journal is `failed` from then on and every call says so. A restart
 * copies the valid prefix.
 *  4. A new file appears under its name only when its first lines are on disk: temporary name, fsync, rename, directory
 * fsync.
 */
#ifndef CHUNKLIFT_JOURNAL_H
#define CHUNKLIFT_JOURNAL_H

#include "journal/record.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define JOURNAL_BATCH_MAX (1u << 20)
#define JOURNAL_ROTATE_BYTES ((uint64_t)64 << 20)

struct journal;

/* The system calls that matter for durability, replaceable in tests; NULL: the real ones. */
struct journal_io {
    ssize_t (*write)(int fd, const void *bytes, size_t len);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
};

/* A place in the journal up to which the caller already has the state (from its snapshot). seq 0: none. Made by
 * journal_position(): the active file alone tells neither the journal's id nor the epoch once it was rotated. */
struct journal_position {
    struct id128 journal;
    uint64_t epoch; /* the last one at or before seq */
    uint64_t seq;
    char h[ID_HEX_SIZE];
};

struct journal_options {
    const char *dir;             /* made when missing (0700) */
    uint64_t rotate_bytes;       /* 0: JOURNAL_ROTATE_BYTES */
    const struct journal_io *io; /* NULL: the real calls */
    struct id128 expected;       /* the id the journal must have: a new one is not begun. Zero: any, or a new one */
    struct journal_position known;
    /* Called for every record found after `known` (all, when known does not fit this journal: then known_rejected() is
     * called first), in order; not for the epoch and segment records journal_open itself adds. A negative value ends
     * recovery with it. */
    int (*apply)(void *arg, const struct record *r);
    void (*known_rejected)(void *arg);
    void *arg;
};

/*
 * Takes the lock (ERR_BUSY, logged with the holder's pid when known), reads and verifies: the whole active file, sealed
 * files as far as needed for apply. A torn tail is cut and kept in DIR/torn-SEQ-TIME (said once). Damage that is not a
 * torn tail: ERR_DAMAGED, logged as "FILE:LINE: reason; what to do". A new epoch record is appended and committed
 * before it returns. ERR_LOST (not the expected one), ERR_DENIED, ERR_FULL, ERR_IO, ERR_NOT_FOUND logged.
 */
int journal_open(struct journal **j, const struct journal_options *o) MUST_CHECK;
/* Drops what was not committed, gives the lock back. */
void journal_close(struct journal **j);

/* Fills in seq, batch and ts and gathers the line. ERR_LIMIT when the batch is full: commit first. ERR_INVALID when the
 * record can never become a line (longer than RECORD_LINE_MAX). ERR_IO after a failure. */
int journal_append(struct journal *j, struct record *r) MUST_CHECK;
/* Lines gathered and not committed. */
struct slice journal_gathered(const struct journal *j);
/* write + fdatasync of everything gathered; 0 at once when there is nothing. Rotates afterwards when the file is large
 * enough (the segment line is part of the new file, with the next seq), but never after a `stop`. ERR_FULL, ERR_IO or
 * what else the system said: logged, failed for good, nothing of this batch may be told to anybody. */
int journal_commit(struct journal *j) MUST_CHECK;

/* Is the active file still the one that was opened, with the bytes that were written, under its name? journal_commit
 * asks this before each write and after each sync. Two system calls. ERR_LOST, or what the system said: logged, failed
 * for good. */
int journal_check(struct journal *j) MUST_CHECK;

bool journal_has_failed(const struct journal *j);  /* invariant 3; why was logged */
uint64_t journal_seq(const struct journal *j);     /* last committed */
const char *journal_head(const struct journal *j); /* its h, 32 digits and a NUL */
uint64_t journal_epoch(const struct journal *j);
bool journal_stopped_cleanly(
    const struct journal *j); /* the last record before this epoch was `stop` (or there was none) */
const struct id128 *journal_id(const struct journal *j);
const char *journal_dir(const struct journal *j);
uint64_t journal_rotations(const struct journal *j); /* grows with each; a good moment for a snapshot */
/* The place after the last committed line, for a snapshot of the state up to there. */
void journal_position(const struct journal *j, struct journal_position *pos);

/* Committed lines from `seq` on, whole lines up to max bytes (at least one; never more than 1 MiB) of one file,
 * appended to out; *next is the seq after the last one. The place is found by bisection: at most 1 MiB is read for it,
 * nothing for who goes on where an earlier call ended. ERR_NOT_FOUND when seq is no longer (or not yet) there,
 * ERR_DAMAGED when a sealed file is not what it was (logged), ERR_IO after a failure. */
int journal_read(struct journal *j, uint64_t seq, size_t max, struct buf *out, uint64_t *next) MUST_CHECK;

#endif
