/*
 * The jobs that were handed out (offered, leased, or to be offered again at a known time), and the window that limits
 * how many are offered. Implements rules 1 and 4. No sockets; the time is an argument.
 *
 *   (offers_add) ─▶ READY ─(offers_sent)─▶ OPEN ─(granted)─▶ LEASED
 *                     ▲                      │ │                │
 *                     ├──(rule 4: due)───────┘ └─(denied)──┐    │ (released, expired)
 *                     └──(due)───────── WAITING ◀──────────┴────┘
 *   offers_remove from any state: the job has its record, or its file left.
 *
 * Rule 1. Outstanding are the OPEN offers, and the READY ones that repeat an OPEN offer (the copy replaces it). The
 * window is fleet.share + 2 × grant rate × T, at least OFFERS_FLOOR when an uploader is known, at most
 * OFFERS_WINDOW_MAX. T is the smallest offer-to-grant time of the last 10 s plus TAIL_PACE_MS: the producer learns of a
 * grant from its tail, which is answered once in TAIL_PACE_MS, so an offer seems outstanding that much longer than it
 * is.
 *
 * Rule 4. An OPEN offer is repeated after max(100 ms, 4 × median offer-to-grant time), doubled each time up to 30 s, while
 * the fleet has a free slot: it waits in the queue of a busy uploader, or is lost. While nothing else is left to
 * offer, it is doubled three times at most. A new epoch also resets it: every file is planned again and its entries are removed.
 */
#ifndef CHUNKLIFT_OFFERS_H
#define CHUNKLIFT_OFFERS_H

#include "producer/files.h"
#include "pure/hash.h"
#include "pure/proto.h"

#define OFFERS_MAX 8192u        /* jobs known at a time, in any state */
#define OFFERS_WINDOW_MAX 4096u /* outstanding */
#define OFFERS_FLOOR 4u
#define OFFERS_AGAIN_MIN_MS 100u
#define OFFERS_AGAIN_MAX_MS 30000u
#define TAIL_PACE_MS 50u /* rule 13 */

enum offer_state { OFFER_FREE = 0, OFFER_READY, OFFER_OPEN, OFFER_LEASED, OFFER_WAITING };
enum offer_queue { QUEUE_URGENT, QUEUE_BULK, QUEUE_COUNT }; /* begin, finish, abort, stat · chunk, put, head, read */

struct offer {
    struct ref ref;
    struct file *file;
    enum offer_state state;
    bool repeat;               /* READY: it repeats an OPEN offer */
    bool until;                /* LEASED: a lease from PLANNED, of which only the end (due_ms) is known */
    uint64_t bytes;            /* of the job */
    uint64_t first_ms;         /* when it was offered first since the last grant or epoch */
    uint64_t offered_ms;       /* when it was last offered */
    uint64_t due_ms;           /* OPEN: to be repeated; WAITING: READY again; LEASED with until: the end */
    uint32_t times;            /* how often it was offered since the last grant or epoch */
    uint32_t refused;          /* consecutive releases and denials */
    uint64_t hedge_due_ms;     /* LEASED: no hedged offer before this time */
    uint32_t hedge_count;      /* hedged offers so far */
    struct offer *next, *prev; /* in a queue (READY) */
    struct hash_node by_ref;
};

#define OFFERS_SLICES 100u /* of 100 ms: 10 s */
#define OFFERS_TIMES 64u

struct offers {
    struct offer *pool; /* OFFERS_MAX */
    struct offer *free;
    struct hash_table by_ref;
    struct offer *first[QUEUE_COUNT], *last[QUEUE_COUNT];
    size_t used, outstanding, leased, ready_new; /* ready_new: READY, not a repeat */
    uint64_t leased_bytes;
    uint64_t due_ms; /* no entry is due before this time; UINT64_MAX: none is */
    uint64_t reoffered_ms;
    /* grants of the last 10 s, in slices of 100 ms */
    struct offers_slice {
        uint64_t slice; /* time / 100 ms: whether the entry is current */
        uint32_t grants, least_ms;
    } slices[OFFERS_SLICES];
    int32_t times_ms[OFFERS_TIMES]; /* the last offer-to-grant times */
    size_t times_at;                /* how many were noted */
    uint64_t median_ms;             /* of them */
    bool last_ones;                 /* nothing else is left to offer: doubled a few times only */
    size_t top;                     /* pool entries from this index on were never used */
};

int offers_init(struct offers *o) MUST_CHECK;
void offers_release(struct offers *o);

/* How many offers may be outstanding now (rule 1). */
size_t offers_window(const struct offers *o, const struct fleet *fleet, uint64_t now_ms);
/* How many more new jobs may become READY: room in the window and in the table. */
size_t offers_room(const struct offers *o, const struct fleet *fleet, uint64_t now_ms);

struct offer *offers_find(const struct offers *o, const struct ref *ref);
/* Adds an entry, READY at the end of its queue. ref must not be known. ERR_LIMIT: OFFERS_MAX are known. */
int offers_add(struct offers *o, const struct ref *ref, struct file *f, uint64_t bytes, struct offer **out) MUST_CHECK;
void offers_remove(struct offers *o, struct offer *offer);
/* Removes all entries of the file. */
void offers_forget_file(struct offers *o, const struct file *f);

void offers_sent(struct offers *o, struct offer *offer, uint64_t now_ms);
void offers_granted(struct offers *o, struct offer *offer, uint64_t now_ms);
/* A lease of which only the end is known. */
void offers_lease_until(struct offers *o, struct offer *offer, uint64_t until_ms);
/* READY again at due_ms, or at once if that has passed. */
void offers_wait(struct offers *o, struct offer *offer, uint64_t due_ms, uint64_t now_ms);

/* Makes the due entries READY. fleet_free: the fleet has a free slot (rule 4). */
void offers_collect_due(struct offers *o, uint64_t now_ms, bool fleet_free);
/* An uploader left, together with the offers that it had not read: OPEN offers are repeated soon. */
void offers_reoffer_soon(struct offers *o, uint64_t now_ms);
/* Rule 4: an uploader came, and the OPEN offers may be queued at busy ones: they are repeated now. At most once in
 * OFFERS_REOFFER_PAUSE_MS. */
#define OFFERS_REOFFER_PAUSE_MS 500
void offers_reoffer_now(struct offers *o, uint64_t now_ms);
/* When offers_collect_due has to run next; UINT64_MAX: no entry is due. */
uint64_t offers_deadline(const struct offers *o);

#endif
