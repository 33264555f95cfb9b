/*
 * ZeroMQ sockets with chunklift's settings. Only files of runtime/ include zmq.h. There is one context per process.
 *
 * Only endpoint_wait blocks. The fd of a socket is edge-triggered and only a hint: read the socket until it is empty (at
 * most a bounded number of messages), and call endpoint_events on every socket last before sleeping, or messages stay
 * unread under load. endpoint_wait does that itself.
 *
 * LINGER is 0: every message that matters is resent by its sender. endpoint_close_flush gives a last message a bounded
 * time to leave.
 */
#ifndef CHUNKLIFT_ENDPOINT_H
#define CHUNKLIFT_ENDPOINT_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/z85.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum endpoint_kind {
    ENDPOINT_ROUTER, /* binds; consumer. ROUTER_MANDATORY and HANDSHAKE set, MAXMSGSIZE = PROTO_FRAME_MAX */
    ENDPOINT_DEALER, /* connects; clients of the consumer. IMMEDIATE=1 */
    ENDPOINT_PUSH,   /* binds; offers. SNDHWM 1 and small buffers limit the loss when a peer dies */
    ENDPOINT_PULL,   /* connects; one socket per producer. RCVHWM 1, MAXMSGSIZE = PROTO_OFFER_MAX */
    ENDPOINT_DATA,   /* binds; a producer's ROUTER for file data. Default buffers, MAXMSGSIZE = PROTO_FETCH_MAX */
    ENDPOINT_FETCH,  /* connects; an uploader's DEALER to it. MAXMSGSIZE = PROTO_DATA_MAX */
};

struct endpoint; /* opaque */

/*
 * Opens a socket and binds or connects it. address: "ipc://…", "tcp://host:port", "tcp://127.0.0.1:*".
 *
 * Tcp sockets use the keys of runtime/keys.h, which is set up first. endpoint_open expects a producer's key at the other
 * end, endpoint_open_consumer a consumer's.
 *
 * Every error is logged with the address, and *e is NULL:
 *  - ERR_DENIED: no keys and no --insecure; or the trust file does not name one key to expect; or no permission for an
 *    ipc socket.
 *  - ERR_BUSY: the address is in use, or a file exists at the ipc path. (libzmq would remove it. The socket of a killed
 *    process is replaced.)
 *  - ERR_USAGE: libzmq refuses the address. ERR_IO, ERR_NOMEM.
 */
int endpoint_open(struct endpoint **e, enum endpoint_kind kind, const char *address) MUST_CHECK;
int endpoint_open_consumer(struct endpoint **e, const char *address) MUST_CHECK; /* ENDPOINT_DEALER */
/* Reads the trust file again and applies it to every socket. A peer whose key lost a role is disconnected before this
 * returns, and none of its messages is returned later. An error is logged, and the earlier file stays in force. */
int endpoint_reread_keys(void) MUST_CHECK;
/* For a socket of endpoint_open_consumer that gets no answer with the expected key. Connects again with the other key
 * when the trust file has two for this address; else does nothing. */
void endpoint_try_other_key(struct endpoint *e);
/* The bound address, with wildcards resolved, or the connected one. */
const char *endpoint_address(const struct endpoint *e);
void endpoint_close(struct endpoint **e); /* drops unsent messages; removes the file of a bound ipc socket */
/* Returns at once. Messages keep leaving for at most linger_ms; endpoint_shutdown_all waits for that. */
void endpoint_close_flush(struct endpoint **e, int linger_ms);
/* Ends the context after every socket is closed, and wipes the keys. Call it last in main(); else a last message may be
 * lost. */
void endpoint_shutdown_all(void);

/* A received frame, used again for each message: endpoint_recv releases the last one, also when there is no new one. For
 * ROUTER, peer is the sender's routing id; copy it to answer later. */
struct frame {
    struct slice data;
    struct curve_key key; /* the sender's proved key; empty without keys (ipc, --insecure) and on a connected socket */
    uint8_t peer[16];
    uint8_t peer_len;
    void *memory;
};
#define FRAME_INIT                                                                                                     \
    { 0 }
/* ERR_AGAIN: there is none. Messages that are not exactly one data part are dropped. ERR_IO: logged. ERR_NOMEM. */
int endpoint_recv(struct endpoint *e, struct frame *f) MUST_CHECK;
void frame_release(struct frame *f);

/* Sends one frame. peer and peer_len for ROUTER, else NULL, 0. ERR_AGAIN: the queue is full (ROUTER: that peer does not
 * read). ERR_NOT_FOUND: that peer is gone (ROUTER). ERR_IO: logged. ERR_NOMEM. */
int endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data) MUST_CHECK;

/* ROUTER: sends without a copy. The bytes must not change until release(arg) is called: once, by any thread, also after
 * an error. */
struct loan {
    void *bytes;
    size_t len;
    void (*release)(void *arg);
    void *arg;
};
int endpoint_lend(struct endpoint *e, const void *peer, size_t peer_len, const struct loan *loan) MUST_CHECK;
/* ROUTER: would a message of len bytes for this peer be accepted now? */
bool endpoint_has_room(const struct endpoint *e, const void *peer, size_t peer_len, size_t len);

/* ROUTER: much waits for peers that do not read (send_queue.h): keep answers under SEND_QUEUE_SMALL. */
bool endpoint_is_under_pressure(const struct endpoint *e);
/* ROUTER: this peer does not read: an answer would only wait, or be dropped. */
bool endpoint_is_backpressured(const struct endpoint *e, const void *peer, size_t peer_len);

enum { ENDPOINT_IN = 1, ENDPOINT_OUT = 2 };
int endpoint_events(struct endpoint *e); /* the possible ones now; re-arms the fd */
int endpoint_fd(const struct endpoint *e);
/* For a loop that polls the fd of e in each turn: like endpoint_events, but when there is no input, e rests: until
 * endpoint_wake or a send, and for at most a second, this function returns 0 and endpoint_recv ERR_AGAIN, without a
 * call of libzmq. */
int endpoint_rest(struct endpoint *e);
/* The fd was readable. */
void endpoint_wake(struct endpoint *e);
/* The longest sleep between two calls of endpoint_events, for a loop without endpoint_wait. Prefer endpoint_wait for a
 * socket bound with keys: this thread admits the clients. */
int endpoint_wait_max_ms(const struct endpoint *e);

/* Waits until an endpoint has one of its wanted events, an fd is readable, or the time is over (-1: no limit). Sets
 * `ready` in the items. A signal ends the wait with 0. ERR_IO: logged. ERR_NOMEM. */
struct wait_item {
    struct endpoint *endpoint; /* or NULL: fd */
    int fd;
    int want, ready;
};
int endpoint_wait(struct wait_item *items, size_t count, int timeout_ms) MUST_CHECK;

#endif
