/*
 * Encoder and decoder of the state, for the body of the snapshot file. Only data of records:
 * planned uploads, leases and producers are not included. The same state always gives the same
 * bytes.
 */
#ifndef CHUNKLIFT_CONSUMER_SNAPSHOT_H
#define CHUNKLIFT_CONSUMER_SNAPSHOT_H

#include "consumer/journal/snapshot_file.h"
#include "consumer/state/state.h"
#include "pure/buf.h"

int snapshot_encode(const struct state *s, struct buf *out) MUST_CHECK;
/* s must be empty. ERR_DAMAGED (invalid bytes, or another version), ERR_NOMEM: s is empty again. */
int snapshot_decode(struct slice body, struct state *s) MUST_CHECK;

/* The same piece by piece, without memory for the whole body. snapshot_produce is for struct
 * snapshot_body. */
int snapshot_produce(const void *state, snapshot_put *put, void *arg) MUST_CHECK;
/* fill() provides exactly len bytes, `length` in total. Its errors are returned; s is empty again
 * then. */
typedef int snapshot_fill(void *arg, char *to, size_t len);
int snapshot_decode_from(snapshot_fill *read, void *arg, uint64_t length, struct state *s) MUST_CHECK;

#endif
