/* The options of a producer that select files of its sources. Names and meanings are rclone's. */
#ifndef CHUNKLIFT_SELECT_OPTIONS_H
#define CHUNKLIFT_SELECT_OPTIONS_H

#include "producer/producer_config.h"
#include "producer/select/selection.h"
#include "system/options.h"
#include <stdio.h>

struct select_options {
    struct selection_options filters;
    bool dump_filters;
    struct selection *selection; /* made of filters; NULL: there are none */
};

/* config: the struct producer_config. */
#define SELECT_OPTION_ROWS(o, config)                                                                                  \
    {"files-from",          0,      OPTION_TEXT,                                                                       \
     &(config)->files_from, "FILE", "upload the files of SRC that FILE or - names, one a line"},                       \
        {"null", '0', OPTION_FLAG, &(config)->null_names, NULL, "names of --files-from end with NUL"},                 \
        {"follow-symlinks", 'L', OPTION_FLAG, &(config)->follow_links, NULL, "follow symbolic links inside trees"},    \
        {"one-file-system",          'x',  OPTION_FLAG,                                                                \
         &(config)->one_file_system, NULL, "skip directories of other file systems"},                                  \
        {"include", 0, OPTION_LIST, &(o)->filters.include, "PATTERN", "only files that match (repeatable)"},           \
        {"include-from", 0, OPTION_LIST, &(o)->filters.include_from, "FILE", "read such patterns from FILE or -"},     \
        {"exclude", 0, OPTION_LIST, &(o)->filters.exclude, "PATTERN", "no files that match (repeatable)"},             \
        {"exclude-from", 0, OPTION_LIST, &(o)->filters.exclude_from, "FILE", "read such patterns from FILE or -"},     \
        {"filter", 0, OPTION_LIST, &(o)->filters.filter, "RULE", "'+ PATTERN', '- PATTERN' or '!' (repeatable)"},      \
        {"filter-from", 0, OPTION_LIST, &(o)->filters.filter_from, "FILE", "read such rules from FILE or -"},          \
        {"ignore-case", 0, OPTION_FLAG, &(o)->filters.ignore_case, NULL, "ignore case in patterns"},                   \
        {"min-size", 0, OPTION_TEXT, &(o)->filters.min_size, "SIZE", "only files of this size or larger (100K)"},      \
        {"max-size", 0, OPTION_TEXT, &(o)->filters.max_size, "SIZE", "only files of this size or smaller (1.5G)"},     \
        {"min-age", 0, OPTION_TEXT, &(o)->filters.min_age, "AGE", "only files of this age or older (90s, 2d)"},        \
        {"max-age", 0, OPTION_TEXT, &(o)->filters.max_age, "AGE", "only files of this age or younger (2026-11-30)"}, { \
        "dump-filters", 0, OPTION_FLAG, &(o)->dump_filters, NULL, "print the rules as regular expressions first"       \
    }

/* Makes the selection and puts it into config; o must outlive the producer. Prints the rules to `out` when that is
 * wanted. ERR_USAGE (logged), ERR_NOMEM. */
int select_options_settle(struct select_options *o, FILE *out, struct producer_config *config) MUST_CHECK;
void select_options_release(struct select_options *o);

#endif
