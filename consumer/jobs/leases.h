/*
 * The lease table: which uploader may do which job, and until when. In memory only. A restart
 * forgets it (rule 6 makes that safe).
 *
 * Lease time is boot time minus the time in which the consumer did not run (rule 3). So a pause
 * extends every lease at once. All leases have the same duration, and a renewed lease goes to the
 * end of the list. The list is therefore in order of deadline, and expiry looks only at its front.
 *
 * A chunk may have two leases, of two peers (rule 12). A lease becomes lost when the other holder's
 * result was recorded. It stays until its holder gives it back or its time is over, for until then
 * its holder may be writing.
 *
 * Every lease is in the list of its peer. Every lease but a `stat` is also in the list of its
 * upload.
 */
#ifndef CHUNKLIFT_CONSUMER_LEASES_H
#define CHUNKLIFT_CONSUMER_LEASES_H

#include "consumer/state/upload.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"

#define LEASES_MAX 65536

struct peer;

struct lease {
    struct hash_node node;
    struct list by_age, of_upload, of_peer;
    struct ref ref;
    struct peer *peer;
    struct upload *upload; /* NULL: a stat */
    uint64_t deadline_ms;  /* lease time, like all times of a lease */
    uint64_t granted_ms;
    uint64_t bytes;    /* moved so far, by the last HEARTBEAT */
    uint64_t moved_ms; /* when bytes changed last */
    bool second;       /* granted while another lease on the job lived (rule 12) */
    bool lost;         /* another peer's result was recorded; not renewed */
};

struct leases {
    struct hash_table by_ref;
    struct list by_age;
    uint32_t lease_ms;
    uint64_t paused_ms;
    uint32_t second_count;
};

void leases_init(struct leases *t, uint32_t lease_ms);
void leases_release(struct leases *t);

/* Lease time at now_ms, a time of clock_ms. */
static inline uint64_t leases_time(const struct leases *t, uint64_t now_ms) {
    return now_ms > t->paused_ms ? now_ms - t->paused_ms : 0;
}

/* A lease on this job that is not lost; either of two. NULL: there is none. */
struct lease *leases_find(const struct leases *t, const struct ref *ref);
/* The lease of this peer, lost ones included. */
struct lease *leases_find_of(const struct leases *t, const struct ref *ref, const struct peer *peer);
/* The other lease on the job of l, unless it is lost; NULL: there is none. */
struct lease *leases_twin(const struct leases *t, const struct lease *l);
/* ERR_LIMIT: LEASES_MAX leases live. ERR_NOMEM. peer must not hold the job already, and at most one
 * other peer may. peer_list is the list of leases of peer. */
int leases_grant(struct leases *t, const struct ref *ref, struct peer *peer, struct list *peer_list, struct upload *u,
                 uint64_t now_ms, struct lease **lease) MUST_CHECK;
/* The job was done by another peer. */
void leases_lose(struct leases *t, struct lease *l);
void leases_renew(struct leases *t, struct lease *l, uint64_t now_ms);
void leases_end(struct leases *t, struct lease *l); /* frees it */
/* The first lease whose deadline is at or before now; NULL: there is none. */
struct lease *leases_first_expired(const struct leases *t, uint64_t now_ms);
uint32_t lease_remaining_ms(const struct leases *t, const struct lease *l, uint64_t now_ms);
/* When the first lease expires, in clock_ms; UINT64_MAX: there is none. */
uint64_t leases_next_ms(const struct leases *t);

#endif
