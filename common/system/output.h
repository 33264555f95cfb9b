/* stdout as the result of a command, or as its stream of events: written in large pieces, and an error is logged once. A
 * closed pipe ends a command without a message; for events it is an error like any other. */
#ifndef CHUNKLIFT_OUTPUT_H
#define CHUNKLIFT_OUTPUT_H

#include "pure/err.h"

/* Call it first in main. Closed standard descriptors are replaced with unusable ones, so that no file or socket gets
 * their number. SIGPIPE is ignored, and stdout is fully buffered. */
void output_setup(void);
/* ERR_AGAIN: the pipe was closed; end without a message. ERR_IO, logged: stdout cannot be written. */
int output_check(void) MUST_CHECK;
int output_flush(void) MUST_CHECK; /* flushes, then as output_check */
/* Flushes and returns the exit status of err (exit_status_of). */
int output_status(int err) MUST_CHECK;

/* Flushes one complete event (a line of --json). An error is logged once, and the work continues. */
void output_event(void);
/* Call it last in main. Returns the exit status: 3 instead of 0 or 1 when something could not be written. */
int output_end(int status) MUST_CHECK;

#endif
