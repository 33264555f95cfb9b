/*
 * Uploads that were planned and have no record: each producer has a quota of them. They cost a producer nothing but
 * a message, so a producer over its quota loses its oldest ones that no uploader works on. A claim on a lost one is
 * answered "unknown", and its producer plans the file again.
 *
 * A producer has at most 1,024 files in memory (producer/files.h), and with the longest names they take 11 MiB. So it
 * meets its quota only with plans that it gave up, or when all producers together have planned more than
 * PLANS_SHARED_BYTES.
 */
#ifndef CHUNKLIFT_CONSUMER_PLANS_H
#define CHUNKLIFT_CONSUMER_PLANS_H

#include "consumer/peers.h"
#include "consumer/state/upload.h"

#define PLANS_MAX 4096u                          /* of one producer */
#define PLANS_BYTES ((uint64_t)16 << 20)         /* the same */
#define PLANS_SHARED_BYTES ((uint64_t)128 << 20) /* of all; above this PLANS_BYTES_SMALL counts for each */
#define PLANS_BYTES_SMALL ((uint64_t)4 << 20)    /* more than one PLAN has */

struct plans {
    struct plans_of {
        struct list uploads; /* oldest first */
        size_t count;
        uint64_t bytes;
    } of[PRODUCERS_MAX];
    uint64_t bytes;
};

void plans_init(struct plans *p);
void plans_add(struct plans *p, struct upload *u, unsigned place);
/* u has a record now, or goes away. Nothing when it is in no list. */
void plans_remove(struct plans *p, struct upload *u);
/* The producer is gone; uploads that others have planned too count for none. */
void plans_clear(struct plans *p, unsigned place);
/* Another upload with this identity would be within the quota. */
bool plans_has_room(const struct plans *p, unsigned place, const struct upload_identity *is);
/* The oldest plan of this producer that has no lease; NULL: there is none. */
struct upload *plans_oldest_idle(const struct plans *p, unsigned place);

#endif
