/* stdout as the result of a command: written in large pieces, its errors told once; a reader that went away (a closed
 * pipe) ends the command quietly. */
#ifndef CHUNKLIFT_OUTPUT_H
#define CHUNKLIFT_OUTPUT_H

#include "pure/err.h"

void output_setup(void); /* SIGPIPE ignored, stdout fully buffered; before anything is printed */
/* ERR_AGAIN: the reader went away, end quietly; ERR_IO (logged): it cannot be written; else 0. */
int output_check(void) MUST_CHECK;
int output_flush(void) MUST_CHECK; /* the same after a flush */
/* Flushes and gives the exit status: 0; 1 for ERR_DAMAGED; 2 for ERR_USAGE; 3 for other errors. */
int output_status(int err) MUST_CHECK;

#endif
