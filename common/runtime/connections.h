/*
 * Limits for the connections of one ZeroMQ socket, against peers that open or send too much. libzmq limits a part of a
 * message, but not a message of many parts. It accepts until the process has no free descriptor; then its thread spins.
 *
 * Two limits, kept by closing connections. A closed peer may connect again.
 *  - Number of connections. Beyond it, a ROUTER closes the oldest tcp connection that never sent a message; without one,
 *    the newest connection. (For ipc libzmq does not report the connection of a message.) The limit leaves descriptors
 *    for the rest of the process.
 *  - Unread bytes. Bytes that the kernel received for a connection, and that are neither in the kernel's buffer nor read
 *    from the socket, are in this process's memory. When their sum passes the limit, the connections with most of them
 *    are closed. Bytes are counted for tcp only. An ipc peer is limited by the socket's queue and MAXMSGSIZE, unless it
 *    sends a message of endless parts; it is a process of the same user.
 *
 * connections_service does the work. Call it in every turn of a loop and, while connections_are_watched, ten times a
 * second.
 */
#ifndef CHUNKLIFT_CONNECTIONS_H
#define CHUNKLIFT_CONNECTIONS_H

#include "pure/err.h"
#include "pure/z85.h"
#include <stdbool.h>
#include <stddef.h>

struct connections; /* opaque */

#define CONNECTIONS_CURVE_BYTES 33 /* of a message that travels encrypted: command name, flags, nonce, tag */

struct connections_options {
    void *context, *socket; /* libzmq's */
    const char *address;    /* for people */
    bool tcp, binds,
        clients_talk_first; /* clients_talk_first: a client without a message so far is closed before others */
    bool curve;
    size_t unread_max; /* bytes */
};

/* ERR_IO: logged. ERR_NOMEM. */
int connections_new(struct connections **c, const struct connections_options *o) MUST_CHECK;
/* Call it before the socket is closed. */
void connections_destroy(struct connections **c);

/* One part of this size was read from the socket. fd: its connection (ZMQ_SRCFD; below 0: not known). */
void connections_count_taken(struct connections *c, int fd, size_t bytes);
/* The peer of the connection fd proved this key. */
void connections_set_key(struct connections *c, int fd, const struct curve_key *key);
/* Calls stays() with the key of each connection, those admitted earlier included (an empty key: not known). Closes the
 * connection when stays() returns false. */
void connections_close_unless(struct connections *c, bool (*stays)(const struct curve_key *key));
/* drained: the socket has just been read until empty. */
void connections_service(struct connections *c, bool drained);

/* A libzmq socket that becomes readable when connections come or go. */
void *connections_waitable(const struct connections *c);
/* True while there are connections whose bytes are counted. */
bool connections_are_watched(const struct connections *c);
size_t connections_count(const struct connections *c);

#endif
