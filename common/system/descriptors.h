/*
 * How many descriptors this process may have open. libzmq ends the process when it finds none for a connection, so what
 * a program needs is checked when it starts, and everything that grows with the work has a share of what is free then.
 */
#ifndef CHUNKLIFT_DESCRIPTORS_H
#define CHUNKLIFT_DESCRIPTORS_H

#include "pure/err.h"
#include <stddef.h>

/* What each program opens besides what it inherits, with the connections and the work of the smallest run, and a
 * reserve for what is open for a moment. */
#define DESCRIPTORS_OF_CONSUMER 28
#define DESCRIPTORS_OF_PRODUCER 36
#define DESCRIPTORS_OF_UPLOADER 32 /* one transfer; not its --root directories */
#define DESCRIPTORS_OF_TRANSFER 3  /* each further one: source, destination or connection, directory or idle one */

/* Raises the limit to what the hard limit allows, 65,536 at most. */
void descriptors_raise(void);
/* How many can be opened now. */
size_t descriptors_free(void);
/* Raises the limit; ERR_DESCRIPTORS, logged with the limit that is needed, when less than `needed` can be opened. */
int descriptors_require(size_t needed) MUST_CHECK;

#endif
