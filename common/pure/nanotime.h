/*
 * A time stamp of a file, in nanoseconds since 1970, as of stat(2). 64 bits would end in the years 1677 and 2262; 128 bits
 * hold every stamp of a 64-bit time_t.
 *
 * Its alignment is that of a 64-bit number, so that structs with a stamp need no larger alignment.
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
struct timespec nanotime_to_timespec(nanotime t); /* of a valid one */
/* Within the range of a 64-bit time_t. */
bool nanotime_is_valid(nanotime t);
/* Decimal, as in the journal. Returns out. */
const char *nanotime_format(nanotime t, char out[NANOTIME_TEXT_SIZE]);
/* Seconds with up to nine decimals and without zeros at the end, as rclone writes times: "1763716800.123456789". Returns
 * out. */
const char *nanotime_format_seconds(nanotime t, char out[NANOTIME_TEXT_SIZE]);
/* ERR_INVALID: not a decimal number without leading zeros, "-0", or outside the range of a 64-bit time_t. */
int nanotime_parse(struct slice text, nanotime *t) MUST_CHECK;

#endif
