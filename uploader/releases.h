/*
 * Jobs to be given back to the consumer. A RELEASE only speeds things up (rule 4, and the end of the lease, do the same
 * later), so a release that does not fit is forgotten.
 */
#ifndef CHUNKLIFT_RELEASES_H
#define CHUNKLIFT_RELEASES_H

#include "pure/err.h"
#include "pure/proto.h"
#include <stddef.h>
#include <stdint.h>

#define RELEASES_MAX 4096
#define RELEASE_DETAIL_MAX 320 /* bytes; a longer detail is cut */

struct releases {
    struct released *items; /* their details are heap copies */
    size_t count, cap;
};
/* detail may be NULL. */
void releases_add(struct releases *r, const struct ref *ref, enum why why, uint32_t after_ms, const char *detail,
                  uint64_t bytes);
/* With WHY_NOT_HERE, because of a trouble of this host (troubles.h). */
void releases_add_trouble(struct releases *r, const struct ref *ref, enum own_failure own, enum fail_class class,
                          uint32_t after_ms, const char *detail, uint64_t bytes);
/* Removes the first `count`. */
void releases_drop(struct releases *r, size_t count);
void releases_release(struct releases *r);

#endif
