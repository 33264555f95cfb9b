/* Decimal numbers in text of other programs. Pure. */
#ifndef CHUNKLIFT_DECIMAL_H
#define CHUNKLIFT_DECIMAL_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

/* Reads a number of digits only; leading zeros are accepted. ERR_INVALID: empty, or another
 * character. ERR_LIMIT: more than max. On an error *value is unchanged. */
int decimal_parse(struct slice text, uint64_t max, uint64_t *value) MUST_CHECK;

#endif
