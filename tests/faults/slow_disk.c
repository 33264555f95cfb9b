/*
 * Preloaded: a disk that takes its time. SLOW_DISK in the environment is PREFIX:FILE: a pwrite at or under PREFIX
 * takes as long as its bytes do at the rate, in bytes a second, that stands in FILE at that moment, and writes no more
 * than PIECE of them; 0 or no file: no longer than it takes, and all. The bytes are there before the time is over, as
 * they are when a process is stopped in a write.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIECE 16384 /* so that the caller can look after other things */

static double rate(const char *file) {
    double bytes = 0;
    FILE *f = fopen(file, "r");
    if (!f)
        return 0;
    if (fscanf(f, "%lf", &bytes) != 1)
        bytes = 0;
    fclose(f);
    return bytes;
}

/* 0: all is written at once. */
static double rate_of(int fd) {
    char link[64], path[PATH_MAX], prefix[PATH_MAX];
    const char *plan = getenv("SLOW_DISK"), *file = plan ? strchr(plan, ':') : NULL;
    if (!file || (size_t)(file - plan) >= sizeof prefix)
        return 0;
    snprintf(prefix, sizeof prefix, "%.*s", (int)(file - plan), plan);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return strncmp(path, prefix, strlen(prefix)) == 0 ? rate(file + 1) : 0;
}

static void take_time(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset);
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    double each = rate_of(fd);
    ssize_t put =
        ((__typeof__(&pwrite))dlsym(RTLD_NEXT, "pwrite"))(fd, bytes, each > 0 && len > PIECE ? PIECE : len, offset);
    if (each > 0 && put > 0)
        take_time((double)put / each);
    return put;
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset) {
    return pwrite(fd, bytes, len, offset);
}
