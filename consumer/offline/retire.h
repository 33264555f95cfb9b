/*
 * `chunklift journal retire`: removes or archives the oldest sealed files of a journal.
 *
 * Without --remove and --archive it only lists the sealed files and their use. Otherwise, for all
 * but the newest `keep` of them:
 *   1. The records that the state needs from these files are appended again as `carry` records, then
 *      a `drop` record for each file. All of it is synced; the journal may rotate during this step.
 *      A finished upload that is being removed is not carried: it is unknown afterwards.
 *   2. `stop`, if the journal ended with one. A new snapshot.
 *   3. From the oldest file on: copy to the archive (temporary name, fsync, rename, fsync of that
 *      directory), unlink, fsync of the journal's directory; then the next file.
 *
 * After an interruption before the last sync of 1, nothing is dropped, and records that were
 * carried count once. After a later interruption, the remaining files are known as dropped: the
 * next `retire` continues with 3.
 */
#ifndef CHUNKLIFT_CONSUMER_RETIRE_H
#define CHUNKLIFT_CONSUMER_RETIRE_H

#include "consumer/offline/offline_journal.h"
#include <stdbool.h>
#include <stdint.h>

struct retire_io { /* replaceable in tests */
    struct journal_io journal;
    int (*unlink)(const char *path);
};

struct retire_options {
    const char *dir;
    bool remove;           /* without remove and archive: only list */
    const char *archive;   /* directory for the files; created when missing. NULL: they are deleted */
    uint64_t keep;         /* the newest sealed files stay */
    bool forget_finished;  /* uploads that finished in these files are not carried */
    bool json, verbose;    /* of the output */
    uint64_t rotate_bytes; /* 0: the journal's default */
    struct retire_io *io;  /* NULL: the real calls */
};

/* The use of one sealed file; retire_list.c. */
struct need {
    uint64_t to;                   /* its last seq */
    bool chosen, dropped;          /* to be removed now; named by an earlier `drop` record */
    uint64_t unfinished, finished; /* the number of uploads that need it */
    const struct upload **named;   /* of the unfinished ones */
    size_t named_count, named_cap;
};

struct retire {
    const struct retire_options *o;
    struct offline_journal journal;
    struct need *needs; /* one for each sealed file */
    uint64_t sealed_to; /* the last seq in them; 0: there is none */
    size_t chosen;      /* the number of files to remove, from the first on */
    uint64_t up_to;     /* the last seq in them */
    uint64_t carried_uploads, carried_chunks, carried_finished;
};

/* Prints the list, or removes files. ERR_BUSY: a consumer runs. Errors are logged. Blocks for
 * copies and fsyncs. */
int journal_retire(const struct retire_options *o) MUST_CHECK;

/* ---- retire_list.c ---- */
int retire_find_needs(struct retire *r) MUST_CHECK;
void retire_print(const struct retire *r);
void retire_release_needs(struct retire *r);

/* ---- retire_files.c ---- */
/* Creates the directory when it is missing. ERR_USAGE: it is the journal's own directory. Errors
 * are logged. */
int retire_prepare_archive(const struct retire *r) MUST_CHECK;
/* Step 3 for one file. */
int retire_file(const struct retire *r, const struct journal_file *f) MUST_CHECK;

#endif
