/* One request to a consumer, repeated until it is answered: for commands that ask, print and end. */
#ifndef CHUNKLIFT_ASK_H
#define CHUNKLIFT_ASK_H

#include "pure/proto.h"
#include "runtime/session.h"

/* Opens a reader's session. It connects with the first request. */
int ask_open(struct session **s, const char *endpoint) MUST_CHECK;
/*
 * Blocks until an answer of the type `wanted` arrives; it is valid until the next call. A request that may have been
 * lost with a connection is repeated, so it must be idempotent. ERR_IO: the consumer refuses it (logged).
 * ERR_UNREACHABLE: no answer within timeout_ms. ERR_AGAIN: interrupted (signals.h).
 */
int ask_consumer(struct session *s, struct msg *request, enum msg_type wanted, uint64_t timeout_ms,
                 struct msg **answer) MUST_CHECK;
void ask_close(struct session **s);
/* Logs that no consumer answers at this endpoint, with the reason where one is known (a name that does not resolve). */
void ask_log_unreachable(const char *endpoint);

#endif
