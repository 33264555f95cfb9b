/*
 * The client's side of a conversation with the consumer: connects, says HELLO, notices a consumer that restarted or
 * moved, and numbers questions. Producer, uploader and readers use it; it decides nothing.
 *
 * Where the consumer is: a fixed endpoint, or a journal directory whose file `consumer` names it; that file is read
 * anew whenever the consumer has been silent for a second. Never blocks.
 *
 * After session_recv handed up a MSG_WELCOME the peer is (again) known; `epoch` tells whether the consumer restarted.
 * What was asked before and not answered must be asked again by the caller: the session keeps no questions.
 */
#ifndef CHUNKLIFT_SESSION_H
#define CHUNKLIFT_SESSION_H

#include "pure/proto.h"
#include "runtime/endpoint.h"
#include <stdbool.h>

struct session_options {
    enum role role;
    const char *consumer;    /* endpoint; or NULL: */
    const char *journal_dir; /* look into its file `consumer` */
    uint32_t slots;
    const char *jobs; /* producer's offers; NULL for none */
    const char *const *allow;
    size_t allow_count;
};

struct session; /* opaque */

/* Succeeds without a consumer: it is looked for in session_step. Strings are copied. */
int session_new(struct session **s, const struct session_options *o) MUST_CHECK;
void session_destroy(struct session **s); /* says BYE when connected, waiting at most 200 ms for it to leave */

/* ERR_DENIED, logged: the keys for the consumer there are missing.
 * Time-driven part: (re)connect, HELLO and its repetition. Call in every loop turn; *deadline_ms (clock_ms) is lowered
 * to when it wants to be called again. */
int session_step(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* The endpoint to wait on; NULL while there is none. May change in session_step. */
struct endpoint *session_endpoint(struct session *s);

bool session_is_connected(const struct session *s); /* WELCOME received and not silent since */
/* Milliseconds since anything was heard (or since session_new). */
uint64_t session_silence_ms(const struct session *s, uint64_t now_ms);
uint64_t session_epoch(const struct session *s); /* 0 before the first WELCOME */
uint32_t session_lease_ms(const struct session *s);
uint64_t session_start_seq(const struct session *s);   /* seq + 1 at the last WELCOME */
uint64_t session_start_event(const struct session *s); /* event cursor at the last WELCOME */
uint64_t session_dropped(const struct session *s);     /* messages of another journal, version or form */
const struct id128 *session_incarnation(const struct session *s);
const struct id128 *session_journal(const struct session *s);

/* Fills in journal, sender and a fresh number (returned in *number when not NULL) and sends. ERR_AGAIN: not connected
 * or full now. */
int session_send(struct session *s, struct msg *m, uint64_t *number) MUST_CHECK;

/* The next message, decoded; valid until the next call. ERR_AGAIN when there is none. Garbage and answers of another
 * journal are dropped and counted. MSG_WELCOME is handed up after the session took note. A MSG_ERROR that says
 * HELLO_FIRST is handled inside (HELLO is said again). Any other MSG_ERROR is handed up. */
int session_recv(struct session *s, struct msg **m) MUST_CHECK;

#endif
