/*
 * The consumer without its socket: frames go in, frames come out through `send`, time is what the caller says. serve.c
 * runs it on a ROUTER; tests run it on nothing.
 *
 * A round (rule 3) is any number of consumer_take, then one consumer_round:
 *   take   COMPLETE, HEARTBEAT, RELEASE, HELLO, BYE, PARTS, STATUS are handled as they come; PLAN and CLAIM wait
 *   round  commit, ACKs leave · tails are answered · leases expire · PLAN, then CLAIM · commit, their answers leave
 * Handlers append records and apply them to the state at once; what they answer is gathered and leaves only after a
 * commit (consumer_flush is the only sender). When the journal fails the process ends, so a state that ran ahead of
 * the disk is never seen by anybody (rule 8).
 *
 * Bounds: see PEERS_MAX, PRODUCERS_MAX, LEASES_MAX, UPLOADS_MAX, EVENTS_MAX, RECENT_*, ENDED_MAX, ROUND_*.
 */
#ifndef CHUNKLIFT_CONSUMER_H
#define CHUNKLIFT_CONSUMER_H

#include "consumer/journal/journal.h"
#include "consumer/outbox.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stdint.h>

#define UPLOADS_MAX 100000             /* unfinished; more plans have to wait. Their memory: upload.h */
#define ROUND_FRAMES 4096              /* read in one round at most */
#define ROUND_BYTES ((size_t)32 << 20) /* the same in bytes */
#define LEASE_MS_MIN 200
#define LEASE_MS_DEFAULT 10000
#define LEASE_MS_MAX 3600000

enum happening {
    HAPPENED_JOINED,
    HAPPENED_LEFT,
    HAPPENED_VANISHED,
    HAPPENED_REVOKED,
    HAPPENED_EXPIRED,
    HAPPENED_SECOND
};

struct consumer_options {
    const char *dir;
    struct id128 journal; /* the only one to serve; zero: any, also a new one */
    uint32_t lease_ms;
    uint64_t rotate_bytes;       /* 0: the journal's default */
    bool no_brakes;              /* each uploader brakes for itself */
    const struct journal_io *io; /* NULL: the real calls */
    send_frame *send;
    /* Something worth telling; NULL: nobody listens. job is NULL but for HAPPENED_EXPIRED and
     * HAPPENED_SECOND. */
    void (*happened)(void *arg, enum happening what, const struct peer *peer, const struct ref *job);
    /* It reads nothing: an answer that costs much is not made for it. NULL: everybody reads. */
    bool (*deaf)(void *arg, const void *route, size_t len);
    /* The trust_roles of a key now; of the empty one too. NULL: everybody has all. */
    unsigned (*roles)(const struct curve_key *key);
    bool no_second_lease; /* rule 12 is off */
    void *arg;            /* of send, happened and deaf */
};

struct consumer;

/* Opens the journal and rebuilds the state. Errors are journal_open's, logged. */
int consumer_new(struct consumer **c, const struct consumer_options *o, uint64_t now_ms) MUST_CHECK;
void consumer_destroy(struct consumer **c);

/* Everybody who could hold a lease of the last epoch is known to be dead: nobody has to wait for them (rule 6). */
void consumer_skip_grace(struct consumer *c);

/* Takes the frame's content over (f is empty afterwards). Only a journal or memory failure that leaves no way on is an
 * error: then the process must end (consumer_farewell). */
int consumer_take(struct consumer *c, struct frame *f, uint64_t now_ms) MUST_CHECK;
/* True when this round took what it may: finish it first. */
bool consumer_is_full(const struct consumer *c);
/* Is the journal on disk still the one that was opened? Otherwise ERR_LOST or what the system said, logged: the process
 * must end. */
int consumer_check_journal(struct consumer *c) MUST_CHECK;
/* drained_ms: when the reading began that left the socket empty, 0 when it was not read until empty. Only leases that
 * were over before that expire. */
int consumer_round(struct consumer *c, uint64_t drained_ms, uint64_t now_ms) MUST_CHECK;
/* Some key may do less than before: peers that are not what they say any more are gone, with their leases and plans. */
int consumer_recheck_keys(struct consumer *c, uint64_t now_ms) MUST_CHECK;
/* Answers that can be shorter are, from now on: too much waits for peers that do not read theirs. */
void consumer_be_brief(struct consumer *c, bool brief);
/* The consumer was stopped, suspended or busy for so long: every lease gets it (rule 3). */
void consumer_stood_still(struct consumer *c, uint64_t ms);
/* When consumer_round wants to be called at the latest; UINT64_MAX: no need. */
uint64_t consumer_deadline_ms(struct consumer *c, uint64_t now_ms);

/* Nothing is granted any more. */
void consumer_drain(struct consumer *c);
/* True when nobody needs a consumer that was started for them: the last producer or uploader said BYE, or none was
 * heard for silence_ms. */
bool consumer_is_deserted(const struct consumer *c, uint64_t silence_ms, uint64_t now_ms);
/* Commits, writes `stop` when no lease lives, not even one of the last epoch that we do not know of (then *clean),
 * saves a snapshot, tells everybody. */
int consumer_stop(struct consumer *c, bool *clean) MUST_CHECK;
/* Tells everybody that the journal is lost to us. Nothing else of this round leaves. */
void consumer_farewell(struct consumer *c);

const struct journal *consumer_journal(const struct consumer *c);
size_t consumer_lease_count(const struct consumer *c);
/* For whoever writes down who could hold leases. */
const struct peers *consumer_peers(const struct consumer *c);
/* True while former holders of leases may still be at work. */
bool consumer_is_in_grace(const struct consumer *c, uint64_t now_ms);

#endif
