/* Questions to a consumer, each asked until it is answered: for commands that ask, print and end. */
#ifndef CHUNKLIFT_QUESTION_H
#define CHUNKLIFT_QUESTION_H

#include "pure/proto.h"
#include "runtime/session.h"

/* The session of a reader; it connects when something is asked. */
int ask_open(struct session **s, const char *endpoint) MUST_CHECK;
/*
 * Blocks until the answer of this type is here; it is valid until the next call. A question that may have been lost
 * with a connection is asked again: it must do no harm twice. ERR_IO: the consumer refuses (logged). ERR_UNREACHABLE:
 * no answer within patience_ms. ERR_AGAIN: interrupted (signals.h).
 */
int ask_consumer(struct session *s, struct msg *question, enum msg_type wanted, uint64_t patience_ms,
                 struct msg **answer) MUST_CHECK;
void ask_close(struct session **s);

#endif
