/*
 * The state as bytes and back, for the snapshot file. Only what records said: planned uploads, leases and producers are
 * not in it. The same state always gives the same bytes.
 */
#ifndef CHUNKLIFT_CONSUMER_SNAPSHOT_H
#define CHUNKLIFT_CONSUMER_SNAPSHOT_H

#include "consumer/state.h"
#include "pure/buf.h"

int snapshot_encode(const struct state *s, struct buf *out) MUST_CHECK;
/* s must be empty. ERR_DAMAGED (bytes that cannot be right, another version), ERR_NOMEM: s is empty again. */
int snapshot_decode(struct slice body, struct state *s) MUST_CHECK;

#endif
