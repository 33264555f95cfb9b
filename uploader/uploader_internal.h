/*
 * What the files of the uploader's core share: its state, and who does what with it.
 *
 *   uploader.c   life, the loop and its phases, drain and end
 *   intake.c     offers and the consumer's messages come in: only facts are noted
 *   outbox.c     what must be told to the consumer goes out, in the order COMPLETE, RELEASE, CLAIM, PARTS, HEARTBEAT
 *   transfers.c  tasks start, end, are retried, given back, cancelled; deadlines
 *   shared.c     what the fleet asks of this uploader: slots, bytes a second, requests a second
 *   events.c     what people and programs read about it
 */
#ifndef CHUNKLIFT_UPLOADER_INTERNAL_H
#define CHUNKLIFT_UPLOADER_INTERNAL_H

#include "runtime/session.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/leases.h"
#include "uploader/limiter.h"
#include "uploader/offer_sockets.h"
#include "uploader/pace.h"
#include "uploader/releases.h"
#include "uploader/reports.h"
#include "uploader/retry.h"
#include "uploader/settings.h"
#include "uploader/source/fetch.h"
#include "uploader/source/source.h"
#include "uploader/tasks.h"
#include "uploader/token_bucket.h"
#include "uploader/trials.h"
#include "uploader/troubles.h"

#define UNKNOWN_MAX 32

struct uploader {
    const struct settings *settings;
    struct session *session;
    struct http *http;
    struct backend *file, *s3; /* NULL: no such destination is allowed */
    struct roots *roots;
    struct fetches *fetches;
    uint64_t prefetched_bytes; /* at most, of tasks that wait for a slot */

    struct offer_sockets offer_sockets;
    struct frame frame;
    struct tasks tasks;
    struct limiter limiter;
    uint32_t slots_max; /* by the limit of open files */
    struct reports reports;
    struct releases releases;

    struct pace pace;
    enum job_kind last_kind; /* offered: what the next ones are likely to be */
    struct store_endpoints endpoints;
    struct retry_budget budget;
    struct trials trials;
    struct troubles troubles;
    uint64_t random_state;

    struct token_bucket bucket; /* body bytes, of all backends */
    uint64_t share;             /* of the fleet's budget, bytes a second; 0 no limit */
    bool held_told;             /* that bytes have to wait */
    bool too_many;              /* jobs held, since the slots became fewer */

    struct sent_log sent;
    uint64_t epoch;
    uint64_t beat_ms, beat_number; /* last HEARTBEAT */
    bool beat_wanted;
    bool ask_again; /* some lease waits to be claimed as held */

    uint64_t now_ms;  /* of this turn */
    uint64_t tick_ms; /* when timers are looked at next */
    uint64_t sent_bytes, retries;
    bool started; /* a transfer, in this turn: its backend wants a step before any sleep */
    bool draining, over;
    uint64_t drain_ms; /* when draining began */
    uint64_t idle_ms;  /* draining: when a task was last there */
    int status;
    bool journal_said, silence_said;
    uint64_t unknown[UNKNOWN_MAX]; /* hashes of producers' addresses whose keys are not known, and were said */
    size_t unknown_count;
};

/* --- uploader.c --- */
/* wanted, 0 for what the settings say, as far as descriptors allow. */
uint32_t capacity_slots(const struct uploader *u, uint32_t wanted);
/* Connections to stores that may stay open without a transfer. */
uint32_t capacity_idle_connections(const struct uploader *u);
/* How many jobs of this kind it would claim now. */
uint32_t capacity_free_slots(const struct uploader *u, enum job_kind kind);
void uploader_end(struct uploader *u, int status);

/* --- intake.c --- */
void intake_offers(struct uploader *u);
void intake_messages(struct uploader *u);
/* Draining: what is on its way goes back to its producers, for a moment; then no more comes. */
void intake_end_offers(struct uploader *u, uint64_t *wake_ms);

/* --- outbox.c --- */
void outbox_send(struct uploader *u);
bool outbox_is_waiting(const struct uploader *u);
uint64_t outbox_deadline(const struct uploader *u); /* of the next HEARTBEAT */

/* --- transfers.c --- */
void transfers_grant(struct uploader *u, struct entry *e, uint64_t asked_ms, uint32_t lease_ms, int64_t since_us);
void transfers_parts_complete(struct uploader *u, struct entry *e);
/* Stops it, wherever it is; its result will never be known. why WHY_NONE: nothing is told to the consumer. */
void transfers_drop(struct uploader *u, struct entry **e, enum why why, uint32_t after_ms, const char *detail);
void transfers_abort_own(struct uploader *u, const struct result *begin);
/* What ended is reported or retried; what a slot is free for starts. */
void transfers_end(struct uploader *u);
void transfers_start(struct uploader *u);
/* What waited for its producer and has what it needs starts. */
void transfers_sources(struct uploader *u);
/* Notes for its lease what e did. */
void transfers_look(struct uploader *u, struct entry *e);
/* Deadlines and waits; returns when it wants to be called again. */
uint64_t transfers_tick(struct uploader *u);
void transfers_drain(struct uploader *u);
/* Gives e back (WHY_DRAIN) when its transfer has not begun. */
void transfers_unwanted(struct uploader *u, struct entry *e);
struct store_endpoint *transfers_endpoint(struct uploader *u, const struct job *job);
/* Where the job goes, as troubles.h has it; empty: nowhere that is allowed here. */
struct slice job_location(const struct uploader *u, const struct job *job);

/* --- shared.c --- */
void fleet_limits_init(struct uploader *u);
void fleet_limits_apply(struct uploader *u, const struct msg_beat *b);
void fleet_limits_count_attempt(struct uploader *u, const struct entry *e); /* an attempt ended */
/* True while the fleet's brake for this endpoint is on and kept up to date. */
bool fleet_limits_is_braking(const struct uploader *u, const struct store_endpoint *e);
/* One request may start: 0; otherwise when to ask again. */
uint64_t fleet_limits_start_ms(struct uploader *u, struct store_endpoint *e);
/* How many jobs the fleet's brakes let it hold beyond those that run. */
uint32_t fleet_limits_request_room(const struct uploader *u);
/* Jobs that wait for a slot and are more than there will be slots for soon go back at once. */
void transfers_trim(struct uploader *u);
/* What fails for longest while it is retried, with its cause, and for how long. 0: nothing is, text is empty. */
#define STORE_OUTAGE_SIZE 320
uint64_t store_endpoints_outage(const struct uploader *u, char text[STORE_OUTAGE_SIZE]);
size_t fleet_limits_report(struct uploader *u, struct endpoint_use uses[PROTO_ENDPOINTS_MAX]);
void fleet_limits_watch(struct uploader *u);
void fleet_limits_reported(struct uploader *u);

/* --- events.c --- */
void event_report(const struct uploader *u, const struct result *r);
void event_ack(const struct ack *a);
void event_retry(const struct uploader *u, const struct entry *e, uint32_t wait_ms);
/* What is known of a place changed: this host may be out for it. */
void event_trouble(const struct uploader *u, struct slice place);
void event_drop(const struct uploader *u, const struct entry *e, enum why why, const char *detail);
/* The results nobody acknowledged, named before an end without the consumer. */
void event_lost(const struct uploader *u);

#endif
