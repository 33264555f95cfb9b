/*
 * The handlers: one file for each message.
 *
 * A handler is called with a known peer whose role and key allow the message. It returns an error
 * only when the process must end. Defects of a message are answered or counted. Without memory the
 * reply is missing, and the peer repeats the request.
 *
 * A new message needs its struct in pure/proto.h, its roles in intake_roles_of, a case in
 * intake_dispatch (both in intake.c), and its handler here.
 */
#ifndef CHUNKLIFT_CONSUMER_HANDLERS_H
#define CHUNKLIFT_CONSUMER_HANDLERS_H

#include "consumer/peers.h"
#include "pure/err.h"
#include "pure/proto.h"

struct consumer;

/* HELLO is the exception: its peer may be unknown. */
int hello_handle(struct consumer *c, const struct msg *m, const struct route *from,
                 const struct curve_key *key) MUST_CHECK;
int bye_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK; /* leave.c */
/* Removes a peer: its leases end, and its plans lose a producer. */
int leave_drop_peer(struct consumer *c, struct peer *peer) MUST_CHECK;

/* Handled at the round's turn, after a commit. */
int plan_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int claim_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;

int complete_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int forget_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int heartbeat_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int parts_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int release_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int set_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
int status_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;

/* Notes the request. tail_answer_due replies. */
int tail_handle(struct consumer *c, struct peer *peer, const struct msg *m) MUST_CHECK;
/* Answers the TAILs that are due, with a bounded number of disk reads. c->tails_pending: some wait
 * for the next round. */
int tail_answer_due(struct consumer *c) MUST_CHECK;
/* When the next TAIL is due, in clock_ms; UINT64_MAX: there is none. */
uint64_t tail_deadline_ms(const struct consumer *c);

#endif
