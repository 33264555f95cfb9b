/*
 * ZeroMQ sockets with chunklift's settings: the only files that include zmq.h (and connections.c, zap.c; keys.c for its
 * keys). One context a process.
 *
 * Nothing here blocks but endpoint_wait. A socket's fd is edge-triggered and only a hint: drain the socket (bounded),
 * and last before sleeping call endpoint_events on every socket (FACTS: skipping that stalls at load); endpoint_wait
 * does so itself. LINGER is 0: everything that matters is sent again; endpoint_close_flush waits a bounded time where a
 * goodbye should leave.
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
    ENDPOINT_DEALER, /* connects; everybody else. IMMEDIATE=1 */
    ENDPOINT_PUSH,   /* binds; offers. SNDHWM 1 and small buffers: what a dead peer holds is bounded (FACTS) */
    ENDPOINT_PULL,   /* connects; one socket per producer. RCVHWM 1, MAXMSGSIZE = PROTO_OFFER_MAX */
    ENDPOINT_DATA,   /* binds; a producer's ROUTER for bytes of files: buffers as the kernel likes them, short questions
                      */
    ENDPOINT_FETCH,  /* connects; an uploader's DEALER to it. MAXMSGSIZE = PROTO_DATA_MAX */
};

struct endpoint; /* opaque */

/* Tcp sockets have the keys of runtime/keys.h, which are set up before. Who connects by endpoint_open expects a
 * producer's key there; a consumer's: endpoint_open_consumer. ERR_DENIED: no keys, and no --insecure; or it is not
 * known whose key to expect. Logged.
 *
 * address: "ipc://…", "tcp://host:port", "tcp://127.0.0.1:*". Binding ipc:// CHECKs nothing exists there (libzmq would
 * silently take it over), but for a socket that a killed process left: ERR_BUSY. ERR_USAGE for an address libzmq
 * refuses, ERR_IO else; both logged with the address.
 */
int endpoint_open(struct endpoint **e, enum endpoint_kind kind, const char *address) MUST_CHECK;
int endpoint_open_consumer(struct endpoint **e, const char *address) MUST_CHECK; /* ENDPOINT_DEALER */
/* The trust file is read again, and every socket acts on it: whoever lost what it had is disconnected before this
 * returns, and nothing more of it is handed up. An error, logged: everything is as before. */
int endpoint_reread_keys(void) MUST_CHECK;
/* Connected by endpoint_open_consumer: no answer came with the key that was expected. Connects again with the other one
 * where the trust file has two for this address; else does nothing. */
void endpoint_try_other_key(struct endpoint *e);
/* What it is bound to, wildcard resolved, or connected to. */
const char *endpoint_address(const struct endpoint *e);
void endpoint_close(struct endpoint **e); /* drops what was not sent; removes the file of a bound ipc socket */
/* Returns at once; what was sent keeps leaving for at most linger_ms, and endpoint_shutdown_all waits for it. */
void endpoint_close_flush(struct endpoint **e, int linger_ms);
/* Ends the context, after every socket is closed, and wipes the keys. Last in main(): without it a goodbye may be lost.
 */
void endpoint_shutdown_all(void);

/* A received frame. For ROUTER, peer is the sender's routing id. Reused: endpoint_recv releases what it held, also when
 * there is nothing new: who answers later keeps a copy of peer. */
struct frame {
    struct slice data;
    struct curve_key key; /* whose it is, proved; empty without keys (ipc, --insecure) and at who connected */
    uint8_t peer[16];
    uint8_t peer_len;
    void *memory;
};
#define FRAME_INIT                                                                                                     \
    { 0 }
/* ERR_AGAIN when there is none. Frames that are not exactly one data part are dropped. */
int endpoint_recv(struct endpoint *e, struct frame *f) MUST_CHECK;
void frame_release(struct frame *f);

/* Sends one frame; peer and peer_len for ROUTER, else NULL, 0. ERR_AGAIN: full now (ROUTER: that peer does not read);
 * ERR_NOT_FOUND: that peer is gone (ROUTER). */
int endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data) MUST_CHECK;

/* ROUTER: the same without a copy: bytes stay the caller's until release(arg) is called, once, by any thread, also when
 * this fails. */
struct loan {
    void *bytes;
    size_t len;
    void (*release)(void *arg);
    void *arg;
};
int endpoint_lend(struct endpoint *e, const void *peer, size_t peer_len, const struct loan *loan) MUST_CHECK;
/* ROUTER: would a message of len bytes for this peer be taken now? */
bool endpoint_has_room(const struct endpoint *e, const void *peer, size_t peer_len, size_t len);

/* ROUTER: much waits for peers that do not read (send_queue.h); keep answers under SEND_QUEUE_SMALL. */
bool endpoint_is_under_pressure(const struct endpoint *e);
/* ROUTER: this peer has not read what was sent to it, and an answer would only wait, or be dropped. */
bool endpoint_is_backpressured(const struct endpoint *e, const void *peer, size_t peer_len);

enum { ENDPOINT_IN = 1, ENDPOINT_OUT = 2 };
int endpoint_events(struct endpoint *e); /* which of them are possible now; re-arms the fd */
int endpoint_fd(const struct endpoint *e);
/* How long a loop that does not use endpoint_wait may sleep, between two calls of endpoint_events. A socket bound with
 * keys is better waited for by endpoint_wait: clients are let in by this thread. */
int endpoint_wait_max_ms(const struct endpoint *e);

/* Waits until an endpoint has one of its wanted events, an fd is readable, or the time is over (-1: no limit).
 * Interrupted by signals: returns 0. ready flags are set in the items. */
struct wait_item {
    struct endpoint *endpoint; /* or NULL: fd */
    int fd;
    int want, ready;
};
int endpoint_wait(struct wait_item *items, size_t count, int timeout_ms) MUST_CHECK;

#endif
