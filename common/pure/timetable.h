/*
 * The timetable of --bwlimit, with rclone's syntax: "08:00,512k Sat-10:00,2M 23:00,off". Entries are separated by spaces
 * or semicolons. One without a day counts on every day. An entry is in force until the next one, also over midnight and
 * over the end of the week. Of two entries for the same minute the later one in the text counts.
 *
 * Pure. Times are minutes of a week that begins on Sunday at 00:00, by the local clock of the caller.
 */
#ifndef CHUNKLIFT_TIMETABLE_H
#define CHUNKLIFT_TIMETABLE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define TIMETABLE_TEXT_MAX 511 /* bytes */
#define TIMETABLE_ENTRIES_MAX 64
#define TIMETABLE_DAY 1440u /* minutes */
#define TIMETABLE_WEEK (7 * TIMETABLE_DAY)

struct timetable_entry {
    uint32_t minute; /* of the period */
    uint32_t period; /* TIMETABLE_DAY or TIMETABLE_WEEK */
    uint64_t rate;   /* bytes a second; 0: no limit */
};

struct timetable {
    struct timetable_entry entries[TIMETABLE_ENTRIES_MAX];
    size_t count;
};

/* A timetable, and not a rate alone. */
bool timetable_is_given(const char *text);
/* ERR_INVALID; ERR_LIMIT: a rate below RATE_MIN, or too many entries. *wrong: the entry with the error, or the whole text. */
int timetable_parse(const char *text, struct timetable *t, struct slice *wrong) MUST_CHECK;
/* "512k", "10M", "1.5G": binary; "512": KiB; "off": 0, no limit; and all rates of rate_parse with a unit. ERR_INVALID,
 * ERR_LIMIT. */
int timetable_parse_rate(struct slice text, uint64_t *rate) MUST_CHECK;

/* t has at least one entry. */
uint64_t timetable_rate(const struct timetable *t, uint32_t minute);
/* The next change of the rate after this minute: *wait minutes later. False: the rate never changes. */
bool timetable_next(const struct timetable *t, uint32_t minute, uint32_t *wait, uint64_t *rate);

#endif
