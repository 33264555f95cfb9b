/* Aborts the uploads that `chunklift gc` has chosen, through the queue. */
#ifndef CHUNKLIFT_GC_RUN_H
#define CHUNKLIFT_GC_RUN_H

#include "producer/cli/errand.h"
#include "producer/cli/store/gc_list.h"
#include "producer/cli/store/gc_report.h"

struct gc_run {
    struct gc_list *list; /* the wanted ones are aborted; each is no longer wanted afterwards */
    struct errand_options errand;
    const char *endpoint_url; /* of all uploads, instead of the recorded ones; NULL: those */
    bool json;
    struct gc_counts *counts;
};

/* Returns the exit status: 0, all are aborted; 1, some are not (each is logged); others as for cp. Blocks. */
int gc_run(const struct gc_run *r) MUST_CHECK;

#endif
