/*
 * The producer's other end of FETCH: bytes of the files it has planned, for uploaders that cannot open them.
 *
 * A transfer is a connection and a number (proto.h, struct msg_fetch). Everything about it is in each FETCH, so what is
 * kept here may be forgotten at any time: a transfer nobody asked about for long, or the one not asked about for
 * longest when there are too many. The next FETCH brings it back.
 *
 * Bounds. Bytes leave only as far as the asker's credit goes, and as far as runtime/unsent.h lets them wait for a
 * connection that does not read; a step serves DATA_STEP_BYTES at most, each transfer in its turn. Each piece is read
 * when it is sent, once; with `ahead` the range is read before that for its checksum, and comes from the page cache the
 * second time.
 *
 * Only files of the present plan are served, by upload id: no path comes in a message.
 */
#ifndef CHUNKLIFT_PRODUCER_DATA_H
#define CHUNKLIFT_PRODUCER_DATA_H

#include "producer/files.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdint.h>

#define DATA_TRANSFERS_MAX 8192
#define DATA_TRANSFER_IDLE_MS 60000
#define DATA_STEP_BYTES (4u << 20)

struct data; /* opaque */

/* files must outlive it. Errors are endpoint_open's. */
int data_new(struct data **d, const char *address, const struct files *files) MUST_CHECK;
void data_destroy(struct data **d);
struct endpoint *data_endpoint(const struct data *d);

/* Questions in, bytes out, both bounded. journal: of the conversation, zero before there is one; self: who sends. */
int data_step(struct data *d, const struct id128 *journal, const struct id128 *self, uint64_t now_ms,
              uint64_t *deadline_ms) MUST_CHECK;

size_t data_transfers(const struct data *d);

/* Where uploaders fetch when nothing was said: beside the jobs. tcp: the same host, the port after the next
 * (7700 → 7702; a wildcard stays one). ERR_INVALID: no port to count from; ERR_NOT_FOUND: jobs is not tcp. */
int data_address_beside(const char *jobs, struct buf *address) MUST_CHECK;

#endif
