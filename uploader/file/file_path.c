#include "uploader/file/file_path.h"
#include "pure/array.h"
#include "pure/dest.h"
#include "system/log.h"
#include "system/openat2.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

struct file_allow {
    char **urls;
    size_t count;
};

int file_allow_new(struct file_allow **a, const char *const *urls, size_t count) {
    struct file_allow *n = calloc(1, sizeof *n);
    *a = NULL;
    if (!n || !(n->urls = array_zeroed(count, sizeof *n->urls))) {
        free(n);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (!(n->urls[n->count] = strdup(urls[i]))) {
            file_allow_destroy(&n);
            return ERR_NOMEM;
        }
        n->count++;
    }
    *a = n;
    return 0;
}

void file_allow_destroy(struct file_allow **a) {
    if (!*a)
        return;
    while ((*a)->count > 0)
        free((*a)->urls[--(*a)->count]);
    free((*a)->urls);
    free(*a);
    *a = NULL;
}

/* A path and the allowed directory that it is in: base + "/" + rest. */
struct confined_path {
    struct slice base, rest;
};

static struct slice path_trim_end(struct slice path) {
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

static struct slice path_parent(struct slice path) {
    const char *slash = memrchr(path.ptr, '/', path.len);
    return path_trim_end(slice_make(path.ptr, slash ? (size_t)(slash + 1 - path.ptr) : 0));
}

static int file_allow_split(const struct file_allow *a, struct slice dest, struct confined_path *s) {
    struct dest d, allowed;
    if (dest_parse(dest, &d) || d.scheme != DEST_FILE) {
        errno = EINVAL;
        return ERR_INVALID;
    }
    struct slice path = d.key;
    for (char **url = a->urls; url != a->urls + a->count; url++) {
        if (!dest_is_under(dest, slice_of(*url)) || dest_parse(slice_of(*url), &allowed))
            continue;
        struct slice top = path_trim_end(allowed.key);
        s->base = path_trim_end(path).len <= top.len ? path_parent(top) : top; /* "/" is its own parent */
        size_t skip = s->base.len == 1 ? 0 : s->base.len;
        s->rest = slice_make(path.ptr + skip, path.len - skip);
        while (s->rest.len > 0 && s->rest.ptr[0] == '/')
            s->rest = slice_make(s->rest.ptr + 1, s->rest.len - 1);
        return 0;
    }
    errno = EACCES;
    return ERR_DENIED;
}

static int dir_open_beneath(int base, const char *path) {
    return openat2_open(base, path, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

static int dir_open_without_symlinks(int base, const char *path) {
    return openat2_open(base, path, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* True at the first call for a file system. A full list returns false. */
static bool device_is_new(dev_t dev) {
    static dev_t seen[16];
    static size_t count;
    for (size_t i = count; i-- > 0;)
        if (seen[i] == dev)
            return false;
    if (count == sizeof seen / sizeof seen[0])
        return false;
    seen[count++] = dev;
    return true;
}

static void dir_warn_unsynced(int dir_fd, int error) {
    char link[64], path[PATH_MAX];
    struct stat st;
    if (fstat(dir_fd, &st) != 0 || !device_is_new(st.st_dev))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
    ssize_t len = readlink(link, path, sizeof path);
    log_warn(
        "%.*s: this file system cannot sync a directory (%s); after a power cut names of files may be missing there",
        (int)MAX(len, 0), path, strerror(error));
}

int file_dir_sync(int dir_fd) {
    if (fsync(dir_fd) == 0)
        return 0;
    int error = errno;
    if (error != EINVAL && error != EOPNOTSUPP)
        return error;
    dir_warn_unsynced(dir_fd, error);
    return 0;
}

/* The name is durable afterwards, also when it existed. */
static int dir_make(int parent_fd, const char *name) {
    if (mkdirat(parent_fd, name, 0777) != 0 && errno != EEXIST)
        return -1;
    errno = file_dir_sync(parent_fd);
    return errno ? -1 : 0;
}

/* mkdir -p of an absolute path as the operator wrote it. path is modified during the call. */
static int base_make(char *path) {
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = 0;
        struct stat st;
        int failed = stat(path, &st);
        if (failed && errno == ENOENT) {
            char *name = strrchr(path, '/');
            *name = 0;
            int fd = open(name == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            *name = '/';
            failed = fd == -1 || dir_make(fd, name + 1);
            int error = errno;
            if (fd != -1)
                close(fd);
            errno = error;
        }
        if (slash)
            *slash = '/';
        if (failed)
            return -1;
        if (!slash)
            return 0;
    }
}

static int base_open(struct slice base, bool create) {
    char *path = slice_dup(base);
    if (!path) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1 && errno == ENOENT && create && base_make(path) == 0)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = errno;
    free(path);
    errno = error;
    return fd;
}

/* mkdir -p of path under base. path is modified during the call. The descriptor of the last
 * directory, or -1. */
static int dirs_make_beneath(int base, char *path) {
    int fd = dup(base);
    for (char *name = path; fd != -1;) {
        char *slash = strchr(name, '/');
        if (slash)
            *slash = 0;
        int child = dir_open_beneath(base, path);
        if (child == -1 && errno == ENOENT && dir_make(fd, name) == 0)
            child = dir_open_beneath(base, path);
        int error = errno;
        close(fd);
        errno = error;
        fd = child;
        if (!slash)
            break;
        *slash = '/';
        for (name = slash; *name == '/'; name++)
            ;
        if (!*name)
            break;
    }
    return fd;
}

static int parent_open(const struct confined_path *s, struct slice dirs, enum file_path_use use) {
    bool create = use == FILE_PATH_CREATE;
    int base = base_open(s->base, create);
    if (base == -1 || dirs.len == 0)
        return base;
    char *path = slice_dup(dirs);
    int fd = -1;
    if (!path) {
        errno = ENOMEM;
    } else {
        fd = use == FILE_PATH_REMOVE ? dir_open_without_symlinks(base, path) : dir_open_beneath(base, path);
        if (fd == -1 && errno == ENOENT && create)
            fd = dirs_make_beneath(base, path);
    }
    int error = errno;
    free(path);
    close(base);
    errno = error;
    return fd;
}

static int file_path_set_name(struct slice name, struct file_path *p) {
    if (name.len > NAME_MAX) {
        errno = ENAMETOOLONG;
        return ERR_LIMIT;
    }
    if (name.len == 0 || memchr(name.ptr, 0, name.len) || (name.len <= 2 && memcmp(name.ptr, "..", name.len) == 0)) {
        errno = name.len == 0 ? EISDIR : EINVAL;
        return ERR_INVALID;
    }
    memcpy(p->name, name.ptr, name.len);
    p->name[name.len] = 0;
    return 0;
}

int file_path_open(const struct file_allow *a, struct slice dest, enum file_path_use use, struct file_path *p) {
    p->dir_fd = -1;
    struct confined_path s;
    int err = file_allow_split(a, dest, &s);
    if (err)
        return err;
    const char *slash = memrchr(s.rest.ptr, '/', s.rest.len);
    size_t dirs_len = slash ? (size_t)(slash + 1 - s.rest.ptr) : 0;
    err = file_path_set_name(slice_make(s.rest.ptr + dirs_len, s.rest.len - dirs_len), p);
    if (err)
        return err;
    p->dir_fd = parent_open(&s, slice_make(s.rest.ptr, dirs_len), use);
    if (p->dir_fd == -1)
        return errno == EXDEV || errno == ELOOP ? ERR_DENIED : err_from_errno(errno);
    return 0;
}

void file_path_close(struct file_path *p) {
    if (p->dir_fd != -1)
        close(p->dir_fd);
    p->dir_fd = -1;
}

int file_path_visit(const struct file_allow *a, struct slice dest,
                    int (*visit)(void *arg, int dir_fd, struct slice name), void *arg) {
    struct confined_path s;
    int err = file_allow_split(a, dest, &s);
    int base = err ? -1 : base_open(s.base, false);
    char *path = err ? NULL : slice_dup(s.rest);
    int dir = base != -1 ? dup(base) : -1;
    err = err ? err : !path ? ERR_NOMEM : dir == -1 ? err_from_errno(errno) : 0;
    for (char *name = path; !err && *name;) {
        char *end = strchrnul(name, '/');
        bool last = !*end;
        err = end > name ? visit(arg, dir, slice_make(name, (size_t)(end - name))) : 0;
        if (err || last)
            break;
        *end = 0;
        close(dir);
        dir = dir_open_beneath(base, path);
        err = dir == -1 ? err_from_errno(errno) : 0;
        *end = '/';
        name = end + 1;
    }
    if (dir != -1)
        close(dir);
    if (base != -1)
        close(base);
    free(path);
    return err;
}
