/*
 * The one definition of a valid journal line. Recovery, the verifier and the commands that depend
 * on a whole journal use it. Reading without judgement is line_reader.h and walk.h; the text of one
 * line alone is record_parse (record.h).
 *
 * A line, in the order of the journal, is valid if and only if
 *  1. it parses (record_parse);
 *  2. its seq is that of the line before plus 1, and its batch is the same or one more;
 *  3. its h follows the h of the line before (chain.h);
 *  4. it is at its place: a `segment` line begins every file but the journal's first, and only a
 *     file. Its prev is the h of the line before it. The first seq of a sealed file is the one in
 *     its name;
 *  5. an `epoch` names the same journal as all others;
 *  6. no counter exceeds LINE_COUNTER_MAX, so that the next value always exists.
 *
 * A journal begins with seq 1, after an h of 32 zeros. If its first files were removed, it begins
 * with a `segment` line, which gives seq and h of the missing line before it.
 */
#ifndef CHUNKLIFT_JOURNAL_LINE_CHECK_H
#define CHUNKLIFT_JOURNAL_LINE_CHECK_H

#include "journal/chain.h"
#include "journal/record.h"
#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define LINE_COUNTER_MAX ((uint64_t)1 << 62) /* seq, batch, epoch */
#define LINE_REASON_SIZE 160

/* The position in the journal: the state before the next line. */
struct line_check {
    struct chain chain;
    struct buf scratch;
    bool placed;          /* false: the next line may be a segment line that sets the position */
    uint64_t seq, batch;  /* of the last line */
    struct id128 journal; /* of the first epoch; zero: none yet */
    char reason[LINE_REASON_SIZE];
};

/* Before the first line of the first file present. */
int line_check_init(struct line_check *c) MUST_CHECK;
/* Back to the initial position. */
void line_check_reset(struct line_check *c);
void line_check_release(struct line_check *c);

/* Where a line is: the seq in its file's name (0: the active file), and whether it is the file's
 * first line. */
struct line_place {
    uint64_t file_seq;
    bool is_first;
};

/*
 * Checks the next line, without its newline, and moves after it. r receives the record; its slices
 * are valid until the next call.
 *
 * ERR_DAMAGED: not valid; c->reason has the reason. ERR_VERSION: h is right, but the line is of a
 * later version; r has ev, seq and, of an epoch, version. On both the position is unchanged,
 * except that a `segment` line which is the first of all sets it. ERR_NOMEM, ERR_IO.
 */
int line_check_next(struct line_check *c, struct slice line, struct line_place place, struct record *r) MUST_CHECK;

/* Sets c->reason; returns ERR_DAMAGED. */
int line_check_reject(struct line_check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The seq that a line has in its first bytes. False: it does not look like a line. */
bool line_seq(struct slice line, uint64_t *seq);

#endif
