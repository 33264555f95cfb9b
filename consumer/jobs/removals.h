/*
 * Objects that producers remove (rule 19): which producer removes the object at a destination, and which of its delete
 * jobs have ended. No upload may begin at a destination while a request may be under way that removes the object there.
 *
 * The consumer does not know the objects of a delete job. So a removal lasts until its producer says that it is over, or
 * until one lease time after the producer left: then no uploader has a lease on one of its jobs, and none gets one. For the
 * same reason a delete job that has ended is never granted again: a copy of its offer may wait at an uploader that hangs,
 * and the object may be a new one by then.
 *
 * In memory only. The journal has the mark of the finished upload (finished.h), which protects the destination after a
 * start. Destinations are finished_short fingerprints. All times are lease time (leases_time), in milliseconds.
 */
#ifndef CHUNKLIFT_CONSUMER_REMOVALS_H
#define CHUNKLIFT_CONSUMER_REMOVALS_H

#include "consumer/peers.h"
#include "pure/err.h"
#include "pure/hash.h"
#include "pure/list.h"

#define REMOVALS_MAX 65536u          /* objects of all producers; 5 MiB */
#define REMOVALS_ANSWERED_MAX 65536u /* delete jobs of connected producers that ended; 4 MiB */
#define REMOVALS_LEFT PRODUCERS_MAX  /* in place of a producer's index: it left */

struct removal_entry {
    struct hash_node node; /* its hash is the destination */
    struct list of_producer;
    unsigned producer;   /* its index, or REMOVALS_LEFT */
    uint64_t free_at_ms; /* after its producer left: when it ends */
};

struct removals {
    struct hash_table by_dest;
    struct list by_producer[PRODUCERS_MAX];
    struct list left;           /* of producers that left; the first one ends first */
    struct hash_table answered; /* the delete jobs that ended */
    uint64_t doubt_until_ms;    /* a request without a known result may take effect until then */
};

void removals_init(struct removals *r);
void removals_release(struct removals *r);

/* The removal at this destination; NULL: none. Valid until the next call with a removals that is not const. */
const struct removal_entry *removals_find(const struct removals *r, uint64_t dest, uint64_t now_ms);
/* The producer removes an object somewhere. */
bool removals_has_any(const struct removals *r, unsigned producer);
/* No removal is under way, also none of a producer that left. */
bool removals_are_over(const struct removals *r, uint64_t now_ms);
/* There must be none at this destination. ERR_LIMIT: REMOVALS_MAX of them; ERR_NOMEM. Ends those that are over. */
int removals_add(struct removals *r, uint64_t dest, unsigned producer, uint64_t now_ms) MUST_CHECK;
/* No effect when another producer, or none, removes the object there. */
void removals_end(struct removals *r, uint64_t dest, unsigned producer);
/* The producer leaves. Its removals last until free_at_ms, and its jobs that ended are forgotten. */
void removals_leave(struct removals *r, const struct peer *producer, uint64_t free_at_ms);

/* The delete job has an answer. ERR_NOMEM. */
int removals_note_answered(struct removals *r, const struct id128 *question) MUST_CHECK;
bool removals_was_answered(const struct removals *r, const struct id128 *question);
/* The holder of a delete job did not say how it ended. */
void removals_doubt(struct removals *r, uint64_t until_ms);

#endif
