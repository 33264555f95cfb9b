/*
 * The files of a journal directory, read-only: their names, their order, and a reader that walks all lines. Used by the
 * consumer's recovery and by the commands that read a journal when nobody runs. Writing is the consumer's alone
 * (consumer/journal/journal.h).
 */
#ifndef CHUNKLIFT_JOURNAL_DIR_H
#define CHUNKLIFT_JOURNAL_DIR_H

#include "journal/record.h"
#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

#define JOURNAL_ACTIVE "journal.jsonl"

struct journal_file {
    char name[48];      /* journal.jsonl, or journal.<20 digits>.jsonl */
    uint64_t first_seq; /* from the name; 0 for the active file */
    uint64_t size;
};
struct journal_files { /* sealed ones ascending, the active one last; active may be missing (count counts what exists)
                        */
    struct journal_file *files;
    size_t count;
    bool has_active;
};
/* True for journal.jsonl and journal.<20 digits>.jsonl. */
bool journal_file_name_is_valid(const char *name);
/* ERR_NOT_FOUND when dir does not exist. Logged. */
int journal_files_list(const char *dir, struct journal_files *list) MUST_CHECK;
void journal_files_release(struct journal_files *list);

/*
 * Reads one file line by line through a bounded buffer (RECORD_LINE_MAX and some). A torn last line (no newline) is not
 * handed out: line_reader_torn tells its length. Does not judge lines.
 */
struct line_reader;
/* ERR_NOT_FOUND (not logged) when the file does not exist; other errors are logged. */
int line_reader_open(struct line_reader **r, const char *dir, const char *name, uint64_t offset) MUST_CHECK;
void line_reader_close(struct line_reader **r);
/* *line without its newline, valid until the next call; ERR_NOT_FOUND at the end of what there is now (call again for
 * more, as a tail does); ERR_LIMIT when a line is longer than RECORD_LINE_MAX; ERR_IO. */
int line_reader_next(struct line_reader *r, struct slice *line) MUST_CHECK;
uint64_t line_reader_offset(const struct line_reader *r);      /* of the next line */
uint64_t line_reader_line_number(const struct line_reader *r); /* of the last line handed out, from 1 */
uint64_t line_reader_torn(const struct line_reader *r);        /* bytes after the last newline, known at the end */
/* True when the name it was opened by is now another file or none: the journal was rotated. What the old file holds can
 * still be read to its end. */
bool line_reader_is_replaced(const struct line_reader *r);
/* True when `name` in the reader's directory, or other's file, is the file being read. */
bool line_reader_is_file(const struct line_reader *r, const char *name);
bool line_reader_is_same(const struct line_reader *r, const struct line_reader *other);
/* Goes to the start of the last *lines whole lines, or of the first when there are fewer; *lines is lowered by the
 * number found. Line numbers count from there. */
int line_reader_seek_last(struct line_reader *r, uint64_t *lines) MUST_CHECK;

/* What `journal verify` says. */
struct verify_report {
    uint64_t seq;  /* last valid */
    uint64_t from; /* first seq present when it is not 1, else 0 */
    char head[ID_HEX_SIZE];
    char file[48]; /* where it went wrong */
    uint64_t line;
    char reason[160];
    bool has_head; /* wanted_head was met as some line's h */
};
/* Checks every file of dir: names, order, seq, batch (never decreasing), chain, segment lines. 0: all valid.
 * ERR_DAMAGED: file, line, reason say where. wanted_head (32 hex digits) may be NULL. Reads without any lock: safe
 * beside a running consumer, whose torn last line, still being written, is retried for a moment before it counts. */
int journal_verify(const char *dir, const char *wanted_head, struct verify_report *report) MUST_CHECK;

#endif
