/*
 * The journal's rules once more, as docs/JOURNAL.md has them, over bytes in memory: the results that journal_verify and recovery
 * are compared with. It shares with them the parser of one line, which has a fuzz target of its own, and nothing else.
 *
 * Input (fuzz_journal_dir): a line of option letters, then the files, sealed ones first, the active one last, with a
 * line "====" between two files (a sealed file has the name its first line asks for, and is never empty):
 *     r  every line's h, and every segment's prev, is made right first
 *     s  the last holder died with a batch in flight
 *     m  no active file: the last piece must be empty
 *     k  the state is known up to a line; K: up to a line that never was. A digit says which (tenths of all lines)
 */
#ifndef CHUNKLIFT_FUZZ_JOURNAL_MODEL_H
#define CHUNKLIFT_FUZZ_JOURNAL_MODEL_H

#include "journal/record.h"
#include "pure/buf.h"
#include "pure/digest.h"
#include <stdbool.h>

#define MODEL_FILES 4
#define MODEL_LINES 512
/* No counter gets that far; 2^64 is not tried. */
#define MODEL_COUNT_MAX ((uint64_t)1 << 62)

struct model_line {
    struct slice text; /* without the newline */
    uint64_t seq, batch, epoch;
    struct id128 journal; /* of the last epoch record at or before it */
    char h[ID_HEX_SIZE];
};

struct model {
    struct digest *sha;                   /* kept from input to input */
    struct buf bytes;                     /* of all files, one after the other */
    struct slice files[MODEL_FILES + 1];  /* recovery may begin one more */
    uint64_t first_seqs[MODEL_FILES + 1]; /* of the sealed ones' names; 0 for the active one */
    size_t file_count;
    bool has_active, in_flight, wants_known, wrong_known;
    unsigned known_tenth;

    /* the valid lines, from the first on: all of them, or those before the first that is not valid */
    struct model_line lines[MODEL_LINES];
    size_t line_count;
    size_t bad_file; /* file_count: everything is valid */
    size_t bad_at;   /* byte in that file */
    bool has_empty_file;
};

/* False when the input is not of this form, or too large. */
bool model_read(struct model *m, struct slice input);
/* The same for the files of a directory. */
void model_judge(struct model *m);
/* The line with this seq; NULL when no valid one has it. */
const struct model_line *model_find(const struct model *m, uint64_t seq);

#endif
