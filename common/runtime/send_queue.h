/*
 * Limits of the replies that wait for peers that do not read. libzmq limits a queue by its number of messages; this
 * limits it by bytes. Every message that a ROUTER sends is counted, for its peer and for all peers together, until
 * libzmq has given it to the kernel or dropped it with its connection.
 *
 * A peer with SEND_QUEUE_PEER_MAX waiting bytes gets no more. A peer that reads has almost nothing waiting. When all
 * peers together have SEND_QUEUE_ALL_MAX waiting bytes, a peer gets a reply only when it has none waiting, and only a
 * small one.
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

struct send_queue;  /* opaque; its counts are shared with libzmq's thread */
struct send_buffer; /* one counted message */

int send_queue_new(struct send_queue **u) MUST_CHECK;
/* Messages that libzmq still holds stay valid; the last one frees the memory. */
void send_queue_destroy(struct send_queue **u);

/* A counted copy of data for the peer with this routing id. ERR_AGAIN: too much is waiting. ERR_NOMEM. */
int send_queue_wrap(struct send_queue *u, const void *peer, size_t peer_len, struct slice data,
                    struct send_buffer **buffer) MUST_CHECK;
/* Counts len bytes in memory of the caller. release(arg) is called, by any thread, when they are no longer needed. On an
 * error nothing is counted and release is not called. */
int send_queue_lend(struct send_queue *u, const void *peer, size_t peer_len, size_t len, void (*release)(void *arg),
                    void *arg, struct send_buffer **buffer) MUST_CHECK;
/* May a message of len bytes wait for this peer now? */
bool send_queue_has_room(const struct send_queue *u, const void *peer, size_t peer_len, size_t len);
void *send_buffer_bytes(struct send_buffer *p);
/* Frees the buffer and its count; any thread. The signature is that of zmq_msg_init_data. */
void send_buffer_free(void *bytes, void *buffer);

size_t send_queue_bytes(const struct send_queue *u);
/* More than half of SEND_QUEUE_ALL_MAX is waiting: replies should be short. */
bool send_queue_is_under_pressure(const struct send_queue *u);
/* This peer has waiting bytes, and more than half of its limit or of the common limit is used: do not make a reply. */
bool send_queue_is_backpressured(const struct send_queue *u, const void *peer, size_t peer_len);

#endif
