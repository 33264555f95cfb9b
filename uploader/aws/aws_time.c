#include "uploader/aws/aws_time.h"
#include "uploader/http/http_date.h"
#include <ctype.h>
#include <time.h>

/* A cursor over untrusted text; every step says whether it fitted. */
struct cursor {
    const char *at, *end;
};

static struct cursor cursor_of(struct slice text) {
    const char *at = text.ptr ? text.ptr : "";
    return (struct cursor){at, at + text.len};
}

static bool take_digits(struct cursor *c, int count, int *value) {
    *value = 0;
    if (c->end - c->at < count)
        return false;
    for (int i = 0; i < count; i++, c->at++) {
        if (!isdigit((unsigned char)*c->at))
            return false;
        *value = *value * 10 + (*c->at - '0');
    }
    return true;
}

static bool take_text(struct cursor *c, const char *text) {
    size_t len = strlen(text);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
        return false;
    c->at += len;
    return true;
}

static bool take_clock(struct cursor *c, struct tm *tm) {
    return take_digits(c, 2, &tm->tm_hour) && take_text(c, ":") && take_digits(c, 2, &tm->tm_min) &&
           take_text(c, ":") && take_digits(c, 2, &tm->tm_sec) && tm->tm_hour < 24 && tm->tm_min < 60 &&
           tm->tm_sec <= 60;
}

static bool is_day(const struct tm *tm) {
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (tm->tm_year < 70 || tm->tm_mon < 0 || tm->tm_mon > 11)
        return false;
    int year = tm->tm_year + 1900;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return tm->tm_mday >= 1 && tm->tm_mday <= days[tm->tm_mon] + (leap && tm->tm_mon == 1);
}

static int take_fraction(struct cursor *c, int64_t *us) {
    *us = 0;
    if (!take_text(c, "."))
        return 0;
    int64_t unit = 100000;
    if (c->at == c->end || !isdigit((unsigned char)*c->at))
        return ERR_INVALID;
    for (; c->at < c->end && isdigit((unsigned char)*c->at); c->at++, unit /= 10)
        *us += (*c->at - '0') * unit;
    return 0;
}

static int take_zone(struct cursor *c, int64_t *offset_s) {
    int hours, minutes, sign;
    *offset_s = 0;
    if (take_text(c, "Z"))
        return 0;
    if (take_text(c, "+"))
        sign = 1;
    else if (take_text(c, "-"))
        sign = -1;
    else
        return ERR_INVALID;
    if (!take_digits(c, 2, &hours))
        return ERR_INVALID;
    take_text(c, ":");
    if (!take_digits(c, 2, &minutes) || hours > 23 || minutes > 59)
        return ERR_INVALID;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return 0;
}

int iso8601_parse(struct slice text, int64_t *real_us) {
    struct cursor c = cursor_of(text);
    struct tm tm = {0};
    int64_t us, offset_s;
    if (!take_digits(&c, 4, &tm.tm_year) || !take_text(&c, "-") || !take_digits(&c, 2, &tm.tm_mon) ||
        !take_text(&c, "-") || !take_digits(&c, 2, &tm.tm_mday) || !take_text(&c, "T") || !take_clock(&c, &tm))
        return ERR_INVALID;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!is_day(&tm) || take_fraction(&c, &us) || take_zone(&c, &offset_s) || c.at != c.end)
        return ERR_INVALID;
    *real_us = ((int64_t)timegm(&tm) - offset_s) * 1000000 + us;
    return 0;
}

static bool parse_number(struct slice text, uint64_t *value) {
    *value = 0;
    if (text.len == 0 || text.len > 12)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
        *value = *value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return true;
}

static uint32_t capped_ms(uint64_t ms) {
    return ms < RETRY_AFTER_MAX_MS ? (uint32_t)ms : RETRY_AFTER_MAX_MS;
}

uint32_t retry_after_parse(struct slice text, int64_t now_s) {
    uint64_t seconds;
    int64_t when_s;
    if (parse_number(text, &seconds))
        return capped_ms(seconds * 1000);
    if (http_date_parse(text, &when_s) == 0 && when_s > now_s)
        return capped_ms((uint64_t)(when_s - now_s) * 1000);
    return 0;
}

uint32_t amz_retry_after_parse(struct slice text) {
    uint64_t ms;
    return parse_number(text, &ms) ? capped_ms(ms) : 0;
}
