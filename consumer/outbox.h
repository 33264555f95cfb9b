/*
 * Encoded replies. They are queued during a round and sent after its commit. No other code sends,
 * so no reply leaves before the records it depends on are durable.
 *
 * A reply that cannot be sent (the peer is gone or does not read) is dropped. Its peer repeats
 * the request.
 */
#ifndef CHUNKLIFT_CONSUMER_OUTBOX_H
#define CHUNKLIFT_CONSUMER_OUTBOX_H

#include "consumer/peers.h"
#include "pure/buf.h"

#define OUTBOX_BYTES ((size_t)4 << 20) /* with more queued, commit and send at once */

/* Sends one frame. Errors are those of endpoint_send. Tests replace it. */
typedef int send_frame(void *arg, const void *route, size_t len, struct slice frame);

struct outbox_item {
    struct route route;
    size_t offset, len;
};

struct outbox {
    struct buf frames;
    struct outbox_item *items;
    size_t count, cap;
};

void outbox_release(struct outbox *o);
/* ERR_LIMIT: larger than a frame may be; ERR_NOMEM. m is not queued then. */
int outbox_add(struct outbox *o, const struct route *to, const struct msg *m) MUST_CHECK;
/* Sends and clears the queue. */
void outbox_send(struct outbox *o, send_frame *send, void *arg);

#endif
