/*
 * Which uploaders failed an upload in a way that can be their own (rule 2), or declined it for good: the file fails
 * when every uploader that could serve it is in its list. Kept in memory only, for the uploads that were refused last;
 * what is forgotten is refused again.
 */
#ifndef CHUNKLIFT_CONSUMER_REFUSALS_H
#define CHUNKLIFT_CONSUMER_REFUSALS_H

#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"

#define REFUSALS_UPLOADS_MAX 4096
#define REFUSALS_PEERS_MAX 64 /* of one upload; what so many could not do fails */
#define REFUSAL_ERROR_MAX 768

struct refusal {
    struct hash_node node;
    struct list by_age; /* oldest first */
    struct id128 upload;
    struct id128 *peers;
    size_t count, cap;
    enum fail_class class; /* of the last failure; FAIL_NONE: it was only declined */
    char *error;
};

struct refusals {
    struct hash_table by_upload;
    struct list by_age;
    size_t count;
};

void refusals_init(struct refusals *r);
void refusals_release(struct refusals *r);
/* class FAIL_NONE: declined. NULL: memory is out. */
struct refusal *refusals_add(struct refusals *r, const struct id128 *upload, const struct id128 *peer,
                             enum fail_class class, struct slice error);
struct refusal *refusals_find(const struct refusals *r, const struct id128 *upload);
bool refusal_is_by(const struct refusal *refusal, const struct id128 *peer);
void refusals_forget(struct refusals *r, const struct id128 *upload);

#endif
