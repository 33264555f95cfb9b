/*
 * Who said HELLO. A peer is its incarnation (msg.sender); its routing id is only where to answer, and moves when it
 * connects anew. Producers have one of 64 places, so that "which producers does this concern" is one word of bits.
 *
 * A place is given out round robin, and whoever gets it sees records and events from then on only (since_seq,
 * since_event): those of its former owner are not its business.
 */
#ifndef CHUNKLIFT_CONSUMER_PEERS_H
#define CHUNKLIFT_CONSUMER_PEERS_H

#include "consumer/fleet/fleet.h"
#include "consumer/jobs/eligible.h"
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
    struct curve_key key; /* that said HELLO: nobody else speaks for it; empty without keys */
    enum role role;
    bool local;       /* under our boot id */
    bool seen;        /* its process was visible from here under this pid at HELLO (not so in another pid namespace) */
    uint64_t dead_ms; /* since when that process is known to be gone; 0 it lives */
    pid_t pid;
    uint64_t starttime;
    char *worker; /* host/pid */
    char *boot;
    char *jobs; /* producer: where uploaders of its host find its offers; NULL none */
    uint64_t heard_ms, complained_ms;

    /* uploader */
    struct list leases;
    uint32_t slots, active, free;
    uint64_t sent_bytes, retries, fetched_bytes;
    enum integrity integrity;
    double ms_per_byte; /* of its recorded chunks, from grant to result, the last ones counting most; 0: none yet */
    uint64_t rate, rate_ms, rate_bytes; /* bytes a second; when and at what count it was last taken */
    char outage[256];                   /* what it retries and what keeps failing; empty: nothing */
    uint64_t outage_ms;                 /* for how long, as it said last */
    uint64_t unable;                    /* bits of producers it released something of as not-here */
    bool beaten;                        /* a HEARTBEAT of it was read */
    uint64_t joined_ms;                 /* when it said HELLO first */
    struct peer_limits limits;
    struct peer_able able;

    /* producer */
    unsigned place; /* below PRODUCERS_MAX */
    uint64_t since_seq, since_event;
    uint64_t fleet_version; /* of what was set, as it was last told */
    bool stops;             /* it said so in a TAIL: no job of its uploads begins any more */

    /* the one outstanding TAIL */
    bool tailing;
    struct msg_tail tail;
    uint64_t tail_number, tail_asked_ms, tail_answered_ms;
};

/* Incarnations that have left stay their keys' for a while: who says one again only heard it. */
#define GONE_MAX 1024
struct gone {
    struct id128 incarnation;
    struct curve_key key;
};

struct peers {
    struct gone gone[GONE_MAX]; /* a ring; those without keys are not kept */
    size_t gone_next;
    struct hash_table by_incarnation;
    struct peer **all;
    size_t count, cap;
    struct peer *producers[PRODUCERS_MAX];
    unsigned next_place;
};

void peers_init(struct peers *p);
void peers_release(struct peers *p); /* leases must be gone */
struct peer *peers_find(const struct peers *p, const struct id128 *incarnation);
/* A new peer. ERR_LIMIT: PEERS_MAX, or PRODUCERS_MAX producers; ERR_NOMEM. */
int peers_add(struct peers *p, const struct id128 *incarnation, const struct msg_hello *hello,
              struct peer **peer) MUST_CHECK;
void peers_remove(struct peers *p, struct peer *peer); /* frees it; its leases must be gone */

/* True when the peer's process could be seen and is gone now: nothing will be sent by it any more. */
bool peer_is_dead(const struct peer *peer);

/* It left, and was another key's. */
bool peers_was_anothers(const struct peers *p, const struct id128 *incarnation, const struct curve_key *key);

/* The bit of a producer, 0 for others. */
uint64_t peer_bit(const struct peer *peer);
bool peer_is_at(const struct peer *peer, const void *route, size_t len);

#endif
