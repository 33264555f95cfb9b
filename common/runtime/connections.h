/*
 * The connections of one ZeroMQ socket, and what strangers may do with them. libzmq itself bounds a message's part, not
 * a message of many parts, and accepts until the process has no descriptor left; then its thread spins.
 *
 * Two limits, kept by closing connections; whoever was closed may connect again.
 *  - Number: accepted beyond it, the oldest tcp connection of a ROUTER that never said anything goes, else the newest
 *    (for ipc libzmq does not tell whose a message is). The limit leaves descriptors for everything else this process
 *    opens.
 *  - Unread bytes: what a connection's kernel end received and neither lies there nor was taken from the socket lies in
 *    this process's memory. When all of it together passes the limit, those that brought most of it are closed. Only
 *    tcp counts bytes: an ipc peer is bounded by the socket's queue and MAXMSGSIZE, unless it sends a message of
 *    endless parts; it is a process of our own user.
 *
 * connections_service does the work. It has to be called in every turn of a loop and, while connections_are_watched, ten
 * times a second.
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
        clients_talk_first; /* clients_talk_first: honest peers speak at once, so one that does not may go first */
    bool curve;
    size_t unread_max; /* bytes */
};

/* ERR_IO, logged; ERR_NOMEM. */
int connections_new(struct connections **c, const struct connections_options *o) MUST_CHECK;
/* Before the socket is closed. */
void connections_destroy(struct connections **c);

/* bytes of one part were taken from the socket; they came through fd (ZMQ_SRCFD; below 0: not known). */
void connections_count_taken(struct connections *c, int fd, size_t bytes);
/* What came through fd was this key's. */
void connections_set_key(struct connections *c, int fd, const struct curve_key *key);
/* Closes those whose key, empty where it is not known, is not to stay. Whatever was let in before this call is looked
 * at. */
void connections_close_unless(struct connections *c, bool (*stays)(const struct curve_key *key));
/* drained: the socket has just been read until empty. */
void connections_service(struct connections *c, bool drained);

/* A libzmq socket that becomes readable when connections come or go. */
void *connections_waitable(const struct connections *c);
/* There are some whose bytes are counted. */
bool connections_are_watched(const struct connections *c);
size_t connections_count(const struct connections *c);

/* Most connections a bound socket of this process takes, by its limit of open descriptors. */
size_t connections_max(void);

#endif
