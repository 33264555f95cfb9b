#include "producer/select/bounds.h"
#include "pure/rfc3339.h"
#include "pure/units.h"
#include "system/log.h"
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define NS_PER_S 1000000000L

/* "1.5", ".5", "5.": digits with at most one point. *text moves past it. */
static int bounds_read_number(const char **text, double *value) {
    size_t len = strspn(*text, "0123456789."), point = strcspn(*text, ".");
    if (len == 0 || len > 30 || (len == 1 && point == 0) ||
        (point < len && memchr(*text + point + 1, '.', len - point - 1)))
        return ERR_INVALID;
    char digits[32] = {0};
    memcpy(digits, *text, len);
    *value = strtod(digits, NULL);
    *text += len;
    return 0;
}

int bounds_parse_size(const char *text, uint64_t *bytes, bool *off) {
    static const char units[] = "BKMGTPE";
    double value, factor = 1024;
    *off = strcasecmp(text, "off") == 0;
    if (*off)
        return 0;
    if (bounds_read_number(&text, &value))
        return ERR_INVALID;
    if (*text) {
        const char *unit = strchr(units, *text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text);
        if (!unit)
            return ERR_INVALID;
        factor = 1;
        for (const char *smaller = units; smaller != unit; smaller++)
            factor *= 1024;
        text++;
        bool binary = factor > 1 && (strcasecmp(text, "i") == 0 || strcasecmp(text, "ib") == 0);
        if (*text && !binary)
            return ERR_INVALID;
    }
    if (value * factor >= 0x1p63)
        return ERR_LIMIT;
    *bytes = (uint64_t)(value * factor);
    return 0;
}

/* One number and its unit. alone: nothing comes before it, so the unit may be left out. */
static int bounds_read_age_part(const char **text, bool alone, double *seconds) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ns", 1e-9},        {"us", 1e-6},        {"ms", 1e-3}, {"s", 1},
                 {"m", 60},           {"h", 3600},         {"d", 86400}, {"w", 7 * 86400.0},
                 {"M", 30 * 86400.0}, {"y", 365 * 86400.0}};
    double value;
    if (bounds_read_number(text, &value))
        return ERR_INVALID;
    size_t len = strcspn(*text, "0123456789.");
    double factor = len == 0 && alone && !**text ? 1 : 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == len && strncmp(units[i].name, *text, len) == 0)
            factor = units[i].seconds;
    *text += len;
    *seconds += value * factor;
    return factor > 0 ? 0 : ERR_INVALID;
}

static int bounds_parse_duration(const char *text, const struct timespec *now, struct timespec *time) {
    double seconds = 0;
    bool alone = true;
    do {
        if (bounds_read_age_part(&text, alone, &seconds))
            return ERR_INVALID;
        alone = false;
    } while (*text);
    if (seconds >= 0x1p63 / NS_PER_S)
        return ERR_LIMIT;
    int64_t age_ns = (int64_t)(seconds * NS_PER_S);
    time->tv_sec = now->tv_sec - age_ns / NS_PER_S;
    time->tv_nsec = now->tv_nsec - age_ns % NS_PER_S;
    if (time->tv_nsec < 0) {
        time->tv_nsec += NS_PER_S;
        time->tv_sec--;
    }
    return 0;
}

/* "2026-11-30", "2026-11-30T08:40:00" and "2026-11-30 08:40:00" in local time, and RFC 3339. */
static int bounds_parse_date(const char *text, struct timespec *time) {
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"};
    static const size_t lengths[] = {10, 19, 19};
    int64_t real_us;
    if (rfc3339_parse(slice_of(text), &real_us) == 0) {
        *time = (struct timespec){real_us / 1000000, real_us % 1000000 * 1000};
        return 0;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &tm);
        if (!end || *end || strlen(text) != lengths[i])
            continue;
        int day = tm.tm_mday; /* mktime makes 31 February a day of March */
        *time = (struct timespec){mktime(&tm), 0};
        return tm.tm_mday == day ? 0 : ERR_INVALID;
    }
    return ERR_INVALID;
}

int bounds_parse_age(const char *text, const struct timespec *now, struct timespec *time, bool *off) {
    *off = strcmp(text, "off") == 0;
    if (*off)
        return 0;
    int err = bounds_parse_duration(text, now, time);
    return err == ERR_INVALID ? bounds_parse_date(text, time) : err;
}

static int bounds_set_size(const char *option, const char *text, uint64_t *bytes, bool *given) {
    bool off;
    if (!text)
        return 0;
    if (bounds_parse_size(text, bytes, &off)) {
        log_error("%s %s: not a size; use for example 10B, 100K or 1.5G (a number alone is in KiB)", option, text);
        return ERR_USAGE;
    }
    *given = !off;
    return 0;
}

static int bounds_set_age(const char *option, const char *text, const struct timespec *now, struct timespec *time,
                          bool *given) {
    bool off;
    if (!text)
        return 0;
    if (bounds_parse_age(text, now, time, &off)) {
        log_error("%s %s: not an age; use for example 90s, 2d, 1h30m or 2026-11-30 (units ms, s, m, h, d, w, M, y)",
                  option, text);
        return ERR_USAGE;
    }
    *given = !off;
    return 0;
}

static bool time_is_before(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

int bounds_parse(struct bounds *b, const char *min_size, const char *max_size, const char *min_age, const char *max_age,
                 const struct timespec *now) {
    *b = (struct bounds){0};
    int err = bounds_set_size("--min-size", min_size, &b->min_size, &b->has_min_size);
    if (!err)
        err = bounds_set_size("--max-size", max_size, &b->max_size, &b->has_max_size);
    if (!err)
        err = bounds_set_age("--min-age", min_age, now, &b->newest, &b->has_newest);
    if (!err)
        err = bounds_set_age("--max-age", max_age, now, &b->oldest, &b->has_oldest);
    if (err)
        return err;
    if (b->has_min_size && b->has_max_size && b->min_size > b->max_size) {
        log_error("--min-size %s: larger than --max-size %s, so that no file fits", min_size, max_size);
        return ERR_USAGE;
    }
    if (b->has_newest && b->has_oldest && time_is_before(&b->newest, &b->oldest)) {
        log_error("--min-age %s: older than --max-age %s, so that no file fits", min_age, max_age);
        return ERR_USAGE;
    }
    return 0;
}

bool bounds_include(const struct bounds *b, const struct stat *st) {
    uint64_t size = (uint64_t)st->st_size;
    return !(b->has_min_size && size < b->min_size) && !(b->has_max_size && size > b->max_size) &&
           !(b->has_oldest && time_is_before(&st->st_mtim, &b->oldest)) &&
           !(b->has_newest && time_is_before(&b->newest, &st->st_mtim));
}

static void bounds_print_time(const char *label, const struct timespec *time, FILE *out) {
    char text[RFC3339_SIZE];
    rfc3339_format((int64_t)time->tv_sec * 1000000 + time->tv_nsec / 1000, text);
    fprintf(out, "%s: %s\n", label, text);
}

void bounds_print(const struct bounds *b, FILE *out) {
    char size[UNITS_TEXT_SIZE];
    if (b->has_oldest)
        bounds_print_time("Last-modified date must be equal or greater than", &b->oldest, out);
    if (b->has_newest)
        bounds_print_time("Last-modified date must be equal or less than", &b->newest, out);
    if (b->has_min_size)
        fprintf(out, "Minimum size is: %s\n", size_format(b->min_size, size));
    if (b->has_max_size)
        fprintf(out, "Maximum size is: %s\n", size_format(b->max_size, size));
}
