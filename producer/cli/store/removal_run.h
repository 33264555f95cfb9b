/*
 * The removal of `cp --delete`, after a run without an error. It is an errand: its producer asks about each object
 * without a source, has the removal of the recorded ones recorded, offers `delete` jobs, and has their ends recorded
 * (rule 19 of the protocol). In doubt an object is kept, and a line says so.
 */
#ifndef CHUNKLIFT_REMOVAL_RUN_H
#define CHUNKLIFT_REMOVAL_RUN_H

#include "producer/cli/errand.h"
#include "producer/cli/store/removal_scope.h"

struct removal_options {
    struct errand_options errand; /* without an endpoint, which is that of the scope */
    size_t descriptors_held;      /* as in struct producer_config */
    const struct removal_scope *scope;
    uint64_t max; /* --max-delete */
    bool json;    /* an event for each object; otherwise a line with -v */
};

/* Adds to the objects_ members of *stats. Returns the exit status: 0, also when objects of other programs were kept; 1,
 * some could not be removed, the journal is damaged, or there are more than max (each is logged); others as for cp.
 * Blocks. */
int removal_run(const struct removal_options *o, struct producer_stats *stats) MUST_CHECK;

#endif
