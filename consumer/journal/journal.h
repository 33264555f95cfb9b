/*
 * The journal on disk, for its one writer: append, group commit, rotation, recovery, the lock on
 * its directory. Format: docs/JOURNAL.md. Code: journal_write.c, journal_read.c, journal_recover.c,
 * journal_damage.c, journal_dir.c.
 *
 * Invariants
 *  1. journal_append only collects lines in memory. Nothing is durable, and nothing may be
 *     acknowledged, before journal_commit returns 0.
 *  2. A batch is written and fdatasynced before the next one begins. So a torn tail damages only
 *     the last batch.
 *  3. A failed write or sync is never retried. The journal is `failed` from then on, and every call
 *     returns an error. A restart copies the valid prefix.
 *  4. A new file gets its name after its first lines are on the disk: temporary name, fsync,
 *     rename, fsync of the directory.
 */
#ifndef CHUNKLIFT_JOURNAL_H
#define CHUNKLIFT_JOURNAL_H

#include "consumer/journal/disk.h"
#include "journal/record.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_BATCH_MAX (1u << 20)
#define JOURNAL_ROTATE_BYTES ((uint64_t)64 << 20)

struct journal;

/* A position in the journal. The caller has the state up to there, from its snapshot. seq 0: none.
 * Filled by journal_position(): after a rotation, the active file alone gives neither the journal's
 * id nor its epoch. */
struct journal_position {
    struct id128 journal;
    uint64_t epoch; /* the last one at or before seq */
    uint64_t seq;
    char h[ID_HEX_SIZE];
};

struct journal_options {
    const char *dir;             /* created when missing (0700) */
    uint64_t rotate_bytes;       /* 0: JOURNAL_ROTATE_BYTES */
    const struct journal_io *io; /* NULL: the real calls */
    struct id128 expected;       /* the journal must have this id; a new one is not created. Zero: any id */
    bool read_only;              /* see journal_open */
    struct journal_position known;
    /* Called for every record after `known`, in order; not for the epoch and segment records that
     * journal_open appends. A negative value ends recovery with it. When `known` does not fit this
     * journal, known_rejected() is called first and every record is applied. */
    int (*apply)(void *arg, const struct record *r);
    void (*known_rejected)(void *arg);
    void *arg;
};

/*
 * Takes the lock, reads and checks the whole active file, and sealed files as far as apply needs
 * them. A torn tail is cut and kept in DIR/torn-SEQ-TIME (logged). A new epoch record is appended
 * and committed before the call returns. Blocks for the reads and for fsyncs.
 *
 * ERR_BUSY: another process holds the lock. ERR_DAMAGED: damage that is not a torn tail; logged as
 * "FILE:LINE: reason; remedy"; nothing was changed. ERR_LOST: not the expected journal.
 * ERR_VERSION: written by a newer version. ERR_DENIED, ERR_FULL, ERR_IO, ERR_NOT_FOUND. All are
 * logged.
 *
 * read_only: the records are checked and applied, and nothing else: no lock, no file, no directory
 * and no epoch. A torn tail is left out and stays. A directory that is missing, or has no journal,
 * is an empty journal. journal_append then returns ERR_IO.
 */
int journal_open(struct journal **j, const struct journal_options *o) MUST_CHECK;
/* Drops lines that were not committed. Releases the lock. */
void journal_close(struct journal **j);

/* Sets seq, batch and ts of r and collects the line. ERR_LIMIT: the batch is full; commit first.
 * ERR_INVALID: the line would be longer than RECORD_LINE_MAX. ERR_IO: the journal has failed. */
int journal_append(struct journal *j, struct record *r) MUST_CHECK;
/* Lines that were collected and not committed. */
struct slice journal_gathered(const struct journal *j);
/* Writes and fdatasyncs the collected lines; 0 at once when there are none. Then rotates when the
 * file is large enough, except after a `stop`; the segment line is in the new file, with the next
 * seq. ERR_FULL, ERR_IO, ERR_LOST or another system error: logged, the journal has failed, and
 * nothing of this batch may be acknowledged. */
int journal_commit(struct journal *j) MUST_CHECK;

/* Checks that the path of the active file leads to the open file, and that it has the size that was
 * written. journal_commit does this before each write and after each sync. Two system calls.
 * ERR_LOST, or a system error: logged, the journal has failed. */
int journal_check(struct journal *j) MUST_CHECK;

bool journal_has_failed(const struct journal *j);  /* invariant 3 */
uint64_t journal_seq(const struct journal *j);     /* of the last committed line */
const char *journal_head(const struct journal *j); /* its h, 32 digits and a NUL */
uint64_t journal_epoch(const struct journal *j);
/* The last record before this epoch was `stop`, or the journal was new. */
bool journal_stopped_cleanly(const struct journal *j);
const struct id128 *journal_id(const struct journal *j);
const char *journal_dir(const struct journal *j);
uint64_t journal_rotations(const struct journal *j); /* by this process; the time for a snapshot */
/* The position after the last committed line. */
void journal_position(const struct journal *j, struct journal_position *pos);

/* Appends committed lines from `seq` on to out: whole lines of one file, up to max bytes, at least
 * one line, at most 1 MiB. *next is the seq after the last one. The line is found by bisection,
 * which reads at most 1 MiB; continuing where an earlier call ended needs no search. ERR_NOT_FOUND:
 * seq is not there (removed, or not written yet). ERR_DAMAGED: a sealed file has changed (logged).
 * ERR_IO: the journal has failed. */
int journal_read(struct journal *j, uint64_t seq, size_t max, struct buf *out, uint64_t *next) MUST_CHECK;

#endif
