/* Shared by the tests of the journal: a directory, system calls that fail on demand, files as bytes. */
#ifndef CHUNKLIFT_JOURNAL_SUPPORT_H
#define CHUNKLIFT_JOURNAL_SUPPORT_H

#include "files.h"
#include "unit.h"

#include "consumer/journal/journal.h"
#include "journal/verify.h"
#include "system/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_NAME "journal"
#define ACTIVE DIR_NAME "/" JOURNAL_ACTIVE

#define TEST(name) cmocka_unit_test_setup_teardown(name, journal_dir_fresh, journal_dir_fresh)

/* Set-up and teardown: no directory and no faults. If the test before failed, its log is printed. */
int journal_dir_fresh(void **state);

/* --- system calls: the k-th of one kind fails, and every later one of any kind (the disk stays bad) --- */

enum fault_kind { FAULT_NONE, FAULT_WRITE, FAULT_FDATASYNC, FAULT_FSYNC, FAULT_RENAME };
extern struct fault {
    enum fault_kind kind;
    int after;         /* calls of that kind that succeed */
    int error;         /* errno */
    size_t write_part; /* bytes that a failing write still writes; with short_writes also every other write */
    bool short_writes; /* every write is cut to write_part */
    int interrupts;    /* writes that return EINTR first */
    int count[5];      /* calls seen, by kind */
    bool broken;
} fault;
extern const struct journal_io fault_io;

/* Clears the fault and its counts, and sets these three fields. */
void fault_set(enum fault_kind kind, int after, int error);

/* --- bytes --- */

/* All files of the journal, one after the other. The caller releases it. */
struct buf journal_bytes(const char *dir);

/* Start of line `seq` (from 1) in bytes, or the end. */
size_t line_start(const struct buf *b, uint64_t seq);

/* --- stderr goes to the file stderr.txt between the two calls; the second one returns its content, for the
 * caller to release --- */

void stderr_begin(void);
struct buf stderr_end(void);
void assert_contains(const struct buf *text, const char *part);

/* --- a journal and its applied records --- */

struct seen {
    uint64_t first, last, count; /* seqs of the records applied */
    uint64_t epochs, chunks;
    enum record_ev last_ev;
    int64_t last_ts_us;
    int rejected;
    uint64_t refuse_at; /* apply returns ERR_NOMEM at this seq */
};

/* Applies r, for journal_options: counts it in the struct seen at arg, and checks the order. */
int seen_apply(void *arg, const struct record *r);

/* A journal in DIR_NAME with the faults. Its records are applied to s, which is cleared. NULL: they are not
 * applied. */
struct journal_options seen_options(struct seen *s);

struct journal *journal_open_ok(const struct journal_options *o);

/* Appends a chunk's record. seq may be NULL. Returns the error of journal_append. */
int journal_append_chunk(struct journal *j, uint32_t chunk, uint64_t *seq);

/* One batch of `count` chunk records; one of a stop record. */
void journal_commit_chunks(struct journal *j, uint32_t first, uint32_t count);
void journal_commit_stop(struct journal *j);

/* The journal is whole, and this is the number of its last line. */
void assert_verifies(const char *dir, uint64_t seq);

/* A journal of three batches: epoch | 3 lines | 3 lines, seq 1, 2 to 4, 5 to 7. Returns its bytes, for the caller to release. */
struct buf journal_three_batches(void);

/* Replaces the journal by an active file of these bytes. */
void journal_put(struct slice bytes);

/* journal_open returns `wanted`. A message names file and line (0: any), and this file stays as it was. */
void journal_refuses(const char *path, uint64_t line, int wanted);

#endif
