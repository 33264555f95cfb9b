/*
 * Preloaded: a FUSE file system without stable inode numbers. Each look at a regular file with the mtime ODD_MTIME
 * (seconds) shows another number, and its file system says that it is FUSE. With ODD_READ_ERROR its bytes cannot be
 * read.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FUSE_MAGIC 0x65735546 /* not in linux/magic.h of every kernel */

static int is_odd(const struct stat *st) {
    const char *text = getenv("ODD_MTIME");
    return text && S_ISREG(st->st_mode) && st->st_mtim.tv_sec == strtol(text, NULL, 10);
}

static int look(int dir_fd, const char *path, struct stat *st, int flags) {
    static uint32_t looks;
    long result = syscall(SYS_newfstatat, dir_fd, path, st, flags);
    if (result == 0 && is_odd(st))
        st->st_ino += ((uint64_t)getpid() << 24) + ++looks;
    return (int)result;
}

int fstat(int fd, struct stat *st) {
    return look(fd, "", st, AT_EMPTY_PATH);
}

int stat(const char *path, struct stat *st) {
    return look(AT_FDCWD, path, st, 0);
}

int lstat(const char *path, struct stat *st) {
    return look(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

int fstatat(int dir_fd, const char *path, struct stat *st, int flags) {
    return look(dir_fd, path, st, flags);
}

int fstatfs(int fd, struct statfs *fs) {
    struct stat st;
    long result = syscall(SYS_fstatfs, fd, fs);
    if (result == 0 && fstat(fd, &st) == 0 && is_odd(&st))
        fs->f_type = FUSE_MAGIC;
    return (int)result;
}

ssize_t pread(int fd, void *bytes, size_t len, off_t offset) {
    struct stat st;
    if (getenv("ODD_READ_ERROR") && fstat(fd, &st) == 0 && is_odd(&st)) {
        errno = EIO;
        return -1;
    }
    ssize_t (*real)(int, void *, size_t, off_t) = (__typeof__(real))dlsym(RTLD_NEXT, "pread");
    return real(fd, bytes, len, offset);
}
