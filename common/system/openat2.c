#include "system/openat2.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES_MAX 32

int openat2_open(int dir_fd, const char *path, int flags, uint64_t resolve) {
    static bool logged;
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve};
    int fd = -1;
    int tries = 0;
    do
        fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    while (fd == -1 && (errno == EINTR || (errno == EAGAIN && ++tries < TRIES_MAX)));
    if (fd == -1 && errno == ENOSYS && !logged) {
        logged = true;
        log_error("%s: openat2(2) is not available; use Linux 5.6 or later, and a container that allows it", path);
        errno = ENOSYS;
    }
    return fd;
}
