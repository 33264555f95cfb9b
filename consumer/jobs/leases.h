/*
 * The lease table: who may do which job until when. In memory only; a restart forgets it (rule 6 is what makes that
 * safe).
 *
 * Time here is the table's own: boot time less the time in which the consumer stood still (rule 3), so that standing
 * still is added to every lease at once. All leases last equally long and are renewed to the end of one list: the list
 * is in order of deadline, and expiry looks at its front only.
 *
 * A chunk may have two leases, of two peers (rule 12). A lease whose job was done by somebody else is lost: it stays
 * until its holder gave it back or its time is over, for until then its holder may be writing.
 *
 * Every lease is on the list of its peer, and, unless it is a `stat` (which stands in nobody's way), on that of its
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
    struct upload *upload; /* NULL: head */
    uint64_t deadline_ms;  /* the table's time */
    uint64_t granted_ms;   /* the same */
    uint64_t bytes;        /* moved so far, as the holder said */
    uint64_t moved_ms;     /* the table's time when that changed last */
    bool second;           /* given while another one on the same job lived (rule 12) */
    bool lost;             /* its job has its record by another's hand: not renewed any more, and no job of its own */
};

struct leases {
    struct hash_table by_ref;
    struct list by_age;
    uint32_t lease_ms;
    uint64_t stood_still_ms;
    uint32_t seconds; /* of them: second ones */
};

void leases_init(struct leases *t, uint32_t lease_ms);
void leases_release(struct leases *t);

static inline uint64_t leases_time(const struct leases *t, uint64_t now_ms) {
    return now_ms > t->stood_still_ms ? now_ms - t->stood_still_ms : 0;
}

/* A live lease on this job, not a lost one; of two, any. NULL: nobody has it. */
struct lease *leases_find(const struct leases *t, const struct ref *ref);
/* This peer's, also a lost one. */
struct lease *leases_find_of(const struct leases *t, const struct ref *ref, const struct peer *peer);
/* The one of somebody else, not a lost one; NULL when l is the only one. */
struct lease *leases_twin(const struct leases *t, const struct lease *l);
/* ERR_LIMIT: LEASES_MAX live. This peer must not hold the job, and at most one other may; peer_list is the peer's. */
int leases_grant(struct leases *t, const struct ref *ref, struct peer *peer, struct list *peer_list, struct upload *u,
                 uint64_t now_ms, struct lease **lease) MUST_CHECK;
/* Done by somebody else. */
void leases_lose(struct leases *t, struct lease *l);
void leases_renew(struct leases *t, struct lease *l, uint64_t now_ms);
void leases_end(struct leases *t, struct lease *l); /* frees it */
/* The first whose deadline is at or before now; NULL when none is. */
struct lease *leases_first_over(const struct leases *t, uint64_t now_ms);
uint32_t lease_remaining_ms(const struct leases *t, const struct lease *l, uint64_t now_ms);
/* When the first one ends, in clock_ms; UINT64_MAX when there is none. */
uint64_t leases_next_ms(const struct leases *t);

#endif
