/*
 * Preloaded: a file system that folds case and keeps the spelling a name was made with, as vfat, SMB and ext4 with
 * casefold do. It covers relative names under descriptors, the way destinations are reached. With
 * FOLD_CASE=lower in the environment it also stores names in small letters. FOLD_CASE=old: it does not know
 * RENAME_NOREPLACE either.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static int is_mode(const char *mode) {
    const char *set = getenv("FOLD_CASE");
    return set && strcmp(set, mode) == 0;
}

/* The entry of dir_fd/prefix that is meant by name; name itself when there is none. */
static void fold_one(int dir_fd, const char *prefix, const char *name, char out[NAME_MAX + 1]) {
    int fd = REAL(openat)(dir_fd, *prefix ? prefix : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    snprintf(out, NAME_MAX + 1, "%s", name);
    for (char *c = out; *c && is_mode("lower"); c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcasecmp(e->d_name, name) == 0) {
            snprintf(out, NAME_MAX + 1, "%s", e->d_name);
            if (strcmp(e->d_name, name) == 0) /* sources have both */
                break;
        }
    if (dir)
        closedir(dir);
}

static const char *fold(int dir_fd, const char *path, char out[PATH_MAX]) {
    char copy[PATH_MAX], one[NAME_MAX + 1], *save = NULL;
    if (path[0] == '/' || dir_fd == AT_FDCWD)
        return path;
    snprintf(copy, sizeof copy, "%s", path);
    out[0] = '\0';
    for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
        fold_one(dir_fd, out, name, one);
        size_t len = strlen(out);
        snprintf(out + len, PATH_MAX - len, "%s%s", len ? "/" : "", one);
    }
    return out;
}

int openat(int dir_fd, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    char to[PATH_MAX];
    return REAL(openat)(dir_fd, fold(dir_fd, path, to), flags, mode);
}

int fstatat(int dir_fd, const char *restrict path, struct stat *restrict st, int flags) {
    char to[PATH_MAX];
    return REAL(fstatat)(dir_fd, fold(dir_fd, path, to), st, flags);
}

int mkdirat(int dir_fd, const char *path, mode_t mode) {
    char to[PATH_MAX];
    return REAL(mkdirat)(dir_fd, fold(dir_fd, path, to), mode);
}

int unlinkat(int dir_fd, const char *path, int flags) {
    char to[PATH_MAX];
    return REAL(unlinkat)(dir_fd, fold(dir_fd, path, to), flags);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    if (flags && is_mode("old")) {
        errno = EINVAL;
        return -1;
    }
    return REAL(renameat2)(from_fd, fold(from_fd, from, a), to_fd, fold(to_fd, to, b), flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return renameat2(from_fd, from, to_fd, to, 0);
}

/* openat2 has no function of its own. */
long syscall(long number, ...) {
    long a[6];
    char to[PATH_MAX];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_openat2)
        a[1] = (long)fold((int)a[0], (const char *)a[1], to); /* NOLINT(performance-no-int-to-ptr) */
    return ((long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"))(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
