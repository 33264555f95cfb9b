/*
 * The files of a tree that are uploaded: rclone's filter rules on names, and bounds on size and age. The documentation
 * of rclone, "Filtering, includes and excludes", is the specification.
 *
 * Names are relative to a SRC, without a slash at either end. The first rule that matches decides; a name without one
 * is included. Rules of directories are derived from those of files. An excluded directory is not opened.
 *
 * Verdicts depend on the name alone, except those of selection_judge_attributes(). So the name in a journal record can be
 * judged after its file is gone: "excluded" and "gone" are different answers.
 */
#ifndef CHUNKLIFT_SELECTION_H
#define CHUNKLIFT_SELECTION_H

#include "pure/err.h"
#include "system/options.h"
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

/* The options as given. */
struct selection_options {
    struct text_list include, include_from, exclude, exclude_from, filter, filter_from;
    const char *min_size, *max_size, *min_age, *max_age; /* NULL: not given */
    bool ignore_case;
};

bool selection_is_wanted(const struct selection_options *o);
/* Standard input ("-") is named this many times. */
unsigned selection_count_stdin(const struct selection_options *o);
void selection_options_release(struct selection_options *o);

struct selection;

/* Reads the files of rules. ERR_USAGE (logged): an option or a rule is invalid. ERR_NOMEM. */
int selection_new(struct selection **s, const struct selection_options *o) MUST_CHECK;
void selection_destroy(struct selection **s);
/* Prints the bounds and all rules, as `rclone --dump filters`. */
void selection_print(const struct selection *s, FILE *out);

/* ERR_LIMIT: a rule took too long and the verdict is not known; *given_up is its expression, valid as long as s.
 * ERR_NOMEM. */
int selection_judge_file(struct selection *s, const char *name, bool *include, const char **given_up) MUST_CHECK;
int selection_judge_directory(struct selection *s, const char *name, bool *include, const char **given_up) MUST_CHECK;
/* For files with an included name. */
bool selection_judge_attributes(const struct selection *s, const struct stat *st);

#endif
