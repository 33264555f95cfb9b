/* stdout as the result of a command, or as its stream of events: written in large pieces, its errors told once. A
 * reader that went away (a closed pipe) ends a command quietly; for events it is an error like any other. */
#ifndef CHUNKLIFT_OUTPUT_H
#define CHUNKLIFT_OUTPUT_H

#include "pure/err.h"

/* First thing in main. Standard descriptors that are closed become unusable ones, so that no file or socket takes their
 * number; SIGPIPE is ignored, stdout fully buffered. */
void output_setup(void);
/* ERR_AGAIN: the reader went away, end quietly; ERR_IO (logged): it cannot be written; else 0. */
int output_check(void) MUST_CHECK;
int output_flush(void) MUST_CHECK; /* the same after a flush */
/* Flushes and gives the exit status: 0; 1 for ERR_DAMAGED; 2 for ERR_USAGE; 3 for other errors. */
int output_status(int err) MUST_CHECK;

/* One event (a line of --json) is complete: it leaves at once. The work goes on when it cannot; that is logged once. */
void output_event(void);
/* Last thing in main: the exit status, which is 3 instead of 0 or 1 when something could not be written. */
int output_end(int status) MUST_CHECK;

#endif
