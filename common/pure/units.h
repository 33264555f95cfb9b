/* Sizes, rates and times in the notation of people. */
#ifndef CHUNKLIFT_UNITS_H
#define CHUNKLIFT_UNITS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* "8MiB", "5242880", "1.5GB"; "64k" is refused. KiB MiB GiB TiB are binary, kB MB GB TB decimal; B or no unit: bytes.
 * ERR_INVALID, or ERR_LIMIT beyond 2^63-1. */
int size_parse(const char *text, uint64_t *bytes) MUST_CHECK;
/* Bytes per second as a size, with or without "/s": "10MiB", "1.5MB/s". "0" and "none" are 0, no limit. ERR_INVALID, or
 * ERR_LIMIT below RATE_MIN: the unit is missing. */
#define RATE_MIN KIB
int rate_parse(const char *text, uint64_t *bytes_per_second) MUST_CHECK;
/* "10 min", "10m", "300s", "500ms", "2h", "1h30m", "10" (seconds); units ms, s, m or min, h, d. The result is in
 * milliseconds, at most 365 days. ERR_INVALID, ERR_LIMIT. */
int time_parse_ms(const char *text, uint64_t *ms) MUST_CHECK;
/* A whole decimal number within [min, max] and nothing else. ERR_INVALID, ERR_LIMIT. */
int count_parse(const char *text, uint64_t min, uint64_t max, uint64_t *value) MUST_CHECK;

/* "41 MiB", "1.23 GiB", "812 B": three significant digits, binary. Returns out. */
#define UNITS_TEXT_SIZE 32
const char *size_format(uint64_t bytes, char out[UNITS_TEXT_SIZE]);
/* "4,001": decimal, in groups of three digits. Returns out. */
const char *count_format(uint64_t count, char out[UNITS_TEXT_SIZE]);
/* "1.2 GiB/s" */
const char *rate_format(double bytes_per_second, char out[UNITS_TEXT_SIZE]);
/* "00:41", "1:02:03", "3d 04:00" */
const char *duration_format(uint64_t seconds, char out[UNITS_TEXT_SIZE]);

#endif
