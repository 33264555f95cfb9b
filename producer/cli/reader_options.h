/* Options that the commands which only read have in common: journal tail, show, verify, and status. */
#ifndef CHUNKLIFT_READER_OPTIONS_H
#define CHUNKLIFT_READER_OPTIONS_H

#include "pure/buf.h"
#include "pure/err.h"
#include "runtime/keys.h"
#include "system/options.h"

struct reader_options {
    const char *journal, *consumer;
    struct key_options keys;
    bool json, quiet, verbose, no_progress, help, version;
    struct text_list arguments;
    struct buf dir; /* the journal directory, after reader_options_dir */
};

/* The rows of a command's own table come first; these follow and end it. */
#define READER_OPTION_ROWS(o)                                                                                          \
    {"journal", 0, OPTION_TEXT, &(o)->journal, "DIR", "the journal directory"},                                        \
        {"consumer", 0, OPTION_TEXT, &(o)->consumer, "EP", "ask the consumer at this endpoint"},                       \
        KEY_OPTION_ROWS(&(o)->keys), {"json", 0, OPTION_FLAG, &(o)->json, NULL, "one JSON object a line"},             \
        {"quiet", 'q', OPTION_FLAG, &(o)->quiet, NULL, "nothing but errors on stderr"},                                \
        {"verbose", 'v', OPTION_FLAG, &(o)->verbose, NULL, "say more on stderr"},                                      \
        {"no-progress", 0, OPTION_FLAG, &(o)->no_progress, NULL, NULL},                                                \
        {"help", 'h', OPTION_FLAG, &(o)->help, NULL, "show this and end"},                                             \
        {"version", 0, OPTION_FLAG, &(o)->version, NULL, "show the version and end"}, {                                \
        0                                                                                                              \
    }

/*
 * Parses and acts on what is common. ERR_AGAIN: --help or --version was answered, exit 0. ERR_USAGE: said, exit 2.
 * The caller releases o in every case.
 */
int reader_options_parse(struct reader_options *o, const char *command, const char *usage, const char *about,
                         const struct option_spec *specs, int argc, char **argv) MUST_CHECK;
/* o->dir from --journal, else from the last argument (taken from the list), else the default. With last_is_dir false
 * the last argument is only taken when it is a directory with a journal in it. Too many arguments are not judged. */
int reader_options_dir(struct reader_options *o, bool last_is_dir) MUST_CHECK;
void reader_options_release(struct reader_options *o);

#endif
