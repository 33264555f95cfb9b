/* Options of `chunklift cp`: those of a producer, and those of the processes that cp starts. */
#ifndef CHUNKLIFT_CP_OPTIONS_H
#define CHUNKLIFT_CP_OPTIONS_H

#include "producer/cli/producer_options.h"
#include "producer/cli/store/removal_scope.h"
#include "producer/cli/supervise.h"

#define LOCK_WAIT_NONE UINT64_MAX

struct cp_options {
    struct producer_options base;
    struct supervise_options supervise; /* without jobs, allow and roots, which the producer determines */
    const char **roots;                 /* memory of supervise.roots */
    uint64_t lock_wait_ms;              /* --lock-wait; LOCK_WAIT_NONE: other runs may overlap */
    struct removal_wish removal;
};

/* Returns -1 to continue, else the exit status: 0 after --help or --version, 2 or 3 after an error (logged). */
int cp_options_parse(struct cp_options *o, int argc, char **argv) MUST_CHECK;
void cp_options_release(struct cp_options *o);

#endif
