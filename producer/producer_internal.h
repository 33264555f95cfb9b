/*
 * The producer's turn: sockets and time around the planner. Internal to producer/.
 *
 *   producer.c      start and end, the phases of a turn
 *   conversation.c  messages to and from the consumer
 *   offering.c      OFFERs to the uploaders
 */
#ifndef CHUNKLIFT_PRODUCER_INTERNAL_H
#define CHUNKLIFT_PRODUCER_INTERNAL_H

#include "producer/data/server.h"
#include "producer/planner.h"
#include "pure/deadline.h"
#include "runtime/session.h"

struct producer {
    struct planner planner;
    struct session *session;
    struct endpoint *jobs;
    struct buf jobs_address, data_address; /* where they are bound; data: empty for the default */
    struct data_server *data;
    char *journal_dir, *consumer;
    uint64_t consumer_wait_ms, started_ms;

    bool welcomed, silence_reported, offers_blocked;
    bool conversation_blocked;                        /* the session's socket was full in this turn */
    bool tail_answered;                               /* since the last WELCOME: the fleet is known */
    uint64_t tail_number, tail_sent_ms, tail_wait_ms; /* number 0: no TAIL is outstanding */
    uint64_t tail_seq, tail_event;
    bool set_wanted; /* a SET of bwlimit has no answer yet: nothing is planned before */
    uint64_t bwlimit, set_number, set_sent_ms;
    char *timetable;                  /* to set instead of bwlimit; NULL: none */
    bool drain_announced;             /* the outstanding TAIL announces the drain */
    bool drain_confirmed;             /* the consumer answered it: it grants no job of this producer any more */
    bool drain_is_over;               /* the consumer has not answered for drain_for_ms */
    uint64_t drain_for_ms, absent_ms; /* absent_ms: since when it does not answer during a drain; 0: it does */
    struct buf frame;
    char trouble[256];
};

/* ---- conversation.c ---- */

/* Handles a bounded number of messages. */
int conversation_read(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;
/* Reports a consumer that does not answer. ERR_UNREACHABLE: it never did within consumer_wait_ms. */
int conversation_watch_silence(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;
/* Sends the requests that are due: SET, PLAN, TAIL. Called while the session is connected. */
int conversation_ask(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* ---- offering.c ---- */

/* Sends the offers that are due. Called while the fleet is known. */
int offering_send(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

#endif
