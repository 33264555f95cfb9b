/*
 * The sockets that bytes are fetched through: one DEALER for each producer's data endpoint. A socket is opened when it
 * is needed and closed after FETCH_CONNECTION_IDLE_MS without a source. Only fetch.c uses them; fetch_address is for the
 * intake of offers.
 */
#ifndef CHUNKLIFT_FETCH_CONNECTION_H
#define CHUNKLIFT_FETCH_CONNECTION_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/list.h"
#include "runtime/endpoint.h"
#include "system/lent_file.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_CONNECTIONS_MAX 24
#define FETCH_CONNECTION_IDLE_MS 10000

struct fetched; /* fetch.c */

/* A file that was asked for and not received yet. */
struct file_loan {
    struct list node;
    struct fetched *borrower; /* NULL: it does not want the file any more */
};

struct fetch_connection {
    char *address; /* NULL: the item is free */
    struct endpoint *endpoint;
    int lender;               /* where files are borrowed (system/lent_file.h); -1: nowhere */
    uint64_t lender_again_ms; /* when to connect to it again */
    struct list loans;        /* oldest first, in the order of the answers */
    size_t users;             /* sources that fetch through it */
    uint64_t used_ms;         /* when there was one last */
    uint64_t heard_ms;        /* last message of the producer; 0: none yet */
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
/* Files can be borrowed there. Connects if necessary, at most once a second. */
bool fetch_connection_lends(struct fetch_connection *c, uint64_t now_ms);
/* Asks for a file. ERR_NOT_FOUND: none can be borrowed there. ERR_NOMEM; the errors of lent_file_ask. */
int fetch_connection_borrow(struct fetch_connection *c, const struct lent_request *request, struct fetched *borrower,
                            struct file_loan **out) MUST_CHECK;
/* An answer is expected. */
bool fetch_connection_borrows(const struct fetch_connection *c);
/* The next answer to a loan, which is freed. *file: -1 when it was refused, else the caller owns it. ERR_AGAIN: none. */
int fetch_connection_take(struct fetch_connection *c, uint64_t now_ms, struct fetched **borrower, int *file) MUST_CHECK;
/* Closes idle connections; returns when the next one will be idle (UINT64_MAX: none). */
uint64_t fetch_connections_tick(struct fetch_connections *all, uint64_t now_ms);
void fetch_connections_release(struct fetch_connections *all);

/* The data address of an offer, as this host reaches it. An unspecified host (empty, *, 0.0.0.0, [::]) is replaced by
 * the host of the jobs endpoint that the offer came from. False: no address, or one that cannot be reached from here
 * (ipc of another host). */
bool fetch_address(struct slice data, const char *jobs, char *out, size_t size);

#endif
