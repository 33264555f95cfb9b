/*
 * The state as bytes and back, for the snapshot file. Only what records said: planned uploads, leases and producers are
 * not in it. The same state always gives the same bytes.
 */
#ifndef CHUNKLIFT_CONSUMER_SNAPSHOT_H
#define CHUNKLIFT_CONSUMER_SNAPSHOT_H

#include "consumer/journal/snapshot_file.h"
#include "consumer/state/state.h"
#include "pure/buf.h"

int snapshot_encode(const struct state *s, struct buf *out) MUST_CHECK;
/* s must be empty. ERR_DAMAGED (bytes that cannot be right, another version), ERR_NOMEM: s is empty again. */
int snapshot_decode(struct slice body, struct state *s) MUST_CHECK;

/* The same piece by piece: neither needs memory for the whole. snapshot_produce is a snapshot_body's. */
int snapshot_produce(const void *state, snapshot_put *put, void *arg) MUST_CHECK;
/* read() fills exactly len bytes, of `length` in all. Its errors are passed on; s is empty again then. */
typedef int snapshot_fill(void *arg, char *to, size_t len);
int snapshot_decode_from(snapshot_fill *read, void *arg, uint64_t length, struct state *s) MUST_CHECK;

#endif
