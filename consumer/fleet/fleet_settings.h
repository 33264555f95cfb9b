/*
 * What SET put in force, kept in DIR/set so that a crash does not lose it: four lines, written to a temporary name,
 * synced, renamed. Zero means "as each was started", or no limit.
 */
#ifndef CHUNKLIFT_DIALS_H
#define CHUNKLIFT_DIALS_H

#include "pure/err.h"
#include <stdint.h>

struct dials {
    uint32_t uploaders, slots;
    uint64_t bwlimit; /* bytes a second of the whole fleet */
};

/* ERR_NOT_FOUND: nothing was set. ERR_INVALID: damaged. */
int dials_load(const char *dir, struct dials *d) MUST_CHECK;
/* On success it is durable; otherwise what was there before is, and the error is logged. */
int dials_save(const char *dir, const struct dials *d) MUST_CHECK;
/* Nothing is in force any more. */
void dials_forget(const char *dir);

#endif
