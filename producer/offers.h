/*
 * The jobs that were handed out: offered, leased, or to be offered again at a known time; and the window that says how
 * many may be offered. Keeps rules 1 and 4; knows no sockets and takes the time as an argument.
 *
 *   (offers_add) ─▶ READY ─(offers_sent)─▶ OPEN ─(granted)─▶ LEASED
 *                     ▲                      │ │                │
 *                     ├──(rule 4: due)───────┘ └─(denied)──┐    │ (released, expired)
 *                     └──(due)───────── WAITING ◀──────────┴────┘
 *   offers_remove from any state: the job has its record, or its file left.
 *
 * Rule 1. Outstanding are the OPEN ones, and READY ones that are OPEN offers to be repeated (the copy takes the place).
 * The window is fleet.share + 2 × grant rate × T, at least OFFERS_FLOOR when an uploader is known, at most
 * OFFERS_WINDOW_MAX. T is the smallest offer-to-grant time of the last 10 s plus TAIL_PACE_MS: a grant is learned
 * from a tail that is answered once in that time, so an offer stays outstanding that much longer than it is in truth.
 *
 * Rule 4. An OPEN offer is repeated after max(1 s, 4 × median offer-to-grant), doubling to 30 s (not while nothing else
 * is left to offer), while the fleet shows a free place. (A new epoch has every file planned again, its entries
 * forgotten, and so resets the doubling.)
 */
#ifndef CHUNKLIFT_OFFERS_H
#define CHUNKLIFT_OFFERS_H

#include "producer/files.h"
#include "pure/hash.h"
#include "pure/proto.h"

#define OFFERS_MAX 8192u        /* jobs known at a time, in any state */
#define OFFERS_WINDOW_MAX 4096u /* outstanding */
#define OFFERS_FLOOR 4u
#define OFFERS_AGAIN_MIN_MS 1000u
#define OFFERS_AGAIN_MAX_MS 30000u
#define TAIL_PACE_MS 50u /* rule 13 */

enum offer_state { OFFER_FREE = 0, OFFER_READY, OFFER_OPEN, OFFER_LEASED, OFFER_WAITING };
enum offer_queue { QUEUE_URGENT, QUEUE_BULK, QUEUE_COUNT }; /* begin, finish, abort, head · chunk, put */

struct offer {
    struct ref ref;
    struct file *file;
    enum offer_state state;
    bool repeat;               /* READY: it is outstanding already */
    bool until;                /* LEASED: known to end by due_ms only (a lease told by PLANNED) */
    uint64_t bytes;            /* of the job */
    uint64_t offered_ms;       /* last time */
    uint64_t due_ms;           /* OPEN: repeat; WAITING: ready; LEASED with until */
    uint32_t times;            /* offered since the last grant or epoch */
    uint32_t refused;          /* released or denied in a row */
    uint64_t second_due_ms;    /* LEASED: not offered for a second lease before */
    uint32_t second_times;     /* so offered */
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
    size_t used, outstanding, leased, ready_new; /* ready_new: READY and not outstanding */
    uint64_t leased_bytes;
    uint64_t due_ms; /* no entry is due before; UINT64_MAX: none */
    uint64_t hastened_ms;
    /* grants of the last 10 s, in slices of 100 ms */
    struct offers_slice {
        uint64_t slice; /* time / 100 ms, tells whether the content is current */
        uint32_t grants, least_ms;
    } slices[OFFERS_SLICES];
    uint32_t times_ms[OFFERS_TIMES]; /* the last offer-to-grant times */
    size_t times_count, times_at;
    uint64_t median_ms; /* of them */
    bool last_ones;     /* there is nothing else to offer: repeated without doubling, for the end waits for them */
    size_t top;         /* entries of the pool from here on were never used */
};

int offers_init(struct offers *o) MUST_CHECK;
void offers_release(struct offers *o);

/* How many may be outstanding now (rule 1). */
size_t offers_window(const struct offers *o, const struct fleet *fleet, uint64_t now_ms);
/* How many more new jobs may be made READY: window, and room in the table. */
size_t offers_room(const struct offers *o, const struct fleet *fleet, uint64_t now_ms);

struct offer *offers_find(const struct offers *o, const struct ref *ref);
/* A new entry, READY at the end of its queue. ERR_LIMIT: OFFERS_MAX are known. The ref must not be known yet. */
int offers_add(struct offers *o, const struct ref *ref, struct file *f, uint64_t bytes, struct offer **out) MUST_CHECK;
void offers_remove(struct offers *o, struct offer *offer);
/* Removes all of the file's entries. */
void offers_forget_file(struct offers *o, const struct file *f);

void offers_sent(struct offers *o, struct offer *offer, uint64_t now_ms);
void offers_granted(struct offers *o, struct offer *offer, uint64_t now_ms);
/* A lease of which only the remaining time is known. */
void offers_lease_until(struct offers *o, struct offer *offer, uint64_t until_ms);
/* Not before due_ms; at once when that has passed. */
void offers_wait(struct offers *o, struct offer *offer, uint64_t due_ms, uint64_t now_ms);

/* Makes READY what is due. fleet_free: the fleet shows a free place (rule 4). */
void offers_collect_due(struct offers *o, uint64_t now_ms, bool fleet_free);
/* Somebody left, and what it had not read with it: OPEN ones are repeated soon. */
void offers_hurry(struct offers *o, uint64_t now_ms);
/* When offers_collect_due has something to do; UINT64_MAX: not before something happens. */
/* Rule 4: an uploader came, and what is outstanding may lie with others that are busy: offered again now. At most once
 * in OFFERS_HASTEN_MS. */
#define OFFERS_HASTEN_MS 500
void offers_hasten(struct offers *o, uint64_t now_ms);
uint64_t offers_deadline(const struct offers *o);
#endif
