/*
 * A journal that a command uses instead of a consumer (`journal retire`, `forget`, `export`): read
 * only, or opened for appending. Appending takes the lock of a consumer, so there is one writer at
 * any time.
 *
 * Everything is read from the first line, and no snapshot is used. So every file that may be
 * removed was checked, and the state has the seq of each of its records. A session that writes
 * begins with an epoch record, like every journal_open. It ends with `stop` only if the last
 * consumer's session did. Otherwise uploaders of that session may still work, and the next consumer
 * must give them their time (PROTOCOL.md, rule 6).
 */
#ifndef CHUNKLIFT_OFFLINE_JOURNAL_H
#define CHUNKLIFT_OFFLINE_JOURNAL_H

#include "consumer/journal/journal.h"
#include "consumer/state/state.h"
#include "journal/files.h"

struct offline_journal {
    const char *dir;
    struct journal *journal; /* NULL: read only */
    struct state state;
    struct journal_files files; /* as listed before the journal was read */
    size_t sealed;              /* the number of sealed files */
    uint64_t last_seq;          /* of the last record read */
    uint64_t segment_seq;       /* of the last segment record read */
    uint64_t dropped_to;        /* earlier `drop` records name the lines up to this seq */
};

/* Reads without the lock, safe beside a running consumer. ERR_NOT_FOUND: no journal there.
 * ERR_DAMAGED. Logged. */
int offline_journal_read(struct offline_journal *j, const char *dir) MUST_CHECK;
/* Opens for appending. rotate_bytes 0: the default. io NULL: the real calls. ERR_NOT_FOUND: no
 * journal there. Other errors as journal_open. Logged. */
int offline_journal_open(struct offline_journal *j, const char *dir, uint64_t rotate_bytes,
                         const struct journal_io *io) MUST_CHECK;
/* Needed after every read or open, a failed one too. */
void offline_journal_release(struct offline_journal *j);

/* Appends and applies. Commits the collected lines when a batch is full. ERR_INVALID, logged: too
 * long for a line. */
int offline_journal_append(struct offline_journal *j, struct record *r) MUST_CHECK;
/* Makes the appended records durable, with `stop` where it is due, and writes a new snapshot. If
 * the snapshot fails, the old one stays, which is as good. Nothing may be appended afterwards. */
int offline_journal_finish(struct offline_journal *j) MUST_CHECK;

/* The last seq in sealed file i. */
uint64_t offline_journal_last_seq(const struct offline_journal *j, size_t i);

#endif
