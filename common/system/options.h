/*
 * Command-line options from one table: long names, GNU style (--name VALUE, --name=VALUE, -r, bundled short flags),
 * "--" ends them. Options may follow arguments. An error prints "chunklift: --foo: unknown option; see
 * 'chunklift cp --help'" and is ERR_USAGE.
 */
#ifndef CHUNKLIFT_OPTIONS_H
#define CHUNKLIFT_OPTIONS_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,   /* bool * = true */
    OPTION_TEXT,   /* const char ** (points into argv) */
    OPTION_LIST,   /* struct text_list *, repeated */
    OPTION_SIZE,   /* uint64_t * bytes */
    OPTION_TIME,   /* uint64_t * milliseconds */
    OPTION_COUNT,  /* uint64_t *, within [min, max]; the word choices[0], if there are choices, stands for 0 */
    OPTION_RATE,   /* uint64_t * bytes per second; 0: no limit */
    OPTION_BUDGET, /* struct option_budget * */
    OPTION_CHOICE, /* int *: index into choices */
    OPTION_CONFIG, /* struct config_file *: more options; those of the command line override it */
};

struct text_list {
    const char **items;
    size_t count;
};
void text_list_release(struct text_list *list);

/* A rate, or a timetable of rates (pure/timetable.h). */
struct option_budget {
    bool given;
    uint64_t rate;         /* bytes per second; 0: no limit */
    const char *timetable; /* NULL: the rate is constant; points into argv */
};

struct option_spec {
    const char *name; /* without the dashes */
    char letter;      /* 0 for none */
    enum option_kind kind;
    void *target;
    const char *value_name;     /* "SIZE"; NULL for a flag */
    const char *help;           /* one line; NULL hides it from --help */
    uint64_t min, max;          /* OPTION_COUNT, and OPTION_TIME / OPTION_SIZE when max is not 0 */
    const char *const *choices; /* NULL-terminated; OPTION_COUNT: at most one */
};

extern const char *const option_auto[]; /* "auto" */

/* specs ends with a NULL name. On return *arguments holds the rest, in order (pointers into argv); the caller releases
 * it. */
int options_parse(const char *command, const struct option_spec *specs, int argc, char **argv,
                  struct text_list *arguments) MUST_CHECK;
/* usage is the first line ("chunklift cp [options] SRC… DEST"), about the paragraph after it. */
void options_help(FILE *out, const char *usage, const char *about, const struct option_spec *specs);
/* Prints the help or the version on stdout, if one was asked for. false: neither was. */
bool options_answer(bool help, bool version, const char *usage, const char *about, const struct option_spec *specs);

#endif
