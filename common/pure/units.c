#include "pure/units.h"
#include "pure/ascii.h"
#include "pure/check.h"
#include "pure/decimal.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* "1.5" as 15 / 10: exact, no floating point. */
struct number {
    uint64_t digits, divisor;
};

static int number_add_digit(struct number *n, char c) {
    uint64_t next;
    if (__builtin_mul_overflow(n->digits, (uint64_t)10, &next) ||
        __builtin_add_overflow(next, (uint64_t)(c - '0'), &next))
        return ERR_LIMIT;
    n->digits = next;
    return 0;
}

/* A number with an optional fraction; *text moves past it. */
static int number_read(const char **text, struct number *n) {
    const char *at = *text;
    int err = 0;
    *n = (struct number){0, 1};
    if (!ascii_is_digit(*at))
        return ERR_INVALID;
    for (; !err && ascii_is_digit(*at); at++)
        err = number_add_digit(n, *at);
    if (!err && *at == '.') {
        if (!ascii_is_digit(*++at))
            return ERR_INVALID;
        for (; !err && ascii_is_digit(*at); at++) {
            err = n->divisor >= 1000000000 ? ERR_LIMIT : number_add_digit(n, *at);
            n->divisor *= 10;
        }
    }
    *text = at;
    return err;
}

/* The value in the smallest unit, rounded down. A fraction of the smallest unit is refused. */
static int number_apply_unit(const struct number *n, const char *name, const struct unit *units, size_t count,
                             uint64_t max, uint64_t *value) {
    if (*name == ' ')
        name++;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].name, name) != 0)
            continue;
        if (n->divisor > 1 && units[i].factor == 1)
            return ERR_INVALID;
        unsigned __int128 product = (unsigned __int128)n->digits * units[i].factor / n->divisor;
        if (product > max)
            return ERR_LIMIT;
        *value = (uint64_t)product;
        return 0;
    }
    return ERR_INVALID;
}

static int number_parse(const char *text, const struct unit *units, size_t count, uint64_t max, uint64_t *value) {
    struct number n;
    int err = number_read(&text, &n);
    return err ? err : number_apply_unit(&n, text, units, count, max, value);
}

int size_parse(const char *text, uint64_t *bytes) {
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", KIB},
        {"MiB", MIB},
        {"GiB", GIB},
        {"TiB", TIB},
        {"kB", UINT64_C(1000)},
        {"MB", UINT64_C(1000000)},
        {"GB", UINT64_C(1000000000)},
        {"TB", UINT64_C(1000000000000)},
    };
    return number_parse(text, units, sizeof units / sizeof units[0], INT64_MAX, bytes);
}

int rate_parse(const char *text, uint64_t *bytes_per_second) {
    char size[40];
    size_t len = strlen(text);
    if (strcmp(text, "none") == 0) {
        *bytes_per_second = 0;
        return 0;
    }
    if (len > 2 && strcmp(text + len - 2, "/s") == 0)
        len -= 2;
    if (len >= sizeof size)
        return ERR_INVALID;
    memcpy(size, text, len);
    size[len] = '\0';
    uint64_t rate;
    int err = size_parse(size, &rate);
    if (!err && rate > 0 && rate < RATE_MIN)
        err = ERR_LIMIT;
    if (!err)
        *bytes_per_second = rate;
    return err;
}

#define TIME_MAX_MS (UINT64_C(365) * 86400000)

/* One number and its unit; *text moves past them. alone: the first part; without a unit it is in seconds. */
static int time_read_part(const char **text, bool alone, uint64_t *ms) {
    static const struct unit units[] = {
        {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    struct number n;
    char name[8];
    int err = number_read(text, &n);
    if (err)
        return err;
    *text += alone && **text == ' ';
    size_t len = strspn(*text, "dhimns");
    if (len >= sizeof name || (len == 0 && (!alone || **text)))
        return ERR_INVALID;
    memcpy(name, *text, len);
    name[len] = '\0';
    *text += len;
    return number_apply_unit(&n, name, units, sizeof units / sizeof units[0], TIME_MAX_MS, ms);
}

int time_parse_ms(const char *text, uint64_t *ms) {
    uint64_t sum = 0, part;
    bool first = true;
    do {
        int err = time_read_part(&text, first, &part);
        if (err)
            return err;
        sum += part; /* no overflow: each part is at most a year, and an argument has few parts */
        first = false;
        if (sum > TIME_MAX_MS)
            return ERR_LIMIT;
    } while (*text);
    *ms = sum;
    return 0;
}

int count_parse(const char *text, uint64_t min, uint64_t max, uint64_t *value) {
    uint64_t number;
    int err = decimal_parse(slice_of(text), max, &number);
    if (err)
        return err;
    if (number < min)
        return ERR_LIMIT;
    *value = number;
    return 0;
}

/* Three significant digits, zeros at the end of a fraction left out. */
static void format_binary(double value, const char *suffix, char out[UNITS_TEXT_SIZE]) {
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0, last = sizeof names / sizeof names[0] - 1;
    value = MIN(MAX(value, 0), 1e21);                        /* a NaN is 0 too */
    while (unit < last && value >= (unit ? 1023.5 : 1024)) { /* 1023.7 would be shown as 1024 */
        value /= 1024;
        unit++;
    }
    /* The limits include the rounding: 9.996 is shown as 10.0. */
    int decimals = unit == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    char number[24];
    int len = snprintf(number, sizeof number, "%.*f", decimals, unit == 0 ? (double)(uint64_t)value : value);
    while (decimals > 0 && number[len - 1] == '0' && decimals--)
        number[--len] = '\0';
    if (number[len - 1] == '.')
        number[--len] = '\0';
    snprintf(out, UNITS_TEXT_SIZE, "%s %s%s", number, names[unit], suffix);
}

const char *size_format(uint64_t bytes, char out[UNITS_TEXT_SIZE]) {
    format_binary((double)bytes, "", out);
    return out;
}

const char *count_format(uint64_t count, char out[UNITS_TEXT_SIZE]) {
    char digits[UNITS_TEXT_SIZE];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, count), used = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

const char *rate_format(double bytes_per_second, char out[UNITS_TEXT_SIZE]) {
    format_binary(bytes_per_second, "/s", out);
    return out;
}

const char *duration_format(uint64_t seconds, char out[UNITS_TEXT_SIZE]) {
    uint64_t days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60;
    if (days)
        snprintf(out, UNITS_TEXT_SIZE, "%" PRIu64 "d %02" PRIu64 ":%02" PRIu64, days, hours, minutes);
    else if (hours)
        snprintf(out, UNITS_TEXT_SIZE, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, hours, minutes, seconds % 60);
    else
        snprintf(out, UNITS_TEXT_SIZE, "%02" PRIu64 ":%02" PRIu64, minutes, seconds % 60);
    return out;
}
