/*
 * Answers on their way, encoded. They are gathered during a round and sent after its commit: nothing that depends on a
 * record leaves before it is durable, because nothing leaves from anywhere else.
 *
 * An answer that cannot be sent (the peer is gone or does not read) is dropped and counted: every question is asked
 * again by who needs the answer.
 */
#ifndef CHUNKLIFT_CONSUMER_OUTBOX_H
#define CHUNKLIFT_CONSUMER_OUTBOX_H

#include "consumer/peers.h"
#include "pure/buf.h"

#define OUTBOX_BYTES ((size_t)4 << 20) /* more than this gathered: time to commit and send */

/* Sends one frame; errors as endpoint_send. A seam for tests. */
typedef int send_frame(void *arg, const void *route, size_t len, struct slice frame);

struct outbox_item {
    struct route route;
    size_t offset, len;
};

struct outbox {
    struct buf frames;
    struct outbox_item *items;
    size_t count, cap;
    uint64_t dropped;
};

void outbox_release(struct outbox *o);
/* ERR_LIMIT: larger than a frame may be; ERR_NOMEM. Nothing is gathered then. */
int outbox_add(struct outbox *o, const struct route *to, const struct msg *m) MUST_CHECK;
void outbox_send(struct outbox *o, send_frame *send, void *arg);

#endif
