/*
 * Bounds of size and age in rclone's notation.
 *
 * Sizes: "100", "100k", "1.5G", "10B"; suffixes B K M G T P E, of either case, also as Ki or KiB; powers of 1,024. A
 * number alone is in KiB. Ages: "90", "1h30m", "2d", "1.5w", "2026-11-30", "2026-11-30T08:40:00Z"; units ns us ms s m h,
 * which may be combined, or one of d w M (30 days) y (365 days). A number alone is in seconds; a date without a zone is
 * in local time. "off": no bound.
 */
#ifndef CHUNKLIFT_BOUNDS_H
#define CHUNKLIFT_BOUNDS_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

struct bounds {
    bool has_min_size, has_max_size, has_oldest, has_newest;
    uint64_t min_size, max_size;    /* bytes */
    struct timespec oldest, newest; /* times of modification */
};

/* The values of the options; NULL: not given. now: the time that ages are counted from. ERR_USAGE (logged): a value is
 * invalid, or no file can be within both bounds. */
int bounds_parse(struct bounds *b, const char *min_size, const char *max_size, const char *min_age, const char *max_age,
                 const struct timespec *now) MUST_CHECK;
bool bounds_include(const struct bounds *b, const struct stat *st);
/* A line for each bound, as `rclone --dump filters`. */
void bounds_print(const struct bounds *b, FILE *out);

/* ERR_INVALID, ERR_LIMIT (beyond 2^63-1). off: the value is "off". */
int bounds_parse_size(const char *text, uint64_t *bytes, bool *off) MUST_CHECK;
int bounds_parse_age(const char *text, const struct timespec *now, struct timespec *time, bool *off) MUST_CHECK;

#endif
