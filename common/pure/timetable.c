#include "pure/timetable.h"
#include "pure/ascii.h"
#include "pure/units.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SEPARATORS " ;"
#define RATE_TEXT_SIZE 40

bool timetable_is_given(const char *text) {
    return strchr(text, ',') != NULL;
}

/* ---- rates ---- */

/* rclone's suffix as a unit of rate_parse; NULL: it is none. */
static const char *timetable_unit(const char *suffix) {
    static const char *const units[][2] = {{"", "KiB"},  {"B", "B"},   {"K", "KiB"},
                                           {"M", "MiB"}, {"G", "GiB"}, {"T", "TiB"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i][0]);
        if (strncasecmp(suffix, units[i][0], len) != 0)
            continue;
        bool binary = i > 1 && strcasecmp(suffix + len, "i") == 0; /* "Mi" */
        if (suffix[len] == '\0' || binary)
            return units[i][1];
    }
    return NULL;
}

int timetable_parse_rate(struct slice text, uint64_t *rate) {
    char word[RATE_TEXT_SIZE], known[RATE_TEXT_SIZE + 8];
    if (text.len == 0 || text.len >= sizeof word)
        return ERR_INVALID;
    memcpy(word, text.ptr, text.len);
    word[text.len] = '\0';
    if (strcasecmp(word, "off") == 0) {
        *rate = 0;
        return 0;
    }
    size_t digits = strspn(word, "0123456789.");
    const char *unit = digits > 0 ? timetable_unit(word + digits) : NULL;
    if (!unit)
        return rate_parse(word, rate);
    snprintf(known, sizeof known, "%.*s%s", (int)digits, word, unit);
    return rate_parse(known, rate);
}

/* ---- entries ---- */

/* "Mon" or "Monday", in any case. -1: no day. */
static int timetable_parse_day(struct slice name) {
    static const char *const days[] = {"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};
    for (int i = 0; i < 7; i++)
        if ((name.len == 3 || name.len == strlen(days[i])) && strncasecmp(name.ptr, days[i], name.len) == 0)
            return i;
    return -1;
}

/* "HH:MM" */
static int timetable_parse_clock(struct slice text, uint32_t *minute) {
    const char *c = text.ptr;
    if (text.len != 5 || c[2] != ':' || !ascii_is_digit(c[0]) || !ascii_is_digit(c[1]) || !ascii_is_digit(c[3]) ||
        !ascii_is_digit(c[4]))
        return ERR_INVALID;
    uint32_t hours = (uint32_t)(c[0] - '0') * 10 + (uint32_t)(c[1] - '0');
    uint32_t minutes = (uint32_t)(c[3] - '0') * 10 + (uint32_t)(c[4] - '0');
    *minute = hours * 60 + minutes;
    return hours < 24 && minutes < 60 ? 0 : ERR_INVALID;
}

static int timetable_parse_entry(struct slice word, struct timetable_entry *e) {
    const char *comma = memchr(word.ptr, ',', word.len);
    if (!comma)
        return ERR_INVALID;
    struct slice when = slice_make(word.ptr, (size_t)(comma - word.ptr));
    struct slice rate = slice_make(comma + 1, word.len - when.len - 1);
    const char *dash = memchr(when.ptr, '-', when.len);
    uint32_t base = 0;
    e->period = dash ? TIMETABLE_WEEK : TIMETABLE_DAY;
    if (dash) {
        size_t len = (size_t)(dash - when.ptr);
        int day = timetable_parse_day(slice_make(when.ptr, len));
        if (day < 0)
            return ERR_INVALID;
        base = (uint32_t)day * TIMETABLE_DAY;
        when = slice_make(dash + 1, when.len - len - 1);
    }
    int err = timetable_parse_clock(when, &e->minute);
    e->minute += base;
    return err ? err : timetable_parse_rate(rate, &e->rate);
}

int timetable_parse(const char *text, struct timetable *t, struct slice *wrong) {
    *wrong = slice_of(text);
    t->count = 0;
    if (strlen(text) > TIMETABLE_TEXT_MAX)
        return ERR_LIMIT;
    for (const char *at = text; *(at += strspn(at, SEPARATORS));) {
        struct slice word = slice_make(at, strcspn(at, SEPARATORS));
        if (t->count == TIMETABLE_ENTRIES_MAX)
            return ERR_LIMIT;
        int err = timetable_parse_entry(word, &t->entries[t->count++]);
        if (err) {
            *wrong = word;
            return err;
        }
        at += word.len;
    }
    return t->count ? 0 : ERR_INVALID;
}

/* ---- times ---- */

static uint32_t timetable_age(const struct timetable_entry *e, uint32_t minute) {
    return (minute % e->period + e->period - e->minute) % e->period;
}

uint64_t timetable_rate(const struct timetable *t, uint32_t minute) {
    const struct timetable_entry *last = &t->entries[0];
    for (size_t i = 1; i < t->count; i++)
        if (timetable_age(&t->entries[i], minute) <= timetable_age(last, minute))
            last = &t->entries[i];
    return last->rate;
}

/* Minutes until an entry begins after this minute. */
static uint32_t timetable_until(const struct timetable *t, uint32_t minute) {
    uint32_t least = TIMETABLE_WEEK;
    for (size_t i = 0; i < t->count; i++) {
        uint32_t until = t->entries[i].period - timetable_age(&t->entries[i], minute);
        least = until < least ? until : least;
    }
    return least;
}

bool timetable_next(const struct timetable *t, uint32_t minute, uint32_t *wait, uint64_t *rate) {
    uint64_t now = timetable_rate(t, minute);
    for (*wait = 0; *wait < TIMETABLE_WEEK;) {
        *wait += timetable_until(t, (minute + *wait) % TIMETABLE_WEEK);
        *rate = timetable_rate(t, (minute + *wait) % TIMETABLE_WEEK);
        if (*rate != now)
            return true;
    }
    return false;
}
