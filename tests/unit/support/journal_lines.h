/* Journals for tests, made line by line with record_encode. The test decides where a file ends. */
#ifndef CHUNKLIFT_JOURNAL_LINES_H
#define CHUNKLIFT_JOURNAL_LINES_H

#include "files.h"
#include "unit.h"

#include "journal/record.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal_lines {
    char dir[64];
    struct chain chain;
    struct buf line;
    uint64_t seq, batch, first_seq; /* first_seq: of the active file */
    struct id128 journal;
    FILE *file; /* the active file; NULL: the test closed it */
};

/* The journal of the running test, for tests with this set-up and teardown. */
extern struct journal_lines test_journal;
int lines_setup(void **state);
int lines_teardown(void **state);

/* A new directory, and an active file with the line of the first epoch. lines_end removes the directory. */
void lines_begin(struct journal_lines *j);
void lines_end(struct journal_lines *j);

/* Encodes and appends r. Sets seq, batch (a new one every 3 lines) and ts. */
void lines_add(struct journal_lines *j, struct record *r);
void lines_epoch(struct journal_lines *j, uint64_t epoch);
void lines_stops(struct journal_lines *j, int count);

/* A rotation, and its halves. Between the halves there is no active file. */
void lines_rotate(struct journal_lines *j);
void lines_seal(struct journal_lines *j);
void lines_renew(struct journal_lines *j);

/* The path of a file of the journal; the name of the sealed file with this first line. In static storage. */
const char *lines_path(const struct journal_lines *j, const char *name);
const char *lines_sealed_name(uint64_t first_seq);

/* The content of a file of the journal. The caller releases it. */
struct buf lines_read(const struct journal_lines *j, const char *name);
void lines_write(const struct journal_lines *j, const char *name, struct slice bytes);

#endif
