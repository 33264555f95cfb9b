/* The common options of the commands that read a journal or ask a consumer: journal, status, set. */
#ifndef CHUNKLIFT_READER_OPTIONS_H
#define CHUNKLIFT_READER_OPTIONS_H

#include "pure/buf.h"
#include "pure/err.h"
#include "runtime/keys.h"
#include "system/option_rows.h"

struct reader_options {
    const char *journal, *consumer;
    struct key_options keys;
    bool json, quiet, verbose, no_progress, help, version;
    struct text_list arguments;
    struct buf dir; /* journal directory; empty before reader_options_dir */
};

/* They follow the rows of a command's own and end its table. */
#define READER_OPTION_ROWS(o)                                                                                          \
    OPTION_ROW_JOURNAL(&(o)->journal), OPTION_ROW_CONSUMER(&(o)->consumer), KEY_OPTION_ROWS(&(o)->keys),               \
        OPTION_ROW_JSON(&(o)->json), OPTION_ROW_QUIET(&(o)->quiet), OPTION_ROW_VERBOSE(&(o)->verbose),                 \
        OPTION_ROW_NO_PROGRESS_IGNORED(&(o)->no_progress), OPTION_ROW_HELP(&(o)->help),                                \
        OPTION_ROW_VERSION(&(o)->version), OPTION_ROWS_END

/*
 * Parses the options and handles the common ones. ERR_AGAIN: --help or --version was answered, exit status 0.
 * ERR_USAGE: logged, exit status 2. The caller releases o in every case.
 */
int reader_options_parse(struct reader_options *o, const char *command, const char *usage, const char *about,
                         const struct option_spec *specs, int argc, char **argv) MUST_CHECK;
/* Fills in o->dir: from --journal, else from the last argument (removed from the list), else the default. With
 * last_is_dir false the last argument counts only if it is a directory with a journal. The number of arguments is not
 * checked. */
int reader_options_dir(struct reader_options *o, bool last_is_dir) MUST_CHECK;
/* Ends a command: releases o, logs a lack of memory, and returns the exit status for err, or for the signal that
 * interrupted it (signals.h). */
int reader_options_end(struct reader_options *o, int err) MUST_CHECK;
void reader_options_release(struct reader_options *o);

#endif
