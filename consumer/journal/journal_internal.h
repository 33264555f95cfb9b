/* Shared by journal_write.c, journal_dir.c, journal_recover.c, journal_damage.c and journal_read.c.
 * Not for other files. */
#ifndef CHUNKLIFT_JOURNAL_INTERNAL_H
#define CHUNKLIFT_JOURNAL_INTERNAL_H

#include "consumer/journal/journal.h"
#include "journal/files.h"
#include "journal/line_check.h"
#include <stdbool.h>

#define JOURNAL_TEMP "tmp-journal-active" /* never matches journal*.jsonl */

/* Where a reader continues: the offset of line `seq` in the file whose first line is
 * `first_seq`. */
struct read_cursor {
    uint64_t first_seq, seq, offset;
};
#define READ_CURSORS 16

struct journal {
    char *dir;
    const struct journal_io *io;
    uint64_t rotate_bytes;
    char *active_path;
    int dir_fd, lock_fd, fd; /* fd: the active file, O_RDWR | O_APPEND; -1 before there is one */
    struct id128 id;
    uint64_t epoch, rotations;
    bool ready; /* journal_open succeeded */
    bool read_only;
    bool failed, stopped_cleanly;
    bool left_in_flight; /* found at open: the last holder was between write and the end of fdatasync */

    /* committed */
    uint64_t seq, batch;
    char head[ID_HEX_SIZE];
    enum record_ev last_ev;
    uint64_t first_seq, size; /* of the active file */
    uint64_t *sealed;         /* first seqs, ascending */
    size_t sealed_count, sealed_cap;

    /* gathered: ahead of the committed values */
    struct chain chain;
    struct buf gathered;
    uint64_t gathered_seq; /* of the last gathered line */
    enum record_ev gathered_ev;
    int64_t ts_us; /* of the last line: never decreases */

    struct read_cursor cursors[READ_CURSORS];
    unsigned cursor_next;
};

/* --- journal_write.c --- */
/* Makes the gathered lines the first batch of a new active file: temporary name, fsync; the present
 * active file, when it has lines, gets its sealed name; rename, fsync of the directory. On an error
 * the journal has failed. */
int journal_begin_file(struct journal *j) MUST_CHECK;
int journal_add_sealed(struct journal *j, uint64_t first_seq) MUST_CHECK;

/* --- journal_dir.c; errors are logged --- */
int journal_dir_open(struct journal *j) MUST_CHECK; /* creates it, takes the lock, removes stale temporary files */
int journal_dir_open_to_read(struct journal *j) MUST_CHECK; /* does none of that */
void journal_dir_unlock(struct journal *j);
/* Marks in the lock file, for the next holder under the same kernel: a batch is between its write
 * and the end of its sync. */
int journal_dir_mark_in_flight(struct journal *j, bool in_flight) MUST_CHECK;
int journal_dir_rename(const struct journal *j, const char *from, const char *to) MUST_CHECK;
int journal_dir_sync(const struct journal *j) MUST_CHECK;
/* The active file has `size` bytes, and its path leads to it. ERR_LOST: another program truncated,
 * wrote, moved or removed it or its directory. */
int journal_dir_check_active(const struct journal *j, uint64_t size) MUST_CHECK;

/* --- journal_damage.c --- */
/* The first line that is not valid, and the state before it. */
struct damage {
    const char *name; /* of the file */
    uint64_t offset;  /* of that line */
    uint64_t line;    /* its number, from 1 */
    uint64_t seq;     /* of the last valid line, 0: none */
    uint64_t batch;   /* of the last valid line */
    char h[ID_HEX_SIZE];
    char reason[LINE_REASON_SIZE];
};
/* 0: a torn tail, may be cut. ERR_DAMAGED: logged. */
int damage_judge(const struct journal *j, const struct damage *d) MUST_CHECK;
/* Replaces the active file by a copy of its first `end` bytes. The rest is kept in a side file
 * (logged). */
int damage_copy_prefix(struct journal *j, uint64_t end, uint64_t next_seq, const char *reason) MUST_CHECK;

#endif
