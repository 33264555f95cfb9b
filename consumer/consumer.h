/*
 * The consumer without its socket. Frames come in by consumer_take, replies go out by `send`, and
 * the caller gives the time. serve.c runs it on a ROUTER socket; unit tests run it without one.
 *
 * A round (rule 3) is any number of consumer_take, then one consumer_round:
 *   take   COMPLETE, HEARTBEAT, RELEASE, HELLO, BYE, PARTS, STATUS, SET and FORGET are handled.
 *          TAIL, PLAN and CLAIM wait for the round.
 *   round  1. commit the records, send the replies
 *          2. answer TAILs, expire leases, drop dead peers, divide the fleet's limits
 *          3. handle the PLANs, then the CLAIMs
 *          4. commit again, send their replies
 *
 * Invariants
 *  1. Handlers append records and apply them to the state at once. Replies are queued, and only
 *     ledger_flush sends them, after a commit (rule 8).
 *  2. When the journal fails the process ends. So no peer ever sees a state that is ahead of the
 *     disk.
 *
 * Bounds: PEERS_MAX, PRODUCERS_MAX, LEASES_MAX, UPLOADS_MAX, EVENTS_MAX, RECENT_*, RECENTLY_ENDED_MAX,
 * REMOVALS_*, ROUND_*.
 */
#ifndef CHUNKLIFT_CONSUMER_H
#define CHUNKLIFT_CONSUMER_H

#include "consumer/consumer_options.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stdint.h>

struct consumer;

/* Opens the journal and rebuilds the state. Errors are those of journal_open, logged. */
int consumer_new(struct consumer **c, const struct consumer_options *o, uint64_t now_ms) MUST_CHECK;
void consumer_destroy(struct consumer **c);

/* All processes that could hold a lease of the last epoch are dead: there is no grace period (rule
 * 6). */
void consumer_skip_grace(struct consumer *c);

/* Takes the content of f over; f is empty afterwards. An error means that the process must end
 * (consumer_farewell). */
int consumer_take(struct consumer *c, struct frame *f, uint64_t now_ms) MUST_CHECK;
/* True: this round took as much as it may, and must be finished first. */
bool consumer_is_full(const struct consumer *c);
/* Checks that the journal on disk is still the opened one. ERR_LOST or an error of the system,
 * logged: the process must end. */
int consumer_check_journal(struct consumer *c) MUST_CHECK;
/* drained_ms: when the reading began that left the socket empty; 0 when it was not read until
 * empty. Only leases that were over before that time expire. An error means that the process must
 * end. */
int consumer_round(struct consumer *c, uint64_t drained_ms, uint64_t now_ms) MUST_CHECK;
/* The roles of keys changed: peers whose key lost their role are dropped, with their leases and
 * plans. */
int consumer_recheck_keys(struct consumer *c, uint64_t now_ms) MUST_CHECK;
/* True: replies are kept short from now on, because too many bytes wait for peers that do not
 * read. */
void consumer_set_short_replies(struct consumer *c, bool short_replies);
/* The process did not run for so long: every lease is extended by that (rule 3). */
void consumer_extend_leases(struct consumer *c, uint64_t ms);
/* When consumer_round must be called at the latest, in clock_ms; UINT64_MAX: never. */
uint64_t consumer_deadline_ms(struct consumer *c, uint64_t now_ms);

/* No further grants. */
void consumer_drain(struct consumer *c);
/* True when no producer or uploader needs this consumer: the last one said BYE, or none was heard
 * for silence_ms. */
bool consumer_is_deserted(const struct consumer *c, uint64_t silence_ms, uint64_t now_ms);
/* Commits, writes `stop` when no lease lives, not even an unknown one of the last epoch, and no
 * request to remove an object may be under way (then *clean), tells all peers, and saves a snapshot. */
int consumer_stop(struct consumer *c, bool *clean) MUST_CHECK;
/* Tells all peers that the journal cannot be written. Queued replies are dropped. */
void consumer_farewell(struct consumer *c);

const struct journal *consumer_journal(const struct consumer *c);
size_t consumer_lease_count(const struct consumer *c);
const struct peers *consumer_peers(const struct consumer *c);
/* True while holders of the last epoch may still work. */
bool consumer_is_in_grace(const struct consumer *c, uint64_t now_ms);

#endif
