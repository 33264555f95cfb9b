/*
 * Events: what happened to jobs without a record (grants, releases, denials, expiries, results of
 * questions). A ring of the last EVENTS_MAX events with at most EVENTS_TEXT_MAX bytes of texts, each with the producers it
 * concerns (bits). The numbers of an epoch are above all numbers of earlier epochs, so a cursor of an earlier epoch is
 * always too old.
 */
#ifndef CHUNKLIFT_CONSUMER_EVENTS_H
#define CHUNKLIFT_CONSUMER_EVENTS_H

#include "pure/err.h"
#include "pure/proto.h"

#define EVENTS_MAX 16384
#define EVENTS_TEXT_MAX ((size_t)48 << 20)

struct event_entry {
    struct event e; /* worker, detail, etag and listing point into text */
    uint64_t producers;
    char *text;
    size_t text_bytes;
};

struct events {
    struct event_entry *ring; /* EVENTS_MAX; its pages are used one after the other */
    uint64_t first, next;     /* numbers: [first, next) are in the ring */
    size_t text_bytes;
};

int events_init(struct events *ring, uint64_t epoch) MUST_CHECK;
void events_release(struct events *ring);
/* Copies the texts and the listing. Without memory for them the event has none. */
void events_add(struct events *ring, const struct event *e, uint64_t producers);
/* number must be within [first, next). Valid until the next events_add. */
const struct event_entry *events_at(const struct events *ring, uint64_t number);

#endif
