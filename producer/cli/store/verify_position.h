/*
 * How far an interrupted `verify` came: the file `verify` in the journal directory. It is a help, not a record: without it
 * everything is compared again. It counts for a day, and only for the same journal, destinations and kind of comparison.
 */
#ifndef CHUNKLIFT_VERIFY_POSITION_H
#define CHUNKLIFT_VERIFY_POSITION_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct verify_counts {
    uint64_t compared, differences, failed; /* objects; differences: of the compared ones */
};

struct verify_position {
    uint64_t key;              /* of the journal, the destinations and the options */
    uint64_t store, after;     /* objects of earlier stores, and of this one up to this position, are done */
    struct verify_counts done; /* of these objects, by all runs */
};

/* False: there is none that counts for p->key, and p is unchanged. */
bool verify_position_load(const char *dir, struct verify_position *p);
/* Errors are logged. */
int verify_position_save(const char *dir, const struct verify_position *p) MUST_CHECK;
void verify_position_remove(const char *dir);

#endif
