/*
 * Serves FETCH: the data of planned files, for uploaders that cannot open them.
 *
 * A transfer is a connection and a number (proto.h, struct msg_fetch). Each FETCH contains everything about it, so the
 * state here can be dropped at any time: a transfer without a FETCH for a long time, or the one with the oldest FETCH
 * when there are too many. The next FETCH creates it again.
 *
 * Bounds. Data is sent only within the credit of the FETCH and the send queue quota of the connection. A step serves at
 * most DATA_STEP_BYTES, the transfers in turn. Each piece is read once, when it is sent. With `ahead` the whole range is
 * read before that for its checksum; the second reading comes from the page cache.
 *
 * Only files of the current plan are served, by upload id. A message contains no path. An uploader that fetches over ipc
 * borrows the open file instead (lender.h). It asks here for the last check only: a FETCH at the end of its range.
 */
#ifndef CHUNKLIFT_DATA_SERVER_H
#define CHUNKLIFT_DATA_SERVER_H

#include "producer/files.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdint.h>

#define DATA_TRANSFERS_MAX 8192
#define DATA_TRANSFER_IDLE_MS 60000
#define DATA_STEP_BYTES (4u << 20)

struct data_server; /* opaque */

/* files must outlive it. ERR_NOMEM, and the errors of endpoint_open. */
int data_server_new(struct data_server **d, const char *address, const struct files *files) MUST_CHECK;
void data_server_destroy(struct data_server **d);
struct endpoint *data_server_endpoint(const struct data_server *d);
/* Readable: an uploader of this host wants to borrow a file. -1: the address is not on ipc, and none can. */
int data_server_lender_fd(const struct data_server *d);

/* Reads requests and sends data, both bounded. journal: of the session, zero before its first WELCOME. self: the
 * sender. Lowers *deadline_ms. */
int data_server_step(struct data_server *d, const struct id128 *journal, const struct id128 *self, uint64_t now_ms,
                     uint64_t *deadline_ms) MUST_CHECK;

size_t data_server_transfers(const struct data_server *d);

/* The default address: next to the jobs. For tcp the same host and the second port after the one of the jobs (7700 →
 * 7702; a wildcard stays one). ERR_INVALID: the jobs have no usable port. ERR_NOT_FOUND: the jobs are not on tcp. */
int data_server_default_address(const char *jobs, struct buf *address) MUST_CHECK;

#endif
