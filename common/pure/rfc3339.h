/*
 * Times of RFC 3339 ("2026-11-21T08:40:00.000000Z"), as microseconds since 1970: the one writer and
 * the one reader of the project. The years are those of the RFC, 0000 to 9999; the reader accepts
 * 1970 and later. Pure.
 */
#ifndef CHUNKLIFT_RFC3339_H
#define CHUNKLIFT_RFC3339_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

#define RFC3339_SIZE 28 /* of a written time: UTC, microseconds, NUL */

/* A time outside the years 0000 to 9999 is written with the nearest second within them. */
void rfc3339_format(int64_t real_us, char out[RFC3339_SIZE]);

/* Reads any RFC 3339 time from 1970 on: with or without a fraction (digits after microseconds are
 * ignored), with "Z" or an offset ("+01:00", also "+0100"). Second 60 is the first second of the
 * next minute. ERR_INVALID: anything else. */
int rfc3339_parse(struct slice text, int64_t *real_us) MUST_CHECK;
/* Reads only what rfc3339_format() writes. ERR_INVALID: anything else. */
int rfc3339_parse_exact(struct slice text, int64_t *real_us) MUST_CHECK;

#endif
