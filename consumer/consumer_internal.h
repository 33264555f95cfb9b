/*
 * What the consumer's handlers share. For the files of this folder only; everybody else uses consumer.h.
 *
 * A handler is called with a known peer whose role fits. It reports an error only when the process must end; what is
 * wrong with a message is answered or counted, and memory that is out means that one answer is missing, which its
 * peer asks for again.
 */
#ifndef CHUNKLIFT_CONSUMER_CORE_H
#define CHUNKLIFT_CONSUMER_CORE_H

#include "consumer/consumer.h"
#include "consumer/events.h"
#include "consumer/fleet/fleet.h"
#include "consumer/fleet/stragglers.h"
#include "consumer/jobs/leases.h"
#include "consumer/jobs/plans.h"
#include "consumer/jobs/refusals.h"
#include "consumer/peers.h"
#include "consumer/recent.h"
#include "consumer/state/snapshot.h"
#include "consumer/state/snapshot_file.h"
#include "consumer/state/snapshot_writer.h"
#include "consumer/state/state.h"
#include "pure/trust.h"

/* What one answer may carry, so that it always fits into a frame; and while answers are to be brief, so that it stays
 * under UNSENT_SMALL. */
#define ANSWER_BYTES ((size_t)700 << 10)
#define LINES_BYTES ((size_t)256 << 10)
#define EVENTS_BYTES ((size_t)256 << 10)
#define ERROR_TEXT_MAX 768 /* bytes of a `fail` record's error */
#define BRIEF_BYTES ((size_t)14 << 10)

struct waiting { /* a message that waits for its turn in the round */
    struct frame frame;
    struct msg msg;
};
struct waiting_list {
    struct waiting *items;
    size_t count, cap;
};

struct book {                      /* kept for each producer's place */
    uint64_t last_seq, last_event; /* of what concerns it */
    uint64_t uploads;              /* unfinished ones it planned */
    uint64_t again_bytes, moving_bytes;
};

struct consumer {
    struct consumer_options o;
    struct id128 self;
    struct journal *journal;
    struct state state;
    struct leases leases;
    struct stragglers stragglers;
    struct peers peers;
    struct events events;
    struct recent recent;
    struct refusals refusals;
    struct saver saver;
    struct outbox outbox;
    struct book books[PRODUCERS_MAX];
    struct plans planned;
    struct fleet_limits fleet;
    struct waiting_list plans, claims;
    uint64_t now_ms;         /* of the message being handled */
    uint64_t grace_until_ms; /* leases' time: no grants of inherited uploads before, 0 no grace */
    uint64_t adopt_until_ms; /* leases' time: leases of the last epoch are taken over until then */
    uint64_t member_heard_ms, ticked_ms, moving_ms; /* leases' time */
    uint64_t retries;                               /* of all uploaders since our start */
    uint64_t complained_ms;                         /* to strangers */
    uint64_t complaints_since_ms, complaints;       /* considered since then */
    uint64_t rotations, undecodable;
    size_t taken_frames, taken_bytes;
    size_t members; /* producers and uploaders */
    size_t tail_turn;
    bool draining, failed, said_bye, more, brief;
    struct buf lines; /* of the RECORDS being made */
    struct slow_job { /* rule 12: leases that may be given a second time, looked for at each tick */
        struct ref ref;
        uint64_t producers;
    } slow[SECOND_LEASES_MAX];
    size_t slow_count;
    struct ref slow_refs[SECOND_LEASES_MAX]; /* of the RECORDS being made */
    struct event *event_list;                /* of the same, EVENT_LIST_MAX */
};

/* ---- core.c: what every handler does ---- */

static inline uint64_t core_time(const struct consumer *c) {
    return leases_time(&c->leases, c->now_ms);
}

static inline size_t core_room(const struct consumer *c, size_t usual_bytes) {
    return c->brief && usual_bytes > BRIEF_BYTES ? BRIEF_BYTES : usual_bytes;
}

/* It will ask again, should it begin to read. */
static inline bool core_is_deaf(const struct consumer *c, const struct peer *peer) {
    return c->o.deaf && c->o.deaf(c->o.arg, peer->route.bytes, peer->route.len);
}

/* Who is behind a key may do so much, whatever it says about itself. */
static inline unsigned core_key_roles(const struct consumer *c, const struct curve_key *key) {
    return c->o.roles ? c->o.roles(key) : TRUST_PRODUCER | TRUST_UPLOADER | TRUST_READER | TRUST_OPERATOR;
}

static inline bool core_key_may_be(const struct consumer *c, const struct curve_key *key, enum role role) {
    unsigned wanted = role == ROLE_PRODUCER   ? TRUST_PRODUCER
                      : role == ROLE_UPLOADER ? TRUST_UPLOADER
                                              : TRUST_READER | TRUST_OPERATOR; /* an operator is a reader that acts */
    return (core_key_roles(c, key) & wanted) != 0;
}

/* Limits of the whole fleet, and what the journal forgets. */
static inline bool core_key_may_operate(const struct consumer *c, const struct curve_key *key) {
    return (core_key_roles(c, key) & TRUST_OPERATOR) != 0;
}

/* Others see what is theirs. */
static inline bool core_sees_all(const struct consumer *c, const struct peer *peer) {
    return core_key_may_be(c, &peer->key, ROLE_READER);
}

/* Appends r and applies it. producers: whom it concerns. ERR_INVALID: it can never be a line, nothing happened. Any
 * other error: the process must end. Uploads may be gone afterwards. */
int core_append(struct consumer *c, struct record *r, uint64_t producers) MUST_CHECK;
/* Commits what was appended and sends what was answered. */
int core_flush(struct consumer *c) MUST_CHECK;
/* Everything appended must be committed. A failure is only said: a snapshot is a cache. The first blocks until it is
 * written, the second leaves it to a child. */
void core_save_snapshot(struct consumer *c);
void core_begin_snapshot(struct consumer *c);
/* Gathers an answer; journal and sender are filled in. Flushes when much was gathered. */
int core_answer(struct consumer *c, const struct route *to, struct msg *m) MUST_CHECK;
int core_answer_error(struct consumer *c, const struct route *to, uint64_t number, enum protocol_error code,
                      const char *text) MUST_CHECK;
/* worker may be NULL. */
void core_event(struct consumer *c, const struct event *e, uint64_t producers);
/* The producers that an upload concerns; all when nothing is known about it. */
uint64_t core_producers_of(const struct consumer *c, const struct id128 *upload);
void core_note_again(struct consumer *c, uint64_t producers, uint64_t bytes);
/* peer's producer has planned u. */
void core_own(struct consumer *c, struct upload *u, const struct peer *producer);
bool core_in_grace(const struct consumer *c, const struct upload *u);
bool core_may_adopt(const struct consumer *c);
/* With keys: does a present producer of another key want u? */
bool core_is_anothers(const struct consumer *c, const struct upload *u, const struct peer *producer);

/* Ends a lease that was given back or ran out: the event, and what it was the last obstacle for (core_settle). */
int core_lease_lost(struct consumer *c, struct lease *l, const struct event *e) MUST_CHECK;
/* u lost a lease or a producer: a superseded upload without an intent is aborted, a plan that nobody wants any more is
 * dropped. u may be gone afterwards. */
int core_settle(struct consumer *c, struct upload *u) MUST_CHECK;
/* The producers of u, and those of the upload that waits for u to end. */
uint64_t core_concerned(const struct consumer *c, const struct upload *u);
/* Rule 10: the intent; the round's commit stands before anything may be made at the destination. */
int core_record_open(struct consumer *c, struct upload *u) MUST_CHECK;
/* The `fail` record of an upload, once for each class until it is planned again; *seq is 0 when there was one. An error
 * as core_append's. */
int core_record_fail(struct consumer *c, const struct id128 *upload, enum fail_class class, struct slice error,
                     uint64_t *seq) MUST_CHECK;
int core_append_abort(struct consumer *c, const struct upload *u, const char *reason) MUST_CHECK;

/* ---- one handler a message ---- */

int hello_handle(struct consumer *c, const struct msg *m, const struct route *from,
                 const struct curve_key *key) MUST_CHECK;         /* hello.c */
int bye_handle(struct consumer *c, struct peer *peer) MUST_CHECK; /* hello.c */
/* The peer is gone: its leases end, its plans lose an owner. */
int peer_drop(struct consumer *c, struct peer *peer) MUST_CHECK; /* hello.c */
size_t hello_local_jobs(const struct consumer *c, const struct peer *uploader, struct slice *jobs);

int heartbeat_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK; /* heartbeat.c */
int release_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;   /* heartbeat.c */
int expire_leases(struct consumer *c, uint64_t drained_ms) MUST_CHECK;                       /* heartbeat.c */

int complete_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK; /* complete.c */
int plan_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;     /* plan.c */
int claim_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;    /* claim.c */
/* claim.c: rule 12, may this lease's job have a second one? */
bool claim_is_slow(const struct consumer *c, const struct lease *l);
/* claim.c: may this job go on under its holder from before our start? */
bool claim_is_adoptable(const struct upload *u, const struct ref *ref);
int parts_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;  /* parts.c */
int status_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK; /* status.c */
int forget_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;

/* stops.c: every producer of u was told to stop. */
bool stops_upload(const struct consumer *c, const struct upload *u);
/* This one was; uploaders hear which of their leases must not begin. */
int stops_begin(struct consumer *c, struct peer *producer) MUST_CHECK;

int tail_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK; /* tail.c */
/* Answers those whose time has come, a bounded amount of disk reads; c->more when some must wait for the next round. */
int tail_answer_due(struct consumer *c) MUST_CHECK;
uint64_t tail_deadline_ms(const struct consumer *c);

#endif
