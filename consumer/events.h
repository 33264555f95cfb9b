/*
 * What happened to jobs without being a record: grants, releases, denials, expiries, results of `stat`. A ring of the
 * last EVENTS_MAX, each tagged with the producers it concerns. Numbers start anew above everything an earlier epoch
 * used, so a cursor of an earlier epoch is always too old, never wrong.
 */
#ifndef CHUNKLIFT_CONSUMER_EVENTS_H
#define CHUNKLIFT_CONSUMER_EVENTS_H

#include "pure/err.h"
#include "pure/proto.h"

#define EVENTS_MAX 16384

struct event_entry {
    struct event e; /* worker and detail point into text */
    uint64_t producers;
    char *text;
};

struct events {
    struct event_entry *ring; /* EVENTS_MAX; pages touched as they are used */
    uint64_t first, next;     /* numbers: [first, next) are there */
};

int events_init(struct events *ring, uint64_t epoch) MUST_CHECK;
void events_release(struct events *ring);
/* Copies worker and detail; when memory for them is out the event goes without. */
void events_add(struct events *ring, const struct event *e, uint64_t producers);
/* number within [first, next) */
const struct event_entry *events_at(const struct events *ring, uint64_t number);

#endif
