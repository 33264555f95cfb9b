/*
 * The supervisor's state, shared by its files. Internal to producer/cli/.
 *
 *   supervise.c            start, turn and end of all processes
 *   supervise_consumer.c   the consumer: started when none serves the journal, restarted after a crash or an outage
 *   supervise_uploaders.c  the uploaders: as many as wanted, restarted after a crash
 */
#ifndef CHUNKLIFT_SUPERVISE_INTERNAL_H
#define CHUNKLIFT_SUPERVISE_INTERNAL_H

#include "producer/cli/arguments.h"
#include "producer/cli/supervise_options.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/proto.h"
#include <sys/types.h>

#define POSITIONS (2 * PROTO_UPLOADERS_MAX) /* for uploaders: as many as run may still be leaving */

struct child {
    pid_t pid;   /* 0: none */
    int channel; /* -1: none */
    bool wanted; /* an uploader has to run in this position */
    unsigned restarts;
    uint64_t span_start_ms, start_at_ms;
};

struct supervisor {
    struct supervise_options o;
    struct buf consumer_program, uploader_program, log_path;
    struct child consumer;
    unsigned consumer_tries;
    uint64_t consumer_look_ms, silent_since_ms;
    uint64_t outage_since_ms; /* since when the journal's disk fails; 0: it does not */
    bool was_connected;
    char journal[ID_HEX_SIZE]; /* the journal of this run; empty: not known yet */
    bool given_up;             /* no result will be acknowledged any more */
    bool journal_is_lost;
    off_t log_start; /* size of the consumer's log when it was started */
    struct child uploaders[POSITIONS];
    bool many_jobs; /* work for more than one uploader */
    bool draining;  /* uploaders end, and none is started */
    bool stopping;  /* no consumer is started either */
    bool killed;    /* the uploaders were killed */
};

/* Runs the next statement for each position. u: the name of a pointer to it. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a declared name cannot be in parentheses */
#define FOR_EACH_POSITION(u, s)                                                                                        \
    for (__typeof__(&(s)->uploaders[0]) u = (s)->uploaders; u < (s)->uploaders + POSITIONS; u++)
/* NOLINTEND(bugprone-macro-parentheses) */

/* No process and no channel. */
static inline void supervisor_clear(struct supervisor *s) {
    *s = (struct supervisor){.consumer.channel = -1};
    FOR_EACH_POSITION (u, s)
        u->channel = -1;
}

/* ---- supervise_consumer.c ---- */

/* Does any consumer serve the journal directory? The lock on the directory tells: unlike the pid in DIR/consumer it
 * cannot remain after a crash or a reboot. */
bool consumer_is_running(const struct supervisor *s);
/* Its consumer ended with this status (waitpid). ERR_UNREACHABLE: the run ends (logged). */
int consumer_handle_end(struct supervisor *s, int status, uint64_t now_ms) MUST_CHECK;
/* Starts a consumer when it is due. Errors as in supervisor_step. */
int consumer_service(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* ---- supervise_uploaders.c ---- */

/* Starts the first uploader and waits until it has checked its settings and credentials; one that is killed is started
 * again. ERR_USAGE, ERR_UNREACHABLE: logged, unless a stop request ended the wait. */
int uploaders_check(struct supervisor *s) MUST_CHECK;
int uploader_handle_end(struct supervisor *s, struct child *u, int status, uint64_t now_ms) MUST_CHECK;
int uploaders_service(struct supervisor *s, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;
void uploaders_signal(struct supervisor *s, int number);
/* Nothing more is offered to them. */
void uploaders_close_channels(struct supervisor *s);

#endif
