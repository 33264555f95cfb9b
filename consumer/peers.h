/*
 * The connected peers: producers, uploaders and readers. A peer is identified by its incarnation
 * (msg.sender). Its routing id is only the address of replies, and changes when it reconnects.
 *
 * A producer has an index below PRODUCERS_MAX, so that a set of producers is one 64-bit word.
 * Indexes are given out in turn. The new owner of an index sees records and events from then on
 * only (since_seq, since_event).
 */
#ifndef CHUNKLIFT_CONSUMER_PEERS_H
#define CHUNKLIFT_CONSUMER_PEERS_H

#include "consumer/fleet/peer_limits.h"
#include "consumer/jobs/destinations.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "pure/z85.h"
#include <stdbool.h>
#include <sys/types.h>

#define PEERS_MAX 4096
#define PRODUCERS_MAX 64
#define ROUTE_MAX 16

struct route { /* a routing id of the ROUTER socket */
    uint8_t bytes[ROUTE_MAX];
    uint8_t len;
};

struct peer {
    struct hash_node node;
    size_t position; /* in peers.all */
    struct id128 incarnation;
    struct route route;
    struct curve_key key; /* of its HELLO; messages with another key are refused. Empty without keys */
    enum role role;
    bool local;           /* under our boot id */
    bool process_visible; /* under this pid at HELLO; not so in another pid namespace */
    uint64_t dead_ms;     /* when its process was first seen to be gone; 0: it lives */
    pid_t pid;
    uint64_t starttime;
    char *worker; /* host/pid */
    char *boot;
    char *jobs; /* producer: the ipc endpoint of its offers, for uploaders of its host; NULL: none */
    uint64_t heard_ms, complained_ms;

    /* uploader */
    struct list leases;
    uint32_t abilities; /* enum abilities */
    uint32_t slots, active, free;
    uint64_t sent_bytes, retries, fetched_bytes;
    enum slots_why slots_why;
    uint64_t reply_us, work_us; /* as in HEARTBEAT */
    enum integrity integrity;
    double ms_per_byte;                 /* moving average of its recorded chunks, from grant to result; 0: none yet */
    uint64_t rate, rate_ms, rate_bytes; /* bytes a second; time and count of the last measurement */
    char outage[256];                   /* the endpoint and error that it retries; empty: none */
    uint64_t outage_ms;                 /* duration, by its last HEARTBEAT */
    uint64_t unable;                    /* producers (bits) of which it released a job as not-here */
    bool had_heartbeat;                 /* a HEARTBEAT was read */
    uint64_t joined_ms;                 /* its first HELLO */
    struct peer_limits limits;
    struct destinations destinations;

    /* producer */
    unsigned producer; /* its index, below PRODUCERS_MAX */
    bool returned;     /* an earlier consumer knew it, or this one dropped it: its removals are not known (rule 19) */
    uint64_t since_seq, since_event;
    uint64_t fleet_version; /* of the last RECORDS sent */
    bool stopping;          /* by its TAIL: no further job of its uploads begins */

    /* the one outstanding TAIL */
    bool tailing;
    struct msg_tail tail;
    uint64_t tail_number, tail_asked_ms, tail_paid_ms;
};

/* An incarnation that left stays bound to its key for a while, so that no other key can take it
 * over. */
#define GONE_MAX 1024
struct gone_peer {
    struct id128 incarnation;
    struct curve_key key;
};

struct peers {
    struct gone_peer gone[GONE_MAX]; /* a ring; peers without keys are not kept */
    size_t gone_next;
    struct hash_table by_incarnation;
    struct peer **all;
    size_t count, cap;
    struct peer *producers[PRODUCERS_MAX];
    unsigned next_producer;
};

void peers_init(struct peers *p);
void peers_release(struct peers *p); /* leases must be gone */
struct peer *peers_find(const struct peers *p, const struct id128 *incarnation);
/* A linear search. NULL: there is none. */
struct peer *peers_find_route(const struct peers *p, const struct route *route);
/* ERR_LIMIT: PEERS_MAX peers, or PRODUCERS_MAX producers; ERR_NOMEM. Nothing was added then. */
int peers_add(struct peers *p, const struct id128 *incarnation, const struct msg_hello *hello,
              struct peer **peer) MUST_CHECK;
void peers_remove(struct peers *p, struct peer *peer); /* frees it; its leases must be gone */

/* The incarnation left, and belonged to another key. */
bool peers_was_foreign(const struct peers *p, const struct id128 *incarnation, const struct curve_key *key);
/* The offer endpoints of producers on the uploader's host. jobs has room for PRODUCERS_MAX. Returns
 * the count. */
size_t peers_local_jobs(const struct peers *p, const struct peer *uploader, struct slice *jobs);
/* producers is not empty, and each of them is connected and stopping. */
bool peers_are_stopping(const struct peers *p, uint64_t producers);

/* True when the peer's process was visible and is gone: it sends nothing any more. */
bool peer_is_dead(const struct peer *peer);
/* The bit of a producer, 0 for other roles. */
uint64_t peer_bit(const struct peer *peer);
bool peer_is_at(const struct peer *peer, const void *route, size_t len);

#endif
