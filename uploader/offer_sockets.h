/*
 * Offers: one PULL socket for each producer's jobs endpoint.
 *
 * Which endpoints is told (--jobs) or learnt from the consumer. An uploader that declined 8 offers of a producer in a
 * row leaves its socket, for a time that doubles up to 30 s: its ever-empty pipe would attract every offer (rule 2).
 *
 * Producers share an uploader by what their jobs cost (bytes, and FEED_JOB_COST for each), not by messages or jobs: the
 * one that had least so far is asked first. Who had nothing to offer meanwhile saves nothing up: it goes on from where
 * the others are.
 */
#ifndef CHUNKLIFT_FEEDS_H
#define CHUNKLIFT_FEEDS_H

#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEEDS_MAX 32                        /* producers served at a time */
#define FEED_JOB_COST ((uint64_t)256 << 10) /* of a job beside its bytes */

struct feed {
    char *address;
    struct endpoint *endpoint; /* NULL while it is left */
    uint32_t declined;         /* offers in a row */
    uint32_t away_ms;          /* how long it is left the next time */
    uint64_t back_ms;          /* when to connect again */
    uint64_t taken;            /* what was accepted of it costs, or where it began */
    bool keep;                 /* while endpoints are set */
};
struct feeds {
    struct feed items[FEEDS_MAX];
    size_t count;
    uint64_t now; /* `taken` of the one that was read last, before it */
    bool full_said;
};

/* Serves exactly these from now on. What cannot be connected is tried again later (logged). */
void feeds_set(struct feeds *f, const struct slice *addresses, size_t count, uint64_t now_ms);
void feeds_release(struct feeds *f);
/* The next offer, of the producer that had least so far. ERR_AGAIN: none. *feed is valid until the next feeds_set. */
int feeds_recv(struct feeds *f, struct frame *frame, struct feed **feed) MUST_CHECK;
/* Jobs of so many bytes together. */
void feed_accepted(struct feed *feed, size_t jobs, uint64_t bytes);
void feed_declined(struct feed *feed, uint64_t now_ms);
/* Goes back to sockets that were left long enough; returns when the next one is due (UINT64_MAX: none). */
uint64_t feeds_tick(struct feeds *f, uint64_t now_ms);

#endif
