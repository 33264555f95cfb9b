/* Options of `chunklift cp`. */
#ifndef CHUNKLIFT_CP_OPTIONS_H
#define CHUNKLIFT_CP_OPTIONS_H

#include "producer/producer.h"
#include "producer/supervise.h"
#include "pure/buf.h"
#include "system/options.h"
#include <stdbool.h>

struct cp_options {
    struct producer_config config;
    struct supervise_options supervise; /* but for jobs, allow and roots, which the producer tells */
    bool json, quiet, no_progress, verbose;
    /* memory of the above */
    struct text_list arguments;
    struct buf journal;
    const char **roots;
};

/* Returns -1 to go on, else the exit status (0 after --help or --version, 2 after a line on stderr). */
int cp_options_parse(struct cp_options *o, int argc, char **argv) MUST_CHECK;
void cp_options_release(struct cp_options *o);

#endif
