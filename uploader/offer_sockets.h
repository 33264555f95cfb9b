/*
 * The sockets that offers come from: one PULL socket for each producer's jobs endpoint.
 *
 * The endpoints are those of --jobs, or those the consumer names. An uploader that declined 8 offers of a producer in a
 * row closes that socket, for a time that doubles up to 30 s: its empty queue would attract every offer (rule 2).
 *
 * Producers share an uploader by the cost of their jobs (bytes, and OFFER_JOB_COST for each job), not by messages. The
 * producer with the least cost so far is read first. A producer that had nothing to offer for a while does not save up
 * cost: it continues where the others are.
 */
#ifndef CHUNKLIFT_OFFER_SOCKETS_H
#define CHUNKLIFT_OFFER_SOCKETS_H

#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFER_SOCKETS_MAX 32                 /* producers that are served at a time */
#define OFFER_JOB_COST ((uint64_t)256 << 10) /* cost of a job besides its bytes */

struct offer_socket {
    char *address;
    struct endpoint *endpoint; /* NULL while it is closed */
    uint32_t declined;         /* offers in a row */
    uint32_t away_ms;          /* how long it is closed the next time */
    uint64_t back_ms;          /* when it is opened again */
    uint64_t cost;             /* of the accepted jobs, counted from the cost at which it began */
    bool keep;                 /* while offer_sockets_set runs */
};
struct offer_sockets {
    struct offer_socket items[OFFER_SOCKETS_MAX];
    size_t count;
    uint64_t cost; /* of the socket that was read last, before that */
    bool full_logged;
};

/* Serves exactly these addresses. An error to connect is logged, and connecting is tried again later. */
void offer_sockets_set(struct offer_sockets *all, const struct slice *addresses, size_t count, uint64_t now_ms);
void offer_sockets_release(struct offer_sockets *all);
/* The next offer, from the producer with the least cost so far. *from is valid until the next offer_sockets_set.
 * ERR_AGAIN: there is none. */
int offer_sockets_recv(struct offer_sockets *all, struct frame *frame, struct offer_socket **from) MUST_CHECK;
/* Of the last offer, so many jobs with so many bytes in total were accepted. */
void offer_socket_accepted(struct offer_socket *s, size_t jobs, uint64_t bytes);
void offer_socket_declined(struct offer_socket *s, uint64_t now_ms);
/* Ends the rest of all sockets (endpoint_rest). */
void offer_sockets_wake(struct offer_sockets *all);
/* Opens sockets that were closed for long enough; returns when the next one is due (UINT64_MAX: none). */
uint64_t offer_sockets_tick(struct offer_sockets *all, uint64_t now_ms);

#endif
