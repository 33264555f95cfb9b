/*
 * The state of the uploader, and the functions that its files share:
 *
 *   setup.c               start and end of an uploader
 *   uploader.c            the loop and its phases, drain
 *   capacity.c            how many transfers, connections and claims
 *   intake.c              messages of the consumer are handled
 *   intake_offers.c       offers of the producers are taken or declined
 *   job_target.c          which jobs this uploader can serve, and where they go
 *   outbox.c              messages to the consumer, in the order COMPLETE, RELEASE, CLAIM, PARTS, HEARTBEAT
 *   fleet_limits.c        the consumer's limits for this uploader: slots, bytes a second, requests a second
 *   events.c              log lines and JSON events
 *   tasks/transfers.c     tasks start, end, and time out
 *   tasks/task_source.c   a task's source is opened and prefetched
 *   tasks/task_retry.c    a failed attempt: another one, a release, or the end
 *   tasks/task_end.c      a task leaves: its report, its release
 *
 * policy/ holds the pure decisions (retries, limits, leases), http/ the HTTP engine, source/ the bytes to send, aws/ the
 * credentials, and file/ and s3/ one kind of destination each.
 */
#ifndef CHUNKLIFT_UPLOADER_INTERNAL_H
#define CHUNKLIFT_UPLOADER_INTERNAL_H

#include "runtime/session.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/offer_sockets.h"
#include "uploader/policy/auto_slots.h"
#include "uploader/policy/leases.h"
#include "uploader/policy/limiter.h"
#include "uploader/policy/pace.h"
#include "uploader/policy/retry.h"
#include "uploader/policy/store_endpoints.h"
#include "uploader/policy/token_bucket.h"
#include "uploader/policy/trials.h"
#include "uploader/policy/troubles.h"
#include "uploader/releases.h"
#include "uploader/reports.h"
#include "uploader/settings.h"
#include "uploader/source/fetch.h"
#include "uploader/source/source.h"
#include "uploader/tasks/tasks.h"

#define UNKNOWN_PRODUCERS_MAX 32
#define SOURCE_LOST_MS 1000 /* before a job of a silent producer is offered again */

struct uploader {
    const struct settings *settings;
    struct session *session;
    struct http *http;
    struct backend *file, *s3; /* NULL: no such destination is allowed */
    struct roots *roots;
    struct fetches *fetches;
    uint64_t prefetched_bytes; /* an upper bound, of tasks that wait for a slot */

    struct offer_sockets offer_sockets;
    struct frame frame;
    struct property_set *offered; /* the properties of the last OFFER */
    struct tasks tasks;
    struct limiter limiter;
    uint32_t slots_max;           /* by the limit of open files */
    uint32_t slots_given;         /* by SET; 0: as the settings say */
    struct auto_slots auto_slots; /* --slots auto */
    enum slots_why slots_why;
    uint64_t slots_ms, slots_grown_ms; /* when the number was computed, and when it was raised, last */
    struct reports reports;
    struct releases releases;

    struct pace pace;
    enum job_kind last_kind; /* of the last offer; the next ones are likely to be of the same kind */
    struct store_endpoints endpoints;
    struct retry_budget budget;
    struct trials trials;
    struct troubles troubles;
    uint64_t random_state;

    struct token_bucket bucket; /* body bytes, of all backends */
    uint64_t fleet_share;       /* of the fleet's bytes a second; 0: no limit */
    bool throttled_reported;    /* the last HEARTBEAT said that bytes have to wait */
    bool over_capacity;         /* more jobs may be held than there are slots for, since the slots became fewer */

    struct sent_log sent;
    uint64_t outbox_ms; /* when results or claims were sent last */
    uint64_t epoch;
    uint64_t heartbeat_ms, heartbeat_number; /* of the last HEARTBEAT */
    bool heartbeat_wanted;                   /* soon, not at the end of the interval */
    bool reclaim_wanted;                     /* at least one task has its `reclaim` set */

    uint64_t now_ms;  /* of this turn of the loop */
    uint64_t tick_ms; /* when deadlines are checked next */
    uint64_t sent_bytes, retries;
    bool transfer_started; /* in this turn: its backend gets a step before the loop sleeps */
    bool draining, ended;
    uint64_t drain_ms;     /* when draining began */
    uint64_t last_task_ms; /* draining: when there was a task last */
    int status;
    bool silence_logged; /* that the consumer does not answer */
    bool error_logged;   /* an ERROR of the consumer that does not end the uploader */
    /* hashes of addresses that were logged because their producers' keys are unknown */
    uint64_t unknown_producers[UNKNOWN_PRODUCERS_MAX];
    size_t unknown_producer_count;
};

/* --- uploader.c --- */
/* The loop ends after this turn. The first call decides the exit status. */
void uploader_end(struct uploader *u, int status);

/* --- capacity.c --- */
/* The transfers at a time when it starts. */
uint32_t capacity_slots_first(const struct uploader *u);
/* given: the transfers at a time that SET asks for; 0: as the settings say. */
void capacity_set_given(struct uploader *u, uint32_t given);
/* With --slots auto: computes the number again, at most once a millisecond. While the number can still grow, *wake_ms is
 * lowered to the next look. */
void capacity_follow(struct uploader *u, uint64_t *wake_ms);
/* Connections to stores that may stay open without a transfer. */
uint32_t capacity_idle_connections(const struct uploader *u);
/* How many jobs of this kind it can claim now. */
uint32_t capacity_free_slots(const struct uploader *u, enum job_kind kind);
/* Gives back the jobs that wait for a slot beyond the capacity, after the slots became fewer. */
void capacity_trim(struct uploader *u);

/* --- intake.c --- */
void intake_messages(struct uploader *u);

/* --- intake_offers.c --- */
void intake_offers(struct uploader *u);
/* Draining: offers that still arrive are declined for a moment, then the sockets are closed. */
void intake_end_offers(struct uploader *u, uint64_t *wake_ms);

/* --- job_target.c --- */
/* False: the job's fields contradict each other. They came over a socket and are not trusted. */
bool job_is_valid(const struct job *j);
/* The job belongs to a file that is split into chunks. */
bool job_has_geometry(enum job_kind kind);
/* NULL: this uploader can serve the job. Otherwise the reason, valid until the next call. fetchable: the job's bytes can
 * be fetched from the producer. */
const char *job_unservable_reason(const struct uploader *u, const struct job *j, const struct properties *p,
                                  bool fetchable);
/* NULL: none is allowed here. */
struct backend *job_backend(const struct uploader *u, const struct job *j);
/* Its source is a file under one of the roots. */
bool job_source_is_here(const struct uploader *u, const struct job *j);
/* The key of troubles.h: a store's endpoint, or the allowed destination that contains a file. Empty: none. */
struct slice job_location(const struct uploader *u, const struct job *j);
/* NULL: see store_endpoints_get. */
struct store_endpoint *job_endpoint(struct uploader *u, const struct job *j);

/* --- outbox.c --- */
void outbox_send(struct uploader *u);
bool outbox_is_waiting(const struct uploader *u);
uint64_t outbox_deadline(const struct uploader *u); /* of the next HEARTBEAT */

/* --- transfers.c --- */
void transfers_grant(struct uploader *u, struct task_entry *e, uint64_t asked_ms, uint32_t lease_ms, int64_t since_us);
void transfers_parts_complete(struct uploader *u, struct task_entry *e);
/* Aborts the multipart upload of a BEGIN that lost against another one (rule 10). */
void transfers_abort_own(struct uploader *u, const struct report *begin);
/* Handles the tasks that ended: reports, retries. */
void transfers_end(struct uploader *u);
/* Starts tasks while slots are free. */
void transfers_start(struct uploader *u);
/* Starts the tasks in SOURCE that have their first bytes. */
void transfers_sources(struct uploader *u);
/* Updates e's lease with the progress of its transfer. */
void transfers_note_progress(struct uploader *u, struct task_entry *e);
/* Checks all deadlines; returns when to call it again. */
uint64_t transfers_tick(struct uploader *u);
/* Gives back every task that has not started. */
void transfers_drain(struct uploader *u);
/* Gives e back (WHY_DRAIN) unless it has started. */
void transfers_unwanted(struct uploader *u, struct task_entry *e);

/* --- task_source.c --- */
/* Opens the source of *e: the file itself where it can be opened here, else the producer. A finish only checks that the
 * file is unchanged. False: the task has left, or waits for a descriptor. */
bool task_source_open(struct uploader *u, struct task_entry **e);
/* Handles the producer's answer about the whole source. False: it has ended the task. An error in single bytes appears
 * when they are read. */
bool task_source_handle_answer(struct uploader *u, struct task_entry **e);
/* Bytes that certainly have to be fetched start to come while the task waits for a slot. */
void task_source_prefetch(struct uploader *u, struct task_entry *e);
/* A task in QUEUED gets its source (more) or leaves the state; call it before that. */
void task_source_count_prefetch(struct uploader *u, const struct task_entry *e, bool more);
/* Gives *e back because its producer is silent: another uploader may reach it, or it comes back. */
void task_source_lost(struct uploader *u, struct task_entry **e, const char *why);

/* --- task_retry.c --- */
/* An attempt failed in a way that can pass. Decides about *e, which may leave. */
void task_retry(struct uploader *u, struct task_entry **e);
/* No byte of *e moved for a lease time, so its lease was not renewed. */
void task_retry_stalled(struct uploader *u, struct task_entry **e);
/* Notes a failure at e's location that can be this host's own. at_once: one failure is enough. */
void task_note_trouble(struct uploader *u, struct task_entry *e, bool at_once);

/* --- task_end.c --- */
/* Cancels *e and gives it back. WHY_NONE: nothing is sent to the consumer. */
void task_drop(struct uploader *u, struct task_entry **e, enum why why, uint32_t after_ms, const char *detail);
/* True: this host is out for the task's location, and *e was given back for another uploader. */
bool task_drop_for_trouble(struct uploader *u, struct task_entry **e);
/* Removes *e, which does not run at its backend, without a word to the consumer. */
void task_remove(struct uploader *u, struct task_entry **e);
void task_report(struct uploader *u, struct task_entry *e);
void task_report_failure(struct uploader *u, struct task_entry *e, enum fail_class class, const char *error);
/* Rule 11: reports records that do not count any more, and gives the finish back until they are made again. */
void task_report_redo(struct uploader *u, struct task_entry *e);

/* --- fleet_limits.c --- */
void fleet_limits_init(struct uploader *u);
void fleet_limits_apply(struct uploader *u, const struct msg_beat *b);
void fleet_limits_count_attempt(struct uploader *u, const struct task_entry *e); /* that ended */
/* The consumer limits the requests to this endpoint, and can be reached to change that. */
bool fleet_limits_is_braking(const struct uploader *u, const struct store_endpoint *e);
/* 0: one request may start, and is counted. Otherwise when to ask again. */
uint64_t fleet_limits_start_ms(struct uploader *u, struct store_endpoint *e);
/* How many jobs the request limits allow it to hold besides those that run. UINT32_MAX: no limit. */
uint32_t fleet_limits_request_room(const struct uploader *u);
size_t fleet_limits_report(struct uploader *u, struct endpoint_use uses[PROTO_ENDPOINTS_MAX]);
/* Requests a HEARTBEAT when bytes have to wait and the last one did not say so. */
void fleet_limits_watch(struct uploader *u);
void fleet_limits_reported(struct uploader *u); /* a HEARTBEAT was sent */

/* --- events.c --- */
void event_report(const struct uploader *u, const struct result *r);
void event_ack(const struct ack *a);
void event_retry(const struct uploader *u, const struct task_entry *e, uint32_t wait_ms);
/* The troubles of a location changed: this host may be out for it. */
void event_trouble(const struct uploader *u, struct slice location);
void event_drop(const struct uploader *u, const struct task_entry *e, enum why why, const char *detail);
/* Logs the results that were not acknowledged, before an end without the consumer. */
void event_lost(const struct uploader *u);

#endif
