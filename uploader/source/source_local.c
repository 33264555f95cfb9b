/*
 * The kind of source that opens the file here. The file's identity is checked twice: before the first byte is read, and
 * after the last one was read or sent. The second check also opens the path again, to find a file that was replaced, and because
 * an open refreshes the attribute caches of network file systems. Changes between the two checks are found by the
 * checksum of the bytes that are sent.
 */
#include "uploader/source/source.h"
#include "uploader/source/source_ops.h"

#include "pure/digest.h"
#include "system/fileid.h"
#include "system/oserr.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct local {
    struct source source; /* first */
    int fd;
    const struct root *root;
    char *path; /* under root->dir */
    struct source_identity planned;
    bool same_boot;
    char read_error[160]; /* empty: no read has failed */
};

static struct local *local_of(struct source *s) {
    return (struct local *)s;
}

/* --- identity --- */

static int local_compare(const struct local *s, int fd, char *why, size_t why_size) {
    const char *difference;
    int err = fileid_compare(&s->planned, fd, s->same_boot, &difference);
    if (!err && !difference)
        return 0;
    snprintf(why, why_size, "%s", err ? strerror(errno) : difference);
    return err ? err : ERR_CHANGED;
}

/* Compares the file at the path without opening it. */
static int local_compare_path(const struct local *s, char *why, size_t why_size) {
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

/* Opens the path and compares. An error: *fd is -1. */
static int local_open(const struct local *s, int *fd, char *why, size_t why_size) {
    struct stat st;
    int err = file_open_confined(s->root->fd, s->root->dir, s->path, fd, &st);
    if (err) {
        *fd = -1;
        snprintf(why, why_size, "%s", err == ERR_INVALID ? "not a regular file any more" : confined_error_text(errno));
        return err == ERR_INVALID ? ERR_CHANGED : err;
    }
    const char *difference = fileid_difference(&s->planned, *fd, &st, s->same_boot);
    if (!difference)
        return 0;
    snprintf(why, why_size, "%s", difference);
    close(*fd);
    *fd = -1;
    return ERR_CHANGED;
}

static int local_compare_again(const struct local *s, char *why, size_t why_size) {
    int fd, err = local_compare(s, s->fd, why, why_size);
    if (err)
        return err;
    err = local_open(s, &fd, why, why_size);
    if (err == ERR_DESCRIPTORS) /* the identity is enough: the file was opened under its root before */
        return local_compare_path(s, why, why_size);
    if (err == ERR_NOT_FOUND) /* why has the reason */
        return ERR_CHANGED;
    if (!err)
        close(fd);
    return err;
}

/* --- the kind of source (source_ops.h) --- */

/* The file ended before the range did: it has shrunk, or its size was never correct. */
static int local_end_early(struct local *s) {
    char ignored[160];
    int err = local_compare(s, s->fd, ignored, sizeof ignored);
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
    while (got == -1 && errno == EINTR);
    if (got == -1) {
        snprintf(s->read_error, sizeof s->read_error, "%s", strerror(errno));
        return ERR_IO;
    }
    if (got == 0)
        return local_end_early(s);
    source->crc = crc32c_add(source->crc, out, (size_t)got);
    return got;
}

static bool local_is_at_file_end(const struct local *s) {
    return s->source.position == s->source.length && s->source.offset + s->source.length == s->planned.size;
}

static int local_check(struct source *source, char *why, size_t why_size) {
    struct local *s = local_of(source);
    if (!s->read_error[0] && local_is_at_file_end(s))
        (void)!fileid_check_end(s->fd, s->planned.size, s->read_error, sizeof s->read_error);
    int err = local_compare_again(s, why, why_size); /* after the read past the end: the file may have grown */
    if (err || !s->read_error[0])
        return err;
    snprintf(why, why_size, "%s", s->read_error);
    return ERR_IO;
}

static void local_close(struct source *source) {
    struct local *s = local_of(source);
    if (s->fd != -1)
        close(s->fd);
    free(s->path);
    free(s);
}

static const struct source_ops local_ops = {.read = local_read, .check = local_check, .close = local_close};

int source_open(struct source **out, struct roots *roots, const struct source_ref *ref, uint64_t offset,
                uint64_t length, char *why, size_t why_size) {
    *out = NULL;
    const char *rest = NULL;
    const struct root *root = ref->path.len > 0 ? roots_find(roots, ref->path, &rest) : NULL;
    if (!root || memchr(ref->path.ptr, 0, ref->path.len)) {
        snprintf(why, why_size, "not under a --root of this uploader");
        return ERR_DENIED;
    }
    if (length > ref->file.size || offset > ref->file.size - length) {
        snprintf(why, why_size, "the range is not within the file");
        return ERR_INVALID;
    }
    struct local *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->source = (struct source){.ops = &local_ops, .offset = offset, .length = length};
    s->fd = -1;
    s->root = root;
    s->planned = ref->file;
    s->same_boot = slice_equal(ref->boot, slice_of(boot_id()));
    int err = root_path(root, slice_make(rest, (size_t)(ref->path.ptr + ref->path.len - rest)), &s->path);
    if (!err)
        err = local_open(s, &s->fd, why, why_size);
    if (err)
        local_close(&s->source);
    else
        *out = &s->source;
    return err;
}
