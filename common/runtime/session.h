/*
 * The client's side of a conversation with the consumer: connects, sends HELLO, detects a consumer that restarted or
 * moved, and numbers requests. The producer, the uploader and readers use it. It makes no decision about jobs.
 *
 * The consumer's address is a fixed endpoint, or it is in the file `consumer` of a journal directory, which is read
 * again while the consumer is silent. No call blocks.
 *
 * After session_recv returned a MSG_WELCOME, the consumer knows this peer; `epoch` tells whether the consumer restarted.
 * The session keeps no requests: the caller repeats those without an answer.
 */
#ifndef CHUNKLIFT_SESSION_H
#define CHUNKLIFT_SESSION_H

#include "pure/proto.h"
#include "runtime/endpoint.h"
#include <stdbool.h>

struct session_options {
    enum role role;
    const char *consumer;    /* endpoint; or NULL: */
    const char *journal_dir; /* its file `consumer` has the endpoint */
    uint32_t slots;
    const char *jobs; /* the producer's endpoint for offers; NULL: none */
    const char *const *allow;
    size_t allow_count;
};

struct session; /* opaque */

/* Succeeds without a consumer: session_step finds it. Strings are copied. */
int session_new(struct session **s, const struct session_options *o) MUST_CHECK;
/* Optional: connects now to a consumer that serves the journal directory, so that the connection is made while the caller
 * does other work. Nothing is sent before session_step. Errors as of session_step. */
int session_open(struct session *s) MUST_CHECK;
void session_destroy(struct session **s); /* sends BYE when connected; it may leave for 200 ms more */

/* The time-driven part: connects, reconnects and sends HELLO. Call it in every turn of the loop. Lowers *deadline_ms
 * (clock_ms) to the time of the next call. ERR_DENIED, logged: the key of the consumer is missing. */
int session_step(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* The endpoint to wait on; NULL: none now. session_step may change it. */
struct endpoint *session_endpoint(struct session *s);

bool session_is_connected(const struct session *s); /* a WELCOME came and the consumer is not silent */
/* Time since the last valid message, or since session_new. */
uint64_t session_silence_ms(const struct session *s, uint64_t now_ms);
uint64_t session_epoch(const struct session *s); /* 0 before the first WELCOME */
uint32_t session_lease_ms(const struct session *s);
uint64_t session_start_seq(const struct session *s);   /* seq + 1 at the last WELCOME */
uint64_t session_start_event(const struct session *s); /* event cursor at the last WELCOME */
uint64_t session_dropped(const struct session *s); /* dropped messages: of another journal or version, or malformed */
const struct id128 *session_incarnation(const struct session *s);
const struct id128 *session_journal(const struct session *s);

/* Fills in journal, sender and a new number (also in *number when not NULL), and sends m. ERR_AGAIN: not connected, or the
 * queue is full. Errors as of msg_encode and endpoint_send. */
int session_send(struct session *s, struct msg *m, uint64_t *number) MUST_CHECK;

/* The next message, decoded; valid until the next call. ERR_AGAIN: there is none. Malformed messages and those of another
 * journal are dropped and counted. The session handles a MSG_ERROR with HELLO_FIRST itself; it returns any other one,
 * and a MSG_WELCOME after it has updated its state. */
int session_recv(struct session *s, struct msg **m) MUST_CHECK;

#endif
