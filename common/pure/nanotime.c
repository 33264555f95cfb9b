#include "pure/nanotime.h"
#include <string.h>

#define SECOND 1000000000
#define DECIMALS 9 /* of a second */
#define MOST ((nanotime)INT64_MAX * SECOND + SECOND - 1)
#define LEAST ((nanotime)INT64_MIN * SECOND)
#define DIGITS_MAX 29 /* MOST and LEAST have 28; a longer number is refused before it can overflow */

nanotime nanotime_of(struct timespec t) {
    return (nanotime)t.tv_sec * SECOND + t.tv_nsec;
}

struct timespec nanotime_to_timespec(nanotime t) {
    nanotime seconds = t / SECOND, rest = t % SECOND;
    return (struct timespec){.tv_sec = (time_t)(rest < 0 ? seconds - 1 : seconds),
                             .tv_nsec = (long)(rest < 0 ? rest + SECOND : rest)};
}

bool nanotime_is_valid(nanotime t) {
    return t >= LEAST && t <= MOST;
}

const char *nanotime_format(nanotime t, char out[NANOTIME_TEXT_SIZE]) {
    char digits[NANOTIME_TEXT_SIZE];
    size_t at = sizeof digits, len = 0;
    for (nanotime rest = t; rest != 0 || at == sizeof digits; rest /= 10) {
        int digit = (int)(rest % 10);
        digits[--at] = (char)('0' + (digit < 0 ? -digit : digit));
    }
    if (t < 0)
        out[len++] = '-';
    memcpy(out + len, digits + at, sizeof digits - at);
    out[len + sizeof digits - at] = '\0';
    return out;
}

const char *nanotime_format_seconds(nanotime t, char out[NANOTIME_TEXT_SIZE]) {
    bool negative = t < 0;
    nanotime size = negative ? -t : t;
    uint64_t whole = (uint64_t)(size / SECOND);
    uint32_t rest = (uint32_t)(size - (nanotime)whole * SECOND);
    char digits[NANOTIME_TEXT_SIZE];
    size_t at = sizeof digits, end = sizeof digits;
    for (int i = 0; i < DECIMALS; i++, rest /= 10)
        digits[--at] = (char)('0' + rest % 10);
    while (end > at && digits[end - 1] == '0')
        end--;
    if (end > at)
        digits[--at] = '.';
    else
        at = end;
    do
        digits[--at] = (char)('0' + whole % 10);
    while (whole /= 10);
    if (negative)
        digits[--at] = '-';
    memcpy(out, digits + at, end - at);
    out[end - at] = '\0';
    return out;
}

int nanotime_parse(struct slice text, nanotime *t) {
    bool negative = text.len > 0 && text.ptr[0] == '-';
    size_t at = negative, digits = text.len - at;
    nanotime value = 0;
    if (digits == 0 || digits > DIGITS_MAX || (text.ptr[at] == '0' && (digits > 1 || negative)))
        return ERR_INVALID;
    for (; at < text.len; at++) {
        if (text.ptr[at] < '0' || text.ptr[at] > '9')
            return ERR_INVALID;
        value = value * 10 + (text.ptr[at] - '0');
    }
    value = negative ? -value : value;
    if (!nanotime_is_valid(value))
        return ERR_INVALID;
    *t = value;
    return 0;
}
