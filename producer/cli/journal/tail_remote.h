/* A journal's lines, requested from its consumer by TAIL messages. */
#ifndef CHUNKLIFT_TAIL_REMOTE_H
#define CHUNKLIFT_TAIL_REMOTE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

/* Prints the last `lines` lines, and with follow those that are appended, until interrupted
 * (signals.h): then 0. ERR_AGAIN: the reader of stdout left. ERR_UNREACHABLE (logged): no consumer
 * replies at that endpoint. */
int tail_remote(const char *endpoint, uint64_t lines, bool follow) MUST_CHECK;

/* Calls line() for every line that the consumer keeps, newline included, from the first to the head
 * at the start. An error of line() ends the call and is returned. ERR_AGAIN: interrupted. Other
 * errors as above. */
int tail_remote_all(const char *endpoint, int (*line)(void *arg, struct slice line), void *arg) MUST_CHECK;

#endif
