/*
 * The sockets that bytes are fetched through: one DEALER for each producer's data endpoint. A socket is opened when it
 * is needed and closed after FETCH_CONNECTION_IDLE_MS without a source. Only fetch.c uses them; fetch_address is for the
 * intake of offers.
 */
#ifndef CHUNKLIFT_FETCH_CONNECTION_H
#define CHUNKLIFT_FETCH_CONNECTION_H

#include "pure/buf.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_CONNECTIONS_MAX 24
#define FETCH_CONNECTION_IDLE_MS 10000

struct fetch_connection {
    char *address; /* NULL: the item is free */
    struct endpoint *endpoint;
    size_t users;      /* sources that fetch through it */
    uint64_t used_ms;  /* when there was one last */
    uint64_t heard_ms; /* last message of the producer; 0: none yet */
};

struct fetch_connections {
    struct fetch_connection items[FETCH_CONNECTIONS_MAX];
    size_t turn; /* the item that is read first next */
};

/* Finds or opens the connection to address. ERR_LIMIT: all are in use; else the errors of endpoint_open. */
int fetch_connections_get(struct fetch_connections *all, struct slice address, uint64_t now_ms,
                          struct fetch_connection **out) MUST_CHECK;
/* The next message of any connection; they are read in turn. ERR_AGAIN: none. */
int fetch_connections_recv(struct fetch_connections *all, struct frame *frame,
                           struct fetch_connection **out) MUST_CHECK;
/* Closes idle connections; returns when the next one will be idle (UINT64_MAX: none). */
uint64_t fetch_connections_tick(struct fetch_connections *all, uint64_t now_ms);
void fetch_connections_release(struct fetch_connections *all);

/* The data address of an offer, as this host reaches it. An unspecified host (empty, *, 0.0.0.0, [::]) is replaced by
 * the host of the jobs endpoint that the offer came from. False: no address, or one that cannot be reached from here
 * (ipc of another host). */
bool fetch_address(struct slice data, const char *jobs, char *out, size_t size);

#endif
