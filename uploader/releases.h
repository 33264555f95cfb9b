/*
 * Jobs given back, waiting to be told to the consumer. A RELEASE is a courtesy, not a promise (rule 4 and the end of a
 * lease do the same, later): what does not fit is forgotten.
 */
#ifndef CHUNKLIFT_RELEASES_H
#define CHUNKLIFT_RELEASES_H

#include "pure/err.h"
#include "pure/proto.h"
#include <stddef.h>
#include <stdint.h>

#define RELEASES_MAX 4096
#define RELEASE_DETAIL_MAX 320 /* bytes; longer is cut */

struct releases {
    struct released *items; /* detail: heap copies, ours */
    size_t count, cap;
};
void releases_add(struct releases *r, const struct ref *ref, enum why why, uint32_t after_ms, const char *detail,
                  uint64_t bytes);
/* As not-here, because of a trouble. */
void releases_add_trouble(struct releases *r, const struct ref *ref, enum own_failure own, enum fail_class class,
                          uint32_t after_ms, const char *detail, uint64_t bytes);
/* Forgets the first `count`. */
void releases_drop(struct releases *r, size_t count);
void releases_release(struct releases *r);

#endif
