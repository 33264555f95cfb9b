/* Preloaded: the wall clock is OTHER_CLOCK_S seconds ahead (or behind, with a minus sign). Monotonic time is left
 * alone. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static time_t offset_s(void) {
    const char *text = getenv("OTHER_CLOCK_S");
    return text ? strtol(text, NULL, 10) : 0;
}

time_t time(time_t *out) {
    time_t now = REAL(time)(NULL) + offset_s();
    if (out)
        *out = now;
    return now;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int rc = REAL(gettimeofday)(now, zone);
    if (rc == 0)
        now->tv_sec += offset_s();
    return rc;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int rc = REAL(clock_gettime)(clock, now);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset_s();
    return rc;
}
