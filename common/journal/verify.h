/* Verification of a whole journal directory, for `chunklift journal verify`. */
#ifndef CHUNKLIFT_JOURNAL_VERIFY_H
#define CHUNKLIFT_JOURNAL_VERIFY_H

#include "journal/files.h"
#include "journal/line_check.h"
#include "pure/err.h"
#include "pure/ids.h"

struct verify_report {
    uint64_t seq;  /* of the last valid line */
    uint64_t from; /* the first seq present when it is not 1, else 0 */
    char head[ID_HEX_SIZE];
    char file[JOURNAL_NAME_SIZE]; /* of the first damage */
    uint64_t line;                /* 0: the file itself */
    char reason[LINE_REASON_SIZE];
    bool has_head; /* wanted_head is the h of a line */
};

/*
 * Checks every file of dir: names, order, lines (line_check.h). 0: all valid. ERR_DAMAGED: the
 * report has file, line and reason. ERR_NOT_FOUND (logged): no journal there. ERR_CHANGED:
 * consumers repaired the journal again and again during the read. wanted_head (32 hex digits) may
 * be NULL.
 *
 * Reads without a lock: safe beside a running consumer. A torn last line may still be written: it
 * is read again for a moment before it counts as damage. Blocks until then.
 */
int journal_verify(const char *dir, const char *wanted_head, struct verify_report *report) MUST_CHECK;

#endif
