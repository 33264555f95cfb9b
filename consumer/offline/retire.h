/*
 * `chunklift journal retire`: sealed files of a journal that is to get shorter at its beginning.
 *
 * Without a wish to change anything it only lists them, with what still needs each. Otherwise, for all but the newest
 * `keep` of them:
 *   1. what the state cannot do without is appended again as `carry` records, then a `drop` record for each file;
 *      all of it is synced, with rotations on the way if need be
 *   2. `stop`, if the journal had ended with one; a new snapshot
 *   3. from the oldest on, each file is copied to the archive (temporary name, fsync, rename, fsync of that directory),
 *      unlinked, and the journal's directory synced, before the next one's turn
 * Interrupted before the last sync of 1, nothing is dropped and what was carried counts once. Interrupted after it, the
 * files that are still there are known to be dropped: the next `retire` goes on with 3.
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
    bool remove;           /* without it and archive: only listed */
    const char *archive;   /* directory that takes the files; made when missing. NULL: they are deleted */
    uint64_t keep;         /* the newest sealed files stay */
    bool forget_finished;  /* what finished in these files is not carried */
    bool json, verbose;    /* of what is printed */
    uint64_t rotate_bytes; /* 0: the journal's default */
    struct retire_io *io;  /* NULL: the real calls */
};

/* What a sealed file is needed for; retire_list.c. */
struct need {
    uint64_t to;                   /* its last seq */
    bool chosen, dropped;          /* to go now; an earlier `drop` record names it */
    uint64_t unfinished, finished; /* uploads */
    const struct upload **named;   /* of the unfinished ones */
    size_t named_count, named_cap;
};

struct retire {
    const struct retire_options *o;
    struct upkeep u;
    struct need *needs; /* one for each sealed file */
    size_t chosen;      /* the first so many files are to go */
    uint64_t up_to;     /* the last seq in them */
    uint64_t carried_uploads, carried_chunks, carried_finished;
};

/* Prints the list, or does it. ERR_BUSY: a consumer runs. Errors are logged. */
int retire(const struct retire_options *o) MUST_CHECK;

/* ---- retire_list.c ---- */
int retire_find_needs(struct retire *r) MUST_CHECK;
void retire_print(const struct retire *r);
void retire_release_needs(struct retire *r);

/* ---- retire_files.c ---- */
/* Made when missing; must not be the journal's own directory. ERR_USAGE and others, logged. */
int retire_prepare_archive(const struct retire *r) MUST_CHECK;
/* Step 3 for one file. */
int retire_file(const struct retire *r, const struct journal_file *f) MUST_CHECK;

#endif
