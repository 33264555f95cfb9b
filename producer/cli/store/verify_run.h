/*
 * The run of `chunklift verify` over the objects of one store. Like `cp` it starts a consumer, when the journal has none,
 * and uploaders, and offers them jobs of the kinds `head` and `read`. The answers are compared here.
 */
#ifndef CHUNKLIFT_VERIFY_RUN_H
#define CHUNKLIFT_VERIFY_RUN_H

#include "producer/cli/errand.h"
#include "producer/cli/store/catalog.h"
#include "producer/cli/store/verify_position.h"

struct verify_options {
    struct errand_options errand;      /* without an endpoint */
    bool read, record, json, progress; /* record: the result of each object, in the journal */
    const char *position_dir;          /* where the position is saved; NULL: nowhere */
};

/* Compares the objects of the catalog's store position->store after position->after, and keeps position up to date.
 * total: the objects of all stores. *seen counts every object that was compared, also one behind an object that could not
 * be. Returns the exit status: 0, all could be compared; 1, some could not (each is logged); others as for cp. Blocks. */
int verify_store(const struct verify_options *o, struct catalog *catalog, struct verify_position *position,
                 struct verify_counts *seen, uint64_t total) MUST_CHECK;

#endif
