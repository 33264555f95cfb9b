/*
 * Results on their way to the journal (rule 8): each is kept, and sent again, until the consumer recorded or refused
 * it.
 *
 * Sent again after 1 s, doubling up to 5 s, and at once after the consumer was met anew. A result is known by its job
 * and outcome; adding one that is there already replaces nothing. Pure: sending is the caller's.
 */
#ifndef CHUNKLIFT_REPORTS_H
#define CHUNKLIFT_REPORTS_H

#include "pure/err.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPORTS_CLAIM_MAX 4096 /* while more wait, nothing new is claimed */

struct report {
    struct list node; /* in due or in sent */
    struct hash_node by_ref;
    struct result result; /* slices in memory */
    void *memory;
    uint64_t due_ms; /* when sent: send again then */
    uint32_t tries;
};

struct reports {
    struct hash_table by_ref;
    struct list due, sent; /* due: to be sent now, in order */
    size_t count;
};

void reports_init(struct reports *r);
void reports_release(struct reports *r);
/* Keeps a copy. ERR_NOMEM: nothing was kept. */
int reports_add(struct reports *r, const struct result *result) MUST_CHECK;
/* A result of this job is on its way. */
bool reports_has(const struct reports *r, const struct ref *ref);
/* The first results due, at most max, pointing into the reports: send them, then say so. */
size_t reports_due(struct reports *r, struct result *out, size_t max);
/* The first `count` due ones were sent. */
void reports_sent(struct reports *r, size_t count, uint64_t now_ms);
/* What was sent and not answered in time is due again; returns when that is so for the next one (UINT64_MAX: none). */
uint64_t reports_tick(struct reports *r, uint64_t now_ms);
void reports_send_all_again(struct reports *r);
/* The report an ACK answers, taken out; the caller destroys it. NULL: none (answered before). */
struct report *reports_take(struct reports *r, const struct ref *ref, enum outcome outcome);
void report_destroy(struct report **report);

#endif
