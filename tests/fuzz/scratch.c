#include "scratch.h"

#include "pure/check.h"
#include "system/clock.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char path[256];
static int dir_fd = -1;

static void remove_all(void) {
    scratch_empty();
    rmdir(path);
}

const char *scratch_dir(void) {
    if (dir_fd >= 0)
        return path;
    const char *base = getenv("TMPDIR");
    if (!base || !*base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    CHECK((size_t)snprintf(path, sizeof path, "%s/chunklift-fuzz-XXXXXX", base) < sizeof path);
    CHECK(mkdtemp(path));
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(dir_fd >= 0);
    CHECK(atexit(remove_all) == 0);
    return path;
}

void must(int err) {
    CHECK(err == 0);
}

void scratch_each(void (*see)(void *arg, const char *name), void *arg) {
    DIR *d = opendir(scratch_dir());
    CHECK(d);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            see(arg, entry->d_name);
    closedir(d);
}

static void remove_file(void *arg, const char *name) {
    (void)arg;
    CHECK(unlinkat(dir_fd, name, 0) == 0);
}

void scratch_empty(void) {
    scratch_each(remove_file, NULL);
}

void scratch_write(const char *name, struct slice bytes) {
    scratch_dir();
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        CHECK(n > 0);
        bytes = slice_make(bytes.ptr + n, bytes.len - (size_t)n);
    }
    close(fd);
}

bool scratch_read(const char *name, struct buf *bytes) {
    scratch_dir();
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    for (ssize_t n = 1; n > 0;) {
        must(buf_reserve(bytes, 65536));
        n = read(fd, bytes->data + bytes->len, 65536);
        CHECK(n >= 0);
        bytes->len += (size_t)n;
        bytes->data[bytes->len] = '\0';
    }
    close(fd);
    return true;
}

/* --- in the place of system calls, by the linker's --wrap --- */

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len) {
    return fd == STDERR_FILENO ? (ssize_t)len : __real_write(fd, bytes, len);
}

static uint64_t slept_ns;

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left) {
    (void)left;
    slept_ns += (uint64_t)wanted->tv_sec * 1000000000 + (uint64_t)wanted->tv_nsec;
    return 0;
}

uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ms(void) {
    return __real_clock_ms() + slept_ns / 1000000;
}
