/* A journal's lines asked of its consumer, by TAIL messages. */
#ifndef CHUNKLIFT_TAIL_REMOTE_H
#define CHUNKLIFT_TAIL_REMOTE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

/* Prints the last `lines` lines, and with follow what is appended, until interrupted (signals.h): then 0. ERR_AGAIN:
 * the reader of stdout went away. ERR_UNREACHABLE (logged): nobody answers at that endpoint. */
int tail_remote(const char *endpoint, uint64_t lines, bool follow) MUST_CHECK;

/* Hands out every line that is kept there, newline included, from the first to the head there was at the start; ends at
 * an error of line and returns it. Interrupted: ERR_AGAIN. Else as above. */
int tail_remote_all(const char *endpoint, int (*line)(void *arg, struct slice line), void *arg) MUST_CHECK;

#endif
