/*
 * Results on their way to the journal (rule 8). Each is kept and resent until the consumer has recorded or refused it.
 *
 * A result is resent after 1 s, doubling up to 5 s, and at once after a reconnect to the consumer. It is identified by
 * its job and outcome; adding it again changes nothing. Pure: the caller sends.
 */
#ifndef CHUNKLIFT_REPORTS_H
#define CHUNKLIFT_REPORTS_H

#include "pure/err.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "uploader/property_set.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPORTS_CLAIM_MAX 4096 /* with more results, no job is claimed */

struct report {
    struct list node; /* in due or in sent */
    struct hash_node by_ref;
    struct result result; /* its slices are in memory */
    void *memory;
    struct property_set *properties; /* begin: of the upload it created */
    uint64_t due_ms;                 /* in sent: when it is resent */
    uint32_t tries;
};

struct reports {
    struct hash_table by_ref;
    struct list due, sent; /* due: to be sent now, oldest first */
    size_t count;
};

void reports_init(struct reports *r);
void reports_release(struct reports *r);
/* Keeps a copy, and holds the properties, which may be NULL. ERR_NOMEM: nothing was kept. */
int reports_add(struct reports *r, const struct result *result, struct property_set *properties) MUST_CHECK;
/* A result of this job is kept here. */
bool reports_has(const struct reports *r, const struct ref *ref);
/* Copies the first due results, at most max; their slices point into r. Call reports_sent after sending them. */
size_t reports_due(struct reports *r, struct result *out, size_t max);
/* The first `count` of the due results were sent. */
void reports_sent(struct reports *r, size_t count, uint64_t now_ms);
/* Makes results due that were not answered in time; returns when the next one will be (UINT64_MAX: none). */
uint64_t reports_tick(struct reports *r, uint64_t now_ms);
void reports_send_all_again(struct reports *r);
/* Removes the report that an ACK answers; the caller destroys it. NULL: there is none (answered before). */
struct report *reports_take(struct reports *r, const struct ref *ref, enum outcome outcome);
void report_destroy(struct report **report);

#endif
