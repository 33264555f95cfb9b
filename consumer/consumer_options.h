/* The parameters of a consumer: its options, its limits, and the callbacks through which it talks
 * to its program. */
#ifndef CHUNKLIFT_CONSUMER_OPTIONS_H
#define CHUNKLIFT_CONSUMER_OPTIONS_H

#include "consumer/journal/journal.h"
#include "consumer/outbox.h"

#define UPLOADS_MAX 100000             /* unfinished uploads; further plans wait. Memory of each: upload.h */
#define ROUND_FRAMES 4096              /* messages of one round, at most */
#define ROUND_BYTES ((size_t)32 << 20) /* their bytes, decoded lists included */
#define LEASE_MS_MIN 200
#define LEASE_MS_DEFAULT 10000
#define LEASE_MS_MAX 3600000

enum consumer_event {
    CONSUMER_EVENT_JOINED,
    CONSUMER_EVENT_LEFT,
    CONSUMER_EVENT_VANISHED, /* the peer's process died, or the peer was silent for too long */
    CONSUMER_EVENT_REVOKED,  /* its key lost the role */
    CONSUMER_EVENT_EXPIRED,  /* one of its leases */
    CONSUMER_EVENT_SECOND    /* it got a second lease (rule 12) */
};

struct consumer_options {
    const char *dir;
    struct id128 journal; /* the only journal to serve; zero: any, also a new one */
    uint32_t lease_ms;
    uint64_t rotate_bytes;       /* 0: the journal's default */
    bool read_only;              /* answers questions about a journal that it does not change */
    bool no_brakes;              /* the limits of stores are not shared: each uploader brakes alone */
    bool no_second_lease;        /* rule 12 is off */
    const struct journal_io *io; /* NULL: the system calls */
    send_frame *send;
    /* job is NULL except for CONSUMER_EVENT_EXPIRED and CONSUMER_EVENT_SECOND. NULL: events are not
     * reported. */
    void (*on_event)(void *arg, enum consumer_event event, const struct peer *peer, const struct ref *job);
    /* The peer does not read its replies; expensive replies are not made for it. NULL: every peer
     * reads. */
    bool (*is_backpressured)(void *arg, const void *route, size_t len);
    /* The TRUST_ roles of a key at this moment, also of the empty key. NULL: every key has all
     * roles. */
    unsigned (*roles)(const struct curve_key *key);
    void *arg; /* of send, on_event and is_backpressured */
};

#endif
