/*
 * Answers on their way to peers that may not read them. libzmq bounds a queue by its number of messages; here it is
 * bounded by bytes: every message that a ROUTER sends is counted, for its peer and for all together, until libzmq has
 * handed it to the kernel or dropped it with its connection.
 *
 * A peer that has SEND_QUEUE_PEER_MAX waiting gets no more; a peer that reads has next to nothing waiting. When all
 * together have SEND_QUEUE_ALL_MAX waiting, a peer gets an answer only when it has none waiting, and a small one.
 */
#ifndef CHUNKLIFT_SEND_QUEUE_H
#define CHUNKLIFT_SEND_QUEUE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

#define SEND_QUEUE_PEER_MAX ((size_t)4 << 20)
#define SEND_QUEUE_ALL_MAX ((size_t)64 << 20)
#define SEND_QUEUE_SMALL ((size_t)32 << 10)
#define SEND_QUEUE_OVERHEAD 128 /* of memory, for each message */

struct send_queue;  /* opaque; shared with libzmq's thread */
struct send_buffer; /* one message that is counted */

int send_queue_new(struct send_queue **u) MUST_CHECK;
/* What libzmq still holds stays counted; the last buffer frees the rest. */
void send_queue_destroy(struct send_queue **u);

/* A counted copy of data for the peer with this routing id. ERR_AGAIN: it has too much waiting; ERR_NOMEM. */
int send_queue_wrap(struct send_queue *u, const void *peer, size_t peer_len, struct slice data,
                    struct send_buffer **buffer) MUST_CHECK;
/* Counts len bytes that lie elsewhere; release(arg) tells, in any thread, that they are not needed any more. On an
 * error nothing was counted and release is not called. */
int send_queue_lend(struct send_queue *u, const void *peer, size_t peer_len, size_t len, void (*release)(void *arg),
                    void *arg, struct send_buffer **buffer) MUST_CHECK;
/* May a message of len bytes wait for this peer now? */
bool send_queue_has_room(const struct send_queue *u, const void *peer, size_t peer_len, size_t len);
void *send_buffer_bytes(struct send_buffer *p);
/* Ends it; any thread. The signature is zmq_msg_init_data's. */
void send_buffer_free(void *bytes, void *buffer);

size_t send_queue_bytes(const struct send_queue *u);
/* Half of what may wait does: answers should be short now. */
bool send_queue_is_under_pressure(const struct send_queue *u);
/* Something waits for this peer, and half of what may wait for it, or for all: it is not worth making an answer. */
bool send_queue_is_backpressured(const struct send_queue *u, const void *peer, size_t peer_len);

#endif
