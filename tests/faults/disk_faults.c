/*
 * Preloaded: a disk that fails at a chosen call. DISK_FAULTS in the environment says how:
 *
 *     PREFIX:K:ERRNO:HOW:REPORT
 *
 * Counted are the calls that change something at or under PREFIX: open with O_CREAT, write, pwrite, ftruncate,
 * fdatasync, fsync, rename, unlink. The K-th fails with ERRNO. HOW: `once`, `stay` (all later ones fail too), `half` (a
 * write does half of its bytes first), `short` (nothing fails, but no write does all it is given). The failures, and how
 * many calls there were, is written to REPORT, `K CALL PATH` and `calls N`.
 *
 * Which file a descriptor means is asked of /proc, so it needs no list of its own.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    bool ready;
    char prefix[PATH_MAX], how[16], report[PATH_MAX];
    unsigned long at, calls;
    int error;
} plan;

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static void read_plan(void) {
    if (plan.ready)
        return;
    plan.ready = true;
    const char *text = getenv("DISK_FAULTS");
    if (!text ||
        sscanf(text, "%4095[^:]:%lu:%d:%15[^:]:%4095s", plan.prefix, &plan.at, &plan.error, plan.how, plan.report) != 5)
        plan.prefix[0] = '\0';
}

static bool is_beneath(const char *path) {
    read_plan();
    size_t len = strlen(plan.prefix);
    return len > 0 && strncmp(path, plan.prefix, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return n > 0 && is_beneath(path);
}

/* name in the directory of dir_fd, or a path of its own */
static bool path_at(int dir_fd, const char *name, char path[PATH_MAX]) {
    if (name[0] == '/' || dir_fd == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name);
        return is_beneath(path);
    }
    char dir[PATH_MAX];
    if (!path_of(dir_fd, dir))
        return false;
    return snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

static void tell(const char *call, const char *path) {
    int fd = (int)REAL(open)(plan.report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char line[PATH_MAX + 64];
    int len = snprintf(line, sizeof line, "%lu %s %s\n", plan.calls, call, path);
    if (fd >= 0 && REAL(write)(fd, line, (size_t)len) == len)
        close(fd);
}

static bool is_how(const char *how) {
    return strcmp(plan.how, how) == 0;
}

/* Counts; true with errno when this call is to fail. */
static bool fails(const char *call, const char *path) {
    plan.calls++;
    bool now = !is_how("short") && (plan.calls == plan.at || (is_how("stay") && plan.at && plan.calls > plan.at));
    if (now && plan.calls == plan.at)
        tell(call, path);
    if (now)
        errno = plan.error;
    return now;
}

__attribute__((destructor)) static void tell_calls(void) {
    if (plan.calls > 0)
        tell("calls", plan.prefix);
}

/* ---- the calls ---- */

ssize_t write(int fd, const void *bytes, size_t len) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return REAL(write)(fd, bytes, len);
    if (!fails("write", path))
        return REAL(write)(fd, bytes, is_how("short") && len > 1 ? (len > 7 ? len - 7 : len / 2) : len);
    int error = errno;
    if (is_how("half") && len > 1)
        (void)!REAL(write)(fd, bytes, len / 2);
    errno = error;
    return -1;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    char path[PATH_MAX];
    return path_of(fd, path) && fails("pwrite", path) ? -1 : REAL(pwrite)(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset) {
    return pwrite(fd, bytes, len, offset);
}

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    return path_of(fd, path) && fails("ftruncate", path) ? -1 : REAL(ftruncate)(fd, size);
}

int fdatasync(int fd) {
    char path[PATH_MAX];
    return path_of(fd, path) && fails("fdatasync", path) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd) {
    char path[PATH_MAX];
    return path_of(fd, path) && fails("fsync", path) ? -1 : REAL(fsync)(fd);
}

int rename(const char *from, const char *to) {
    return is_beneath(to) && fails("rename", to) ? -1 : REAL(rename)(from, to);
}

int unlink(const char *path) {
    return is_beneath(path) && fails("unlink", path) ? -1 : REAL(unlink)(path);
}

int unlinkat(int dir_fd, const char *name, int flags) {
    char path[PATH_MAX];
    return path_at(dir_fd, name, path) && fails("unlinkat", path) ? -1 : REAL(unlinkat)(dir_fd, name, flags);
}

int open(const char *name, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    char path[PATH_MAX];
    return flags & O_CREAT && path_at(AT_FDCWD, name, path) && fails("open", path) ? -1 : REAL(open)(name, flags, mode);
}

int open64(const char *name, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open(name, flags, mode);
}

int openat(int dir_fd, const char *name, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    char path[PATH_MAX];
    return flags & O_CREAT && path_at(dir_fd, name, path) && fails("openat", path)
               ? -1
               : REAL(openat)(dir_fd, name, flags, mode);
}
