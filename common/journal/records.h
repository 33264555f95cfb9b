/*
 * The one loop over the records of a journal directory: every line in order, parsed. Without a
 * lock: safe beside a running consumer. Does not check the chain (line_check.h does): a record that
 * parses is returned.
 *
 * When the active file is replaced by a repaired copy of itself during the walk, records that were
 * returned already are skipped.
 */
#ifndef CHUNKLIFT_JOURNAL_RECORDS_H
#define CHUNKLIFT_JOURNAL_RECORDS_H

#include "journal/record.h"
#include "pure/buf.h"
#include "pure/err.h"

struct journal_records {
    struct journal_walk *walk;
    const char *dir;
    struct slice line; /* of the last record, without its newline */
    struct buf scratch;
    uint64_t seq; /* of the last record */
};

/* dir must outlive r. ERR_NOT_FOUND: there is no such directory (logged). A directory without a
 * journal has no records. */
int journal_records_open(struct journal_records *r, const char *dir) MUST_CHECK;
void journal_records_close(struct journal_records *r);

/* The slices of record and r->line are valid until the next call. ERR_NOT_FOUND: the present end.
 * ERR_INVALID, ERR_VERSION: this line cannot be read; the next call continues after it. ERR_LIMIT:
 * a line is too long; the walk cannot continue. ERR_NOMEM; ERR_IO, logged. */
int journal_records_next(struct journal_records *r, struct record *record) MUST_CHECK;

/* Logs the line that journal_records_next refused (ERR_INVALID, ERR_VERSION, ERR_LIMIT). Returns
 * ERR_DAMAGED. */
int journal_records_log_damage(const struct journal_records *r, int err);
/* True when no file was found; logs that. */
bool journal_records_log_missing(const struct journal_records *r);

#endif
