/*
 * Limits of open descriptors. libzmq ends the process when no descriptor is left for a connection. So each program
 * checks at its start that it has enough, and everything that grows with the work gets a share of the free ones.
 */
#ifndef CHUNKLIFT_DESCRIPTORS_H
#define CHUNKLIFT_DESCRIPTORS_H

#include "pure/err.h"
#include <stddef.h>

/* Descriptors that each program opens in the smallest run, its connections and a reserve for short-lived ones included.
 * Inherited descriptors are not counted. */
#define DESCRIPTORS_OF_CONSUMER 28
#define DESCRIPTORS_OF_PRODUCER 41
#define DESCRIPTORS_OF_UPLOADER 33 /* one transfer; not its --root directories */
#define DESCRIPTORS_OF_TRANSFER 3  /* each further one: source, destination or connection, directory or idle one */

/* Raises the limit to what the hard limit allows, 65,536 at most. */
void descriptors_raise(void);
/* The number that can be opened now. */
size_t descriptors_free(void);
/* Raises the limit. ERR_DESCRIPTORS: fewer than `needed` can be opened; logged with the needed limit. */
int descriptors_require(size_t needed) MUST_CHECK;

#endif
