/* Preloaded: each pwrite takes SLOW_WRITES_US longer: an uploader that is slow on every machine. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    ssize_t (*real)(int, const void *, size_t, off_t) = (__typeof__(real))dlsym(RTLD_NEXT, "pwrite");
    const char *text = getenv("SLOW_WRITES_US");
    long us = text ? strtol(text, NULL, 10) : 0;
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    return real(fd, bytes, len, offset);
}
