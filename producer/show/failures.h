/* The failed files of a run, for its last lines and its report (--report). */
#ifndef CHUNKLIFT_FAILURES_H
#define CHUNKLIFT_FAILURES_H

#include "pure/proto.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FAILURES_MAX 100000 /* kept; further ones are only counted, by producer_stats */
#define FAILURES_SHOWN 20   /* by failures_print */

struct failure {
    char *path, *reason;
    enum fail_class class;
};

struct failures {
    struct failure *items;
    size_t count, capacity;
};

/* Copies the strings. Without memory, or above FAILURES_MAX, the failure is not kept. */
void failures_add(struct failures *f, const char *path, enum fail_class class, const char *reason);
/* Lists the first FAILURES_SHOWN of `total` failed files, a line each. When there are more, a last line names their
 * number and the command that lists all. unrecorded: those of them that are no files, and in no journal. */
void failures_print(FILE *out, const struct failures *f, uint64_t total, uint64_t unrecorded, const char *command);
void failures_release(struct failures *f);

#endif
