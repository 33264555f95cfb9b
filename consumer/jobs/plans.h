/*
 * Uploads that were planned and have no record yet. Planning costs a producer only a message, so
 * each producer has a quota. A producer over its quota loses its oldest plans without a lease. A
 * CLAIM on a lost plan is answered "unknown", and its producer plans the file again.
 *
 * A producer has at most 1,024 files in memory (producer/files.h). With the longest names they take
 * 11 MiB. So a producer reaches its quota only by plans that it gave up, or when all plans together
 * exceed PLANS_SHARED_BYTES.
 */
#ifndef CHUNKLIFT_CONSUMER_PLANS_H
#define CHUNKLIFT_CONSUMER_PLANS_H

#include "consumer/peers.h"
#include "consumer/state/upload.h"

#define PLANS_MAX 4096u                          /* of one producer */
#define PLANS_BYTES ((uint64_t)16 << 20)         /* of one producer */
#define PLANS_SHARED_BYTES ((uint64_t)128 << 20) /* of all producers; above it each has PLANS_BYTES_SMALL */
#define PLANS_BYTES_SMALL ((uint64_t)4 << 20)    /* one PLAN fits */

struct plans {
    struct producer_plans {
        struct list uploads; /* oldest first */
        size_t count;
        uint64_t bytes;
    } by_producer[PRODUCERS_MAX];
    uint64_t bytes;
};

void plans_init(struct plans *p);
void plans_add(struct plans *p, struct upload *u, unsigned producer);
/* u has a record now, or is removed. No effect when it is in no list. */
void plans_remove(struct plans *p, struct upload *u);
/* The producer left. Its plans stay, but count in no quota. */
void plans_clear(struct plans *p, unsigned producer);
/* One more upload with this identity fits the quota. */
bool plans_has_room(const struct plans *p, unsigned producer, const struct upload_identity *is);
/* The oldest plan of this producer without a lease; NULL: there is none. */
struct upload *plans_oldest_idle(const struct plans *p, unsigned producer);

#endif
