#include "uploader/source/roots.h"
#include "pure/array.h"

#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct roots {
    struct root *items;
    size_t count;
};

static void root_release(struct root *r) {
    if (r->fd != -1)
        close(r->fd);
    free(r->given);
    free(r->real);
    free(r->dir);
}

void roots_destroy(struct roots **r) {
    if (!*r)
        return;
    while ((*r)->count > 0)
        root_release(&(*r)->items[--(*r)->count]);
    free((*r)->items);
    free(*r);
    *r = NULL;
}

static char *root_without_end_slash(const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    return strndup(path, len);
}

static char *root_parent(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static int root_fail(const char *path, int error) {
    log_error("--root %s: %s", path, strerror(error));
    return err_from_errno(error);
}

static int root_init(struct root *r, const char *path) {
    *r = (struct root){.fd = -1};
    struct stat st;
    if (!(r->real = realpath(path, NULL)) || stat(r->real, &st) != 0)
        return root_fail(path, errno);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        log_error("--root %s: neither a directory nor a regular file", path);
        return ERR_INVALID;
    }
    r->given = path[0] == '/' ? root_without_end_slash(path) : strdup(r->real);
    r->dir = S_ISDIR(st.st_mode) ? strdup(r->real) : root_parent(r->real);
    if (!r->given || !r->dir)
        return ERR_NOMEM;
    r->fd = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC); /* needs only the right to search it */
    return r->fd == -1 ? root_fail(path, errno) : 0;
}

int roots_new(struct roots **out, const char *const *paths, size_t count) {
    *out = NULL;
    struct roots *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    int err = (r->items = array_zeroed(count, sizeof *r->items)) ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < count; i++) {
        r->count = i + 1;
        err = root_init(&r->items[i], paths[i]);
    }
    if (err)
        roots_destroy(&r);
    *out = r;
    return err;
}

/* The part of path after top: "" for top itself, else "a/b". NULL: path is not under top. */
static const char *path_after(const char *top, struct slice path) {
    size_t len = strlen(top);
    if (len == 1) /* "/" */
        len = 0;
    if (path.len < len || memcmp(path.ptr, top, len) != 0)
        return NULL;
    if (path.len == len)
        return path.ptr + len;
    return path.ptr[len] == '/' ? path.ptr + len + 1 : NULL;
}

const struct root *roots_find(const struct roots *r, struct slice path, const char **rest) {
    for (size_t i = 0; r && i < r->count; i++) {
        const struct root *root = &r->items[i];
        *rest = path_after(root->given, path);
        if (!*rest)
            *rest = path_after(root->real, path);
        /* a root that is a file allows only that file */
        bool is_file = strcmp(root->dir, root->real) != 0;
        if (*rest && (!is_file || *rest == path.ptr + path.len))
            return root;
    }
    return NULL;
}

bool roots_contain(const struct roots *r, struct slice path) {
    const char *rest;
    return path.len > 0 && path.ptr[0] == '/' && roots_find(r, path, &rest) != NULL;
}

int root_path(const struct root *root, struct slice rest, char **path) {
    const char *top = strcmp(root->real, "/") == 0 ? "" : root->real;
    if (asprintf(path, "%s%s%.*s", top, rest.len ? "/" : "", (int)rest.len, rest.ptr) != -1)
        return 0;
    *path = NULL;
    return ERR_NOMEM;
}
