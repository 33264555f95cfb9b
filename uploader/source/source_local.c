/*
 * By reference: the file is opened here. It is looked at twice: its identity before the first byte is read and after
 * the last one was sent, the second time also by its path opened anew (a file replaced by another one; attribute caches
 * of network file systems, which are renewed by open). What lies between is found by the checksum made of the bytes
 * that were sent.
 *
 * A root keeps the name it was given and the one it resolves to, so that a path beneath either is found; it is opened
 * beneath the resolved one, where no symlink leads out.
 */
#include "uploader/source/source.h"
#include "uploader/source/source_ops.h"

#include "pure/digest.h"
#include "system/fileid.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct root {
    char *given, *real; /* absolute, no slash at the end but for "/" */
    char *dir;          /* the directory opened: real, or its parent when real is a file */
    int fd;
};
struct roots {
    struct root *items;
    size_t count;
};

struct local {
    struct source source; /* first */
    int fd;
    const struct root *root;
    char *path; /* beneath root->dir */
    struct source_identity planned;
    bool same_boot;
    char read_error[160]; /* why it cannot be read; empty: it can */
};

/* --- roots --- */

static void root_release(struct root *r) {
    if (r->fd >= 0)
        close(r->fd);
    free(r->given);
    free(r->real);
    free(r->dir);
}

void roots_destroy(struct roots **r) {
    if (!*r)
        return;
    for (size_t i = 0; i < (*r)->count; i++)
        root_release(&(*r)->items[i]);
    free((*r)->items);
    free(*r);
    *r = NULL;
}

static char *without_end_slash(const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    return strndup(path, len);
}

static char *parent_of(const char *path) {
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
    r->given = path[0] == '/' ? without_end_slash(path) : strdup(r->real);
    r->dir = S_ISDIR(st.st_mode) ? strdup(r->real) : parent_of(r->real);
    if (!r->given || !r->dir)
        return ERR_NOMEM;
    r->fd = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC); /* to search it is enough */
    return r->fd < 0 ? root_fail(path, errno) : 0;
}

int roots_new(struct roots **r, const char *const *paths, size_t count) {
    struct roots *n = calloc(1, sizeof *n);
    *r = NULL;
    if (!n || !(n->items = calloc(count + 1, sizeof *n->items))) {
        free(n);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        n->count = i + 1;
        int err = root_init(&n->items[i], paths[i]);
        if (err) {
            roots_destroy(&n);
            return err;
        }
    }
    *r = n;
    return 0;
}

/* What of path lies behind top: "" when it is top itself, else "a/b"; NULL when it is not beneath. */
static const char *beneath(const char *top, struct slice path) {
    size_t len = strlen(top);
    if (len == 1) /* "/" */
        len = 0;
    if (path.len < len || memcmp(path.ptr, top, len) != 0)
        return NULL;
    if (path.len == len)
        return path.ptr + len;
    return path.ptr[len] == '/' ? path.ptr + len + 1 : NULL;
}

static const struct root *root_of(const struct roots *r, struct slice path, const char **rest) {
    for (size_t i = 0; r && i < r->count; i++) {
        const struct root *root = &r->items[i];
        *rest = beneath(root->given, path);
        if (!*rest)
            *rest = beneath(root->real, path);
        /* a root that is a file allows that file only */
        bool is_file = strcmp(root->dir, root->real) != 0;
        if (*rest && (!is_file || *rest == path.ptr + path.len))
            return root;
    }
    return NULL;
}

bool roots_contain(const struct roots *r, struct slice path) {
    const char *rest;
    return path.len > 0 && path.ptr[0] == '/' && root_of(r, path, &rest) != NULL;
}

/* --- one range --- */

static int path_beneath_root(const struct root *root, const char *rest, size_t rest_len, char **path) {
    const char *top = strcmp(root->real, "/") == 0 ? "" : root->real;
    if (asprintf(path, "%s%s%.*s", top, rest_len ? "/" : "", (int)rest_len, rest) < 0) {
        *path = NULL;
        return ERR_NOMEM;
    }
    return 0;
}

static void planned_from_ref(struct local *s, const struct source_ref *ref) {
    s->planned = ref->file;
    s->same_boot = slice_equal(ref->boot, slice_of(boot_id()));
}

static int compare(const struct local *s, int fd, char *why, size_t why_size) {
    const char *difference;
    int err = fileid_compare(&s->planned, fd, s->same_boot, &difference);
    if (!err && !difference)
        return 0;
    snprintf(why, why_size, "%s", err ? strerror(errno) : difference);
    return err ? err : ERR_CHANGED;
}

/* By its path alone, without a descriptor. */
static int compare_path(const struct local *s, char *why, size_t why_size) {
    struct stat st;
    struct source_identity now, planned = s->planned;
    if (stat(s->path, &st) != 0) {
        snprintf(why, why_size, "%s", strerror(errno));
        return ERR_CHANGED;
    }
    fileid_from_stat(&st, &now);
    if (!fileid_inodes_are_stable(s->fd))
        planned.ino = 0;
    const char *difference = source_identity_difference(&planned, &now, s->same_boot);
    if (difference)
        snprintf(why, why_size, "%s", difference);
    return difference ? ERR_CHANGED : 0;
}

/* Opens by path and compares; *fd is -1 on error. */
static int open_and_compare(const struct local *s, int *fd, char *why, size_t why_size) {
    int err = open_beneath(s->root->fd, s->root->dir, s->path, fd);
    if (err) {
        *fd = -1;
        snprintf(why, why_size, "%s", err == ERR_INVALID ? "not a regular file any more" : confined_error_text(errno));
        return err == ERR_INVALID ? ERR_CHANGED : err;
    }
    err = compare(s, *fd, why, why_size);
    if (err) {
        close(*fd);
        *fd = -1;
    }
    return err;
}

static struct local *local_of(struct source *s) {
    return (struct local *)s;
}

/* Nothing is left to read before the end of the range: it shrank, or its size was never true. */
static int end_early(struct local *s) {
    char ignored[160];
    int err = compare(s, s->fd, ignored, sizeof ignored);
    if (!err)
        fileid_explain_short(s->source.offset + s->source.position, s->planned.size, s->read_error,
                             sizeof s->read_error);
    return err == ERR_CHANGED ? err : ERR_IO;
}

static ssize_t local_read(struct source *source, void *out, size_t max) {
    struct local *s = local_of(source);
    ssize_t got;
    do
        got = pread(s->fd, out, max, (off_t)(source->offset + source->position));
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        snprintf(s->read_error, sizeof s->read_error, "%s", strerror(errno));
        return ERR_IO;
    }
    if (got == 0)
        return end_early(s);
    source->crc = crc32c_add(source->crc, out, (size_t)got);
    return got;
}

static int compare_again(const struct local *s, char *why, size_t why_size) {
    int fd, err = compare(s, s->fd, why, why_size);
    if (err)
        return err;
    err = open_and_compare(s, &fd, why, why_size);
    if (err == ERR_DESCRIPTORS) /* only its identity is wanted: it was opened beneath its root */
        return compare_path(s, why, why_size);
    if (err == ERR_NOT_FOUND) /* why says so */
        return ERR_CHANGED;
    if (!err)
        close(fd);
    return err;
}

static bool was_read_to_its_end(const struct local *s) {
    return s->source.position == s->source.length && s->source.offset + s->source.length == s->planned.size;
}

static int local_check(struct source *source, char *why, size_t why_size) {
    struct local *s = local_of(source);
    if (!s->read_error[0] && was_read_to_its_end(s))
        (void)!fileid_check_end(s->fd, s->planned.size, s->read_error, sizeof s->read_error);
    int err = compare_again(s, why, why_size); /* after the look past the end: it may have grown */
    if (err || !s->read_error[0])
        return err;
    snprintf(why, why_size, "%s", s->read_error);
    return ERR_IO;
}

static void local_close(struct source *source) {
    struct local *s = local_of(source);
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s);
}

static const struct source_ops local_ops = {.read = local_read, .check = local_check, .close = local_close};

int source_open(struct source **s, struct roots *roots, const struct source_ref *ref, uint64_t offset, uint64_t length,
                char *why, size_t why_size) {
    *s = NULL;
    const char *rest = NULL;
    const struct root *root = ref->path.len > 0 ? root_of(roots, ref->path, &rest) : NULL;
    if (!root || memchr(ref->path.ptr, 0, ref->path.len)) {
        snprintf(why, why_size, "not under a --root of this uploader");
        return ERR_DENIED;
    }
    if (length > ref->file.size || offset > ref->file.size - length) {
        snprintf(why, why_size, "the range is not within the file");
        return ERR_INVALID;
    }
    struct local *n = calloc(1, sizeof *n);
    if (!n)
        return ERR_NOMEM;
    n->source = (struct source){.ops = &local_ops, .offset = offset, .length = length};
    n->fd = -1;
    n->root = root;
    planned_from_ref(n, ref);
    int err = path_beneath_root(root, rest, (size_t)(ref->path.ptr + ref->path.len - rest), &n->path);
    if (!err)
        err = open_and_compare(n, &n->fd, why, why_size);
    if (err)
        local_close(&n->source);
    else
        *s = &n->source;
    return err;
}
