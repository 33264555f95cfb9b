/* Times as S3 and its headers write them. Pure. */
#ifndef CHUNKLIFT_AWS_TIME_H
#define CHUNKLIFT_AWS_TIME_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

/* "2026-11-21T08:40:00.000Z", with or without fraction, "Z" or an offset ("+01:00"): microseconds since 1970.
 * RFC 3339; ERR_INVALID for anything else. */
int iso8601_parse(struct slice text, int64_t *real_us) MUST_CHECK;

/* RFC 9110 10.2.3: seconds, or a date that counts from now_s. Milliseconds, at most an hour; 0 for nonsense and for
 * dates that passed. */
#define RETRY_AFTER_MAX_MS 3600000u
uint32_t retry_after_parse(struct slice text, int64_t now_s);
/* Amazon's x-amz-retry-after: milliseconds. */
uint32_t amz_retry_after_parse(struct slice text);

#endif
