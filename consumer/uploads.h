/*
 * The unfinished uploads of a running consumer: which producers want them, when a restart still
 * restricts them, and when they end without a result.
 */
#ifndef CHUNKLIFT_CONSUMER_UPLOADS_H
#define CHUNKLIFT_CONSUMER_UPLOADS_H

#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>

struct consumer;
struct lease;
struct peer;
struct upload;

/* producer has planned u. */
void uploads_add_producer(struct consumer *c, struct upload *u, const struct peer *producer);
/* With keys: a present producer with another key wants u. */
bool uploads_is_foreign(const struct consumer *c, const struct upload *u, const struct peer *producer);

/* A producer wants u aborted, and another one has planned its upload since. */
bool uploads_is_taken_up(const struct upload *u);
/* u has a lease or a present producer. */
bool uploads_is_in_use(const struct consumer *c, const struct upload *u);

/* Rule 6: u may have leases of the last epoch that are not known here yet. */
bool uploads_in_grace(const struct consumer *c, const struct upload *u);
/* Rule 6: leases of the last epoch may still be adopted. */
bool uploads_may_adopt(const struct consumer *c);
/* The job may go on under its holder of the last epoch. */
bool uploads_is_adoptable(const struct upload *u, const struct ref *ref);

/* Rule 19. dest: finished_short of a destination's fingerprint. */
/* An object may still be removed after its removal seems to be over: a request without a known result may be under way,
 * or after a restart an uploader that is not known yet. */
bool uploads_removals_are_in_doubt(const struct consumer *c);
/* The next consumer need not wait for removals of this one. */
bool uploads_removals_are_settled(const struct consumer *c);
/* The object there may be removed at any moment: no upload may begin there. */
bool uploads_is_being_removed(const struct consumer *c, uint64_t dest);
/* The producer of this delete job is there, and was when the removal of its objects began. */
bool uploads_may_delete(const struct consumer *c, const struct ref *ref);

/* Ends a lease that was given back or expired: publishes the event and settles its upload, which
 * may be gone then. */
int uploads_end_lease(struct consumer *c, struct lease *l, const struct event *e) MUST_CHECK;
/* Bytes that these producers will not need: they count as resent, and as hedged when the job has or had a second lease.
 * l: the lease they were sent under; NULL: it is over. */
void uploads_note_unused(struct consumer *c, uint64_t producers, const struct lease *l, uint64_t bytes);
/* u lost a lease or a producer. A superseded upload without an intent is aborted; a plan without a
 * producer is dropped. u may be gone afterwards. */
int uploads_settle(struct consumer *c, struct upload *u) MUST_CHECK;

#endif
