/*
 * Offers: one PULL socket for each producer's jobs endpoint.
 *
 * Which endpoints is told (--jobs) or learnt from the consumer. An uploader that declined 8 offers of a producer in a
 * row leaves its socket, for a time that doubles up to 30 s: its ever-empty pipe would attract every offer (rule 2).
 *
 * Producers share an uploader by what their jobs cost (bytes, and OFFER_JOB_COST for each), not by messages or jobs: the
 * one that had least so far is asked first. Who had nothing to offer meanwhile saves nothing up: it goes on from where
 * the others are.
 */
#ifndef CHUNKLIFT_OFFER_SOCKETS_H
#define CHUNKLIFT_OFFER_SOCKETS_H

#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFER_SOCKETS_MAX 32                 /* producers served at a time */
#define OFFER_JOB_COST ((uint64_t)256 << 10) /* of a job beside its bytes */

struct offer_socket {
    char *address;
    struct endpoint *endpoint; /* NULL while it is left */
    uint32_t declined;         /* offers in a row */
    uint32_t away_ms;          /* how long it is left the next time */
    uint64_t back_ms;          /* when to connect again */
    uint64_t taken;            /* what was accepted of it costs, or where it began */
    bool keep;                 /* while endpoints are set */
};
struct offer_sockets {
    struct offer_socket items[OFFER_SOCKETS_MAX];
    size_t count;
    uint64_t now; /* `taken` of the one that was read last, before it */
    bool full_logged;
};

/* Serves exactly these from now on. What cannot be connected is tried again later (logged). */
void offer_sockets_set(struct offer_sockets *f, const struct slice *addresses, size_t count, uint64_t now_ms);
void offer_sockets_release(struct offer_sockets *f);
/* The next offer, of the producer that had least so far. ERR_AGAIN: none. *feed is valid until the next offer_sockets_set. */
int offer_sockets_recv(struct offer_sockets *f, struct frame *frame, struct offer_socket **feed) MUST_CHECK;
/* Jobs of so many bytes together. */
void offer_socket_accepted(struct offer_socket *feed, size_t jobs, uint64_t bytes);
void offer_socket_declined(struct offer_socket *feed, uint64_t now_ms);
/* Goes back to sockets that were left long enough; returns when the next one is due (UINT64_MAX: none). */
uint64_t offer_sockets_tick(struct offer_sockets *f, uint64_t now_ms);

#endif
