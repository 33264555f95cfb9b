/*
 * Which uploaders can do a job (rule 2). An uploader is eligible for an upload while it is heard,
 * its destinations (destinations.h) have the upload's, and it has not refused the upload
 * (refusals.h).
 *
 * now_ms is lease time (leases_time).
 */
#ifndef CHUNKLIFT_CONSUMER_ELIGIBLE_H
#define CHUNKLIFT_CONSUMER_ELIGIBLE_H

#include "consumer/jobs/refusals.h"
#include "consumer/peers.h"

/* The locations of peer's troubles that another uploader can serve; out has room for
 * PROTO_TROUBLES_MAX. */
size_t eligible_elsewhere(const struct peers *peers, const struct peer *peer, struct slice *out, uint64_t now_ms);

/*
 * Notes that peer cannot do a job of this upload. *over: no eligible uploader is left, and at least
 * one tried. Then the returned refusal has the class and the error of the last failure. NULL, and
 * *over false, when memory is out. u is NULL for an upload that ended (a `stat`). class FAIL_NONE:
 * peer declined the job without a try.
 */
struct refusal *eligible_refuse(struct refusals *refusals, const struct peers *peers, const struct id128 *upload,
                                const struct upload *u, const struct peer *peer, enum fail_class class,
                                struct slice error, uint64_t now_ms, bool *over);

#endif
