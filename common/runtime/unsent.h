/*
 * Answers on their way to peers that may not read them. libzmq bounds a queue by its number of messages; here it is
 * bounded by bytes: every message that a ROUTER sends is counted, for its peer and for all together, until libzmq has
 * handed it to the kernel or dropped it with its connection.
 *
 * A peer that has UNSENT_PEER_MAX waiting gets no more; a peer that reads has next to nothing waiting. When all
 * together have UNSENT_ALL_MAX waiting, a peer gets an answer only when it has none waiting, and a small one.
 */
#ifndef CHUNKLIFT_UNSENT_H
#define CHUNKLIFT_UNSENT_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

#define UNSENT_PEER_MAX ((size_t)4 << 20)
#define UNSENT_ALL_MAX ((size_t)64 << 20)
#define UNSENT_SMALL ((size_t)32 << 10)
#define UNSENT_OVERHEAD 128 /* of memory, for each message */

struct unsent; /* opaque; shared with libzmq's thread */
struct parcel; /* one message that is counted */

int unsent_new(struct unsent **u) MUST_CHECK;
/* What libzmq still holds stays counted; the last parcel frees the rest. */
void unsent_destroy(struct unsent **u);

/* A counted copy of data for the peer with this routing id. ERR_AGAIN: it has too much waiting; ERR_NOMEM. */
int unsent_wrap(struct unsent *u, const void *peer, size_t peer_len, struct slice data,
                struct parcel **parcel) MUST_CHECK;
/* Counts len bytes that lie elsewhere; release(arg) tells, in any thread, that they are not needed any more. On an
 * error nothing was counted and release is not called. */
int unsent_lend(struct unsent *u, const void *peer, size_t peer_len, size_t len, void (*release)(void *arg), void *arg,
                struct parcel **parcel) MUST_CHECK;
/* May a message of len bytes wait for this peer now? */
bool unsent_has_room(const struct unsent *u, const void *peer, size_t peer_len, size_t len);
void *parcel_bytes(struct parcel *p);
/* Ends it; any thread. The signature is zmq_msg_init_data's. */
void parcel_free(void *bytes, void *parcel);

size_t unsent_bytes(const struct unsent *u);
/* Half of what may wait does: answers should be short now. */
bool unsent_is_pressed(const struct unsent *u);
/* Something waits for this peer, and half of what may wait for it, or for all: it is not worth making an answer. */
bool unsent_is_deaf(const struct unsent *u, const void *peer, size_t peer_len);

#endif
