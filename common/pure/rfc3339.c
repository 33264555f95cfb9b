#include "pure/rfc3339.h"
#include <string.h>
#include <sys/param.h>

#define US_PER_S 1000000
#define S_PER_DAY 86400
#define DAYS_PER_ERA 146097 /* 400 years */
/* Days from 0000-03-01 to 1970-01-01. Years that start in March end with their leap day. */
#define DAYS_TO_1970 719468
#define FIRST_SECOND (-62167219200) /* 0000-01-01T00:00:00Z */
#define LAST_SECOND 253402300799    /* 9999-12-31T23:59:59Z */

struct date {
    int64_t year, month, day;
};

/* days: since 1970-01-01. The calendar repeats each era; one era is added so that no operand is
 * negative. */
static struct date date_from_days(int64_t days) {
    int64_t shifted = days + DAYS_TO_1970 + DAYS_PER_ERA, era = shifted / DAYS_PER_ERA,
            day_of_era = shifted % DAYS_PER_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    struct date d = {.day = day_of_year - (153 * march_month + 2) / 5 + 1,
                     .month = march_month < 10 ? march_month + 3 : march_month - 9};
    d.year = (era - 1) * 400 + year_of_era + (d.month <= 2);
    return d;
}

/* The first day of a month, in days since 1970-01-01; year >= 1. */
static int64_t date_first_of_month(int64_t year, int64_t month) {
    int64_t march_year = month <= 2 ? year - 1 : year, era = march_year / 400, year_of_era = march_year % 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
    return era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_1970;
}

/* --- writing --- */

static void write_digits(char *to, unsigned width, int64_t value) {
    while (width--) {
        to[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

void rfc3339_format(int64_t real_us, char out[RFC3339_SIZE]) {
    int64_t seconds = real_us / US_PER_S, micros = real_us % US_PER_S;
    if (micros < 0) {
        micros += US_PER_S;
        seconds--;
    }
    seconds = MIN(MAX(seconds, FIRST_SECOND), LAST_SECOND);
    int64_t days = seconds / S_PER_DAY, second_of_day = seconds % S_PER_DAY;
    if (second_of_day < 0) {
        second_of_day += S_PER_DAY;
        days--;
    }
    struct date d = date_from_days(days);
    memcpy(out, "0000-00-00T00:00:00.000000Z", RFC3339_SIZE);
    write_digits(out, 4, d.year);
    write_digits(out + 5, 2, d.month);
    write_digits(out + 8, 2, d.day);
    write_digits(out + 11, 2, second_of_day / 3600);
    write_digits(out + 14, 2, second_of_day / 60 % 60);
    write_digits(out + 17, 2, second_of_day % 60);
    write_digits(out + 20, 6, micros);
}

/* --- reading --- */

struct cursor {
    const char *at, *end;
};

static bool cursor_is_at_digit(const struct cursor *c) {
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static bool cursor_take_digits(struct cursor *c, int count, int64_t *value) {
    *value = 0;
    for (int i = 0; i < count; i++, c->at++) {
        if (!cursor_is_at_digit(c))
            return false;
        *value = *value * 10 + (*c->at - '0');
    }
    return true;
}

static bool cursor_take_char(struct cursor *c, char wanted) {
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* "2026-11-21", as days since 1970-01-01. */
static bool cursor_take_date(struct cursor *c, int64_t *days) {
    int64_t year, month, day;
    if (!cursor_take_digits(c, 4, &year) || !cursor_take_char(c, '-') || !cursor_take_digits(c, 2, &month) ||
        !cursor_take_char(c, '-') || !cursor_take_digits(c, 2, &day) || year < 1970 || month < 1 || month > 12 ||
        day < 1)
        return false;
    int64_t first = date_first_of_month(year, month);
    int64_t next = month == 12 ? date_first_of_month(year + 1, 1) : date_first_of_month(year, month + 1);
    *days = first + day - 1;
    return *days < next;
}

/* "08:40:00", as seconds of the day. */
static bool cursor_take_time(struct cursor *c, int64_t *seconds) {
    int64_t hour, minute, second;
    if (!cursor_take_digits(c, 2, &hour) || !cursor_take_char(c, ':') || !cursor_take_digits(c, 2, &minute) ||
        !cursor_take_char(c, ':') || !cursor_take_digits(c, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

/* ".25", or nothing. */
static bool cursor_take_fraction(struct cursor *c, int64_t *micros) {
    int64_t unit = US_PER_S / 10;
    *micros = 0;
    if (!cursor_take_char(c, '.'))
        return true;
    if (!cursor_is_at_digit(c))
        return false;
    for (; cursor_is_at_digit(c); c->at++, unit /= 10)
        *micros += (*c->at - '0') * unit;
    return true;
}

/* "Z" or "+01:00", as seconds east of UTC. */
static bool cursor_take_offset(struct cursor *c, int64_t *offset_s) {
    int64_t hours, minutes;
    *offset_s = 0;
    if (cursor_take_char(c, 'Z'))
        return true;
    bool east = cursor_take_char(c, '+');
    if ((!east && !cursor_take_char(c, '-')) || !cursor_take_digits(c, 2, &hours))
        return false;
    (void)cursor_take_char(c, ':');
    if (!cursor_take_digits(c, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *offset_s = (east ? 1 : -1) * (hours * 3600 + minutes * 60);
    return true;
}

int rfc3339_parse(struct slice text, int64_t *real_us) {
    const char *start = text.ptr ? text.ptr : "";
    struct cursor c = {start, start + text.len};
    int64_t days, seconds, micros, offset_s;
    if (!cursor_take_date(&c, &days) || !cursor_take_char(&c, 'T') || !cursor_take_time(&c, &seconds) ||
        !cursor_take_fraction(&c, &micros) || !cursor_take_offset(&c, &offset_s) || c.at != c.end)
        return ERR_INVALID;
    *real_us = (days * S_PER_DAY + seconds - offset_s) * US_PER_S + micros;
    return 0;
}

int rfc3339_parse_exact(struct slice text, int64_t *real_us) {
    enum { SECOND_AT = 17, POINT_AT = 19, ZONE_AT = 26 };
    if (text.len != RFC3339_SIZE - 1 || text.ptr[POINT_AT] != '.' || text.ptr[ZONE_AT] != 'Z' ||
        text.ptr[SECOND_AT] == '6')
        return ERR_INVALID;
    return rfc3339_parse(text, real_us);
}
