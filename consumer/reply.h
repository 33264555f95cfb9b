/*
 * Replies and events. Both are queued, and leave after the next commit (ledger_flush): a reply
 * never depends on a record that is not durable (rule 8).
 *
 * A reply that memory does not suffice for is missing; its peer repeats the request. An error means
 * that a commit failed and the process must end.
 */
#ifndef CHUNKLIFT_CONSUMER_REPLY_H
#define CHUNKLIFT_CONSUMER_REPLY_H

#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>

struct consumer;
struct peer;
struct route;

#define REPLY_BYTES ((size_t)700 << 10) /* of the lists of one reply, so that it fits a frame */

/* Fills in journal and sender, and queues m. Flushes when much is queued. */
int reply_queue(struct consumer *c, const struct route *to, struct msg *m) MUST_CHECK;
int reply_error(struct consumer *c, const struct route *to, uint64_t number, enum protocol_error code,
                const char *text) MUST_CHECK;
/* usual_bytes, or less while short replies are asked for: a short reply stays below
 * SEND_QUEUE_SMALL. */
size_t reply_room(const struct consumer *c, size_t usual_bytes);
/* The peer does not read its replies now. It repeats the request when it reads again. */
bool reply_is_backpressured(const struct consumer *c, const struct peer *peer);

/* Adds an event for these producers. Its texts are copied. */
void reply_event(struct consumer *c, const struct event *e, uint64_t producers);

#endif
