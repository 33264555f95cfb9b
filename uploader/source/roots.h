/*
 * The --root directories (or single files) that this uploader may read, opened once at the start.
 *
 * A root has the name it was given and the one it resolves to, so that a path under either is found. Files are opened
 * under the resolved directory, which no symlink leaves.
 */
#ifndef CHUNKLIFT_ROOTS_H
#define CHUNKLIFT_ROOTS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

struct root {
    char *given, *real; /* absolute; no slash at the end, except of "/" */
    char *dir;          /* the directory behind fd: real, or its parent when real is a file */
    int fd;             /* O_PATH */
};
struct roots;

/* ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (neither a directory nor a regular file): logged. ERR_NOMEM. */
int roots_new(struct roots **r, const char *const *paths, size_t count) MUST_CHECK;
void roots_destroy(struct roots **r);
/* True: path is absolute, and is a root or is under one (whole components). */
bool roots_contain(const struct roots *r, struct slice path);
/* The root that contains path; *rest is the part of path after the root ("" for the root itself). NULL: none. */
const struct root *roots_find(const struct roots *r, struct slice path, const char **rest);
/* The path of *rest under the resolved root, on the heap. ERR_NOMEM: *path is NULL. */
int root_path(const struct root *root, struct slice rest, char **path) MUST_CHECK;

#endif
