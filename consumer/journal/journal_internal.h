/*
 * What journal.c, journal_disk.c, journal_recover.c, journal_damage.c and journal_read.c share; nobody else includes
 * it.
 */
#ifndef CHUNKLIFT_JOURNAL_INTERNAL_H
#define CHUNKLIFT_JOURNAL_INTERNAL_H

#include "consumer/journal/journal.h"
#include <stdbool.h>

#define JOURNAL_TEMP "tmp-journal-active" /* never matches journal*.jsonl */
#define SNAPSHOT_TEMP "tmp-snapshot"

/* Where a reader that goes on will go on: offset of the line `seq` in the file whose first line is `first_seq`. */
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
    bool ready; /* journal_open went to its end */
    bool failed, stopped_cleanly;
    bool left_in_flight; /* found at open: the last holder was between write and the end of fdatasync */

    /* committed */
    uint64_t seq, batch;
    char head[ID_HEX_SIZE];
    enum record_ev last_ev;
    uint64_t first_seq, size; /* of the active file */
    uint64_t *sealed;         /* first seqs, ascending */
    size_t sealed_count, sealed_cap;

    /* gathered: chain is ahead of head */
    struct chain chain;
    struct buf gathered;
    uint64_t gathered_seq; /* last given out */
    enum record_ev gathered_ev;
    int64_t ts_us; /* of the last line: never decreases */

    struct read_cursor cursors[READ_CURSORS];
    unsigned cursor_next;
};

/* --- journal.c --- */
/* Gathered is the first batch of a new active file: temporary name, fsync; the present active file, when it has lines,
 * is sealed; rename, directory fsync. Failure is for good. */
int journal_begin_file(struct journal *j) MUST_CHECK;
int journal_add_sealed(struct journal *j, uint64_t first_seq) MUST_CHECK;

/* --- journal_disk.c --- */
extern const struct journal_io journal_real_io;
/* Logs "DIR/NAME: operation: reason; what to do" from errno and returns the enum err. name may be "". */
int disk_error(const char *dir, const char *name, const char *operation);
/* "DIR/NAME" on the heap, NULL without memory. */
char *disk_path(const char *dir, const char *name);
void disk_sealed_name(uint64_t first_seq, char name[48]);

int disk_open_dir(struct journal *j) MUST_CHECK; /* makes it, opens it, takes the lock, removes stale temporary files */
void disk_unlock(struct journal *j);
/* In the lock file, for the next holder under the same kernel: a batch is between its write and the end of its sync. */
int disk_mark_in_flight(struct journal *j, bool in_flight) MUST_CHECK;

int disk_write_all(const struct journal_io *io, int fd, const void *bytes, size_t len) MUST_CHECK; /* errno is kept */
int disk_create(const char *dir, const char *name, bool exclusive, int *fd) MUST_CHECK;            /* logged */
int disk_rename(const struct journal *j, const char *from, const char *to) MUST_CHECK;             /* logged */
int disk_sync_dir(const struct journal *j) MUST_CHECK;                                             /* logged */
/* The active file has `size` bytes and is the one that its path names. ERR_LOST, logged: another program truncated,
 * wrote, moved or removed it, or its directory. */
int disk_check_active(const struct journal *j, uint64_t size) MUST_CHECK;

/* --- journal_damage.c --- */
/* What stood before the first line that is not valid. */
struct damage {
    const char *name; /* of the file */
    uint64_t offset;  /* of that line */
    uint64_t line;    /* its number, from 1 */
    uint64_t seq;     /* last valid one, 0 for none */
    uint64_t batch;   /* its batch */
    char h[ID_HEX_SIZE];
    char reason[160];
};
/* 0: a torn tail, may be cut. ERR_DAMAGED: logged. */
int damage_judge(const struct journal *j, const struct damage *d) MUST_CHECK;
/* Replaces the active file by a copy of its first `end` bytes; what follows them is kept in a side file, said once. */
int damage_copy_prefix(struct journal *j, uint64_t end, uint64_t next_seq, const char *reason) MUST_CHECK;
/* The seq a line names in its first bytes; false when it does not look like a line. */
bool line_names_seq(struct slice line, uint64_t *seq);

#endif
