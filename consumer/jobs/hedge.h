/*
 * Second leases (rule 12): when the holder of a chunk is slow or shows no progress, the chunk may
 * be given to a second uploader. The first result is recorded.
 *
 * stragglers.h decides which lease is slow. This module applies it to the lease table. Times are
 * clock_ms.
 */
#ifndef CHUNKLIFT_CONSUMER_HEDGE_H
#define CHUNKLIFT_CONSUMER_HEDGE_H

#include "consumer/fleet/stragglers.h"
#include "consumer/jobs/leases.h"
#include "consumer/peers.h"

/* The job of l may have a second lease. */
bool hedge_is_wanted(const struct leases *t, const struct stragglers *s, const struct lease *l, uint64_t now_ms);
/* peer may be the holder: it runs on another host than the holder of l, or no other host has a free
 * slot. */
bool hedge_may_hold(const struct leases *t, const struct peers *peers, const struct peer *peer, const struct lease *l,
                    uint64_t now_ms);
/* The result of l for a chunk of length bytes arrived now: learns the usual time, and the pace of
 * its holder. */
void hedge_note_result(const struct leases *t, struct stragglers *s, const struct lease *l, uint64_t length,
                       uint64_t now_ms);

#endif
