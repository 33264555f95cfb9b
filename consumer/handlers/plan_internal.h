/* Shared by plan.c (requests and replies), plan_find.c (which upload a file is) and plan_removal.c (objects without a
 * source). */
#ifndef CHUNKLIFT_CONSUMER_PLAN_INTERNAL_H
#define CHUNKLIFT_CONSUMER_PLAN_INTERNAL_H

#include "consumer/consumer_internal.h"

struct planning { /* one file of a PLAN */
    struct consumer *c;
    struct peer *peer;
    const struct plan_file *file;
    struct upload_identity identity;
    struct id128 key, dest; /* fingerprints of the identity and of the destination */
    uint64_t finished;      /* finished_key of key */
    bool forced;            /* --force, or the object is missing at the destination */
    struct buf *bitmap;     /* the memory of the reply's `done`, or of its `etag` */
};

/* ---- plan.c ---- */

/* The file fails with this reason. Returns 0. */
int plan_refuse(struct planned_file *out, const char *why);

/* ---- plan_removal.c ---- */

/* The reply to a file with `removal`. */
int plan_removal(struct planning *p, struct planned_file *out) MUST_CHECK;
/* The object at the destination may be removed at any moment: the producer repeats the request. */
bool plan_waits_for_removal(const struct planning *p);

/* ---- plan_find.c ---- */

/* The finished upload that the file is; NULL: there is none, or the file must be uploaded again. */
const struct finished_entry *plan_find_finished(const struct planning *p);
/* The unfinished upload that goes on; NULL: none. asked: the upload that the producer named; NULL:
 * none. */
struct upload *plan_find_unfinished(const struct planning *p, const struct upload *asked);
/* The named upload was superseded by another one. */
bool plan_was_superseded(const struct planning *p, const struct upload *asked);
/* The plans of the producer have room for one more. Its oldest plans without a lease make room. */
bool plan_make_room(struct planning *p);
/* Adds an upload and supersedes the one at its destination. *out is NULL when memory is out. */
int plan_add_upload(struct planning *p, struct upload **out) MUST_CHECK;

#endif
