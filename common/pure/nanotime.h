/*
 * A time stamp of a file in nanoseconds since 1970, as stat(2) gives it. 64 bits would end in the years 1677 and 2262;
 * 128 bits hold every stamp that a 64-bit time_t can name.
 *
 * The alignment is that of a 64-bit number, so that structs with a stamp can live in any memory.
 */
#ifndef CHUNKLIFT_NANOTIME_H
#define CHUNKLIFT_NANOTIME_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

__extension__ typedef __int128 nanotime __attribute__((aligned(8)));

#define NANOTIME_TEXT_SIZE 32 /* sign, at most 29 digits, NUL */

nanotime nanotime_of(struct timespec t);
/* Within what a 64-bit time_t can name. */
bool nanotime_is_valid(nanotime t);
/* Decimal, as in the journal. Returns out. */
const char *nanotime_format(nanotime t, char out[NANOTIME_TEXT_SIZE]);
/* ERR_INVALID: not a decimal number without leading zeros, "-0", or beyond what a 64-bit time_t can name. */
int nanotime_parse(struct slice text, nanotime *t) MUST_CHECK;

#endif
