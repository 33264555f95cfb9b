/*
 * The sockets through which bytes are fetched: one DEALER for each producer's data endpoint, opened when it is needed
 * and closed when it was not for a while. For fetch.c alone, but for the address.
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
    char *address; /* NULL: free */
    struct endpoint *endpoint;
    size_t users;      /* sources that fetch through it */
    uint64_t used_ms;  /* when there was one last */
    uint64_t heard_ms; /* when anything came last; 0 never */
};

struct fetch_connections {
    struct fetch_connection items[FETCH_CONNECTIONS_MAX];
    size_t turn; /* which one is read first next */
};

/* The one to address, opened when it is not there. ERR_LIMIT: all are in use; else as endpoint_open. */
int fetch_connections_get(struct fetch_connections *l, struct slice address, uint64_t now_ms,
                          struct fetch_connection **line) MUST_CHECK;
/* The next message of any of them, each in its turn. ERR_AGAIN: none. */
int fetch_connections_recv(struct fetch_connections *l, struct frame *frame, struct fetch_connection **line) MUST_CHECK;
/* Closes what is idle; returns when the next one will be (UINT64_MAX: none). */
uint64_t fetch_connections_tick(struct fetch_connections *l, uint64_t now_ms);
void fetch_connections_release(struct fetch_connections *l);

/* The address in an offer as seen from here: a host that is left open (empty, *, 0.0.0.0, [::]) is that of the jobs
 * endpoint the offer came from. False: none, or none that can be reached from here (ipc of another host). */
bool fetch_address(struct slice data, const char *jobs, char *out, size_t size);

#endif
