/*
 * The uploaders that cannot do the jobs of an upload: each failed in a way that can be its own
 * fault (rule 2), or declined. The file fails when no eligible uploader is left (eligible.h).
 *
 * In memory only, for the uploads that were refused last. A forgotten refusal is made again by its
 * uploader.
 */
#ifndef CHUNKLIFT_CONSUMER_REFUSALS_H
#define CHUNKLIFT_CONSUMER_REFUSALS_H

#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"

#define REFUSALS_UPLOADS_MAX 4096
#define REFUSALS_PEERS_MAX 64 /* of one upload; when as many refused it, it fails */
#define REFUSAL_ERROR_MAX 768

struct refusal {
    struct hash_node node;
    struct list by_age; /* oldest first */
    struct id128 upload;
    struct id128 *peers;
    size_t count, cap;
    enum fail_class class; /* of the last failure; FAIL_NONE: all declined without a try */
    char *error;           /* of the last failure; NULL: none, or no memory */
};

struct refusals {
    struct hash_table by_upload;
    struct list by_age;
    size_t count;
};

void refusals_init(struct refusals *r);
void refusals_release(struct refusals *r);
/* class FAIL_NONE: the peer declined. The error is copied. NULL: memory is out. The upload refused
 * longest ago makes room. */
struct refusal *refusals_add(struct refusals *r, const struct id128 *upload, const struct id128 *peer,
                             enum fail_class class, struct slice error);
struct refusal *refusals_find(const struct refusals *r, const struct id128 *upload);
/* True also when the list of peers is full. */
bool refusal_is_by(const struct refusal *refusal, const struct id128 *peer);
void refusals_forget(struct refusals *r, const struct id128 *upload);

#endif
