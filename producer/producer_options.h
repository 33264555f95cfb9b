/* Options of `chunklift-producer`. (cp has its own table: it also takes those of uploaders and consumer.) */
#ifndef CHUNKLIFT_PRODUCER_OPTIONS_H
#define CHUNKLIFT_PRODUCER_OPTIONS_H

#include "producer/producer.h"
#include "pure/buf.h"
#include "system/options.h"
#include <stdbool.h>

struct producer_options {
    struct producer_config config;
    bool json, quiet, no_progress, verbose;
    /* memory of the above */
    struct text_list arguments;
    struct buf journal;
};

/* Returns -1 to go on, else the exit status (0 after --help or --version, 2 or 3 after a line on stderr). */
int producer_options_parse(struct producer_options *o, int argc, char **argv) MUST_CHECK;
void producer_options_release(struct producer_options *o);

#endif
