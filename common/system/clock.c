#include "system/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail for this clock and a valid pointer */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ms(void) {
    return clock_ns() / 1000000u;
}

int64_t clock_real_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Years 0000 to 9999, all that RFC 3339 has; a clock beyond them is shown as the nearest. */
#define FIRST_SECOND (-62167219200)
#define LAST_SECOND 253402300799

void rfc3339_format(int64_t real_us, char out[RFC3339_SIZE]) {
    int64_t seconds = real_us / 1000000;
    int64_t micros = real_us % 1000000;
    if (micros < 0) {
        micros += 1000000;
        seconds--;
    }
    if (seconds < FIRST_SECOND)
        seconds = FIRST_SECOND;
    if (seconds > LAST_SECOND)
        seconds = LAST_SECOND;
    time_t t = (time_t)seconds;
    struct tm utc;
    gmtime_r(&t, &utc); /* cannot fail within these years */
    char text[64];      /* as large as the compiler believes the numbers could be */
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
             utc.tm_hour, utc.tm_min, utc.tm_sec, (int)micros);
    snprintf(out, RFC3339_SIZE, "%.*s", RFC3339_SIZE - 1, text);
}
