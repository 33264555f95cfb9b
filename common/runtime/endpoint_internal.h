/* Shared by the files of the endpoint module: endpoint_socket.c (sockets and frames), endpoint_options.c (socket options),
 * endpoint_keys.c (expected keys), endpoint_wait.c (waiting). Not for other files. */
#ifndef CHUNKLIFT_ENDPOINT_INTERNAL_H
#define CHUNKLIFT_ENDPOINT_INTERNAL_H

#include "pure/trust.h"
#include "runtime/connections.h"
#include "runtime/endpoint.h"
#include "runtime/send_queue.h"

#define ENDPOINT_ADDRESS_SIZE 512
#define ENDPOINT_SERVICE_MS 5 /* between two services of a client's socket that has no limits to watch */

struct endpoint {
    void *socket; /* libzmq's */
    enum endpoint_kind kind;
    char address[ENDPOINT_ADDRESS_SIZE];
    struct connections *connections;
    struct send_queue *send_queue; /* kinds with routing ids */
    unsigned received;             /* messages since the last endpoint_service */
    uint64_t rests_until_ms;       /* no input since endpoint_rest; 0: it may have some */
    uint64_t serviced_ms;
    bool service_owed;     /* the last one was left out: see endpoint_service_if_due */
    uint64_t connected_ms; /* when a connection was last there, or was last asked for */
    bool curve;
    bool untrusted;            /* client: the trust file has no key for the server now */
    enum trust_role server;    /* client: the role of the server; 0: binds */
    struct curve_key expected; /* client: the server's key */
    struct endpoint *next;     /* in endpoint_all */
};

extern struct endpoint *endpoint_all; /* every open one */

bool endpoint_kind_binds(enum endpoint_kind kind);
/* Messages of this kind carry the routing id of a peer. */
bool endpoint_kind_routes(enum endpoint_kind kind);

/* Before bind or connect: all options but the keys. -1: errno is libzmq's. */
int endpoint_set_options(void *socket, enum endpoint_kind kind, const char *address, bool curve) MUST_CHECK;
/* The keys: a bound socket checks its clients' keys, a connected one expects e->expected. -1: errno is libzmq's. */
int endpoint_set_keys(const struct endpoint *e) MUST_CHECK;

bool key_is_admitted(const struct curve_key *key);

/* The periodic work of a socket: limits of connections, reconnection, requests about keys. drained: the socket has just
 * been read until empty. */
void endpoint_service(struct endpoint *e, bool drained);
/* The same for a loop that asks in every turn: a client's socket is not served again within ENDPOINT_SERVICE_MS. Then
 * endpoint_wait_max_ms is no longer than that, because a new connection may have been reported. */
void endpoint_service_if_due(struct endpoint *e, bool drained);

#endif
