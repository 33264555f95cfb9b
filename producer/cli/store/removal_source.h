/* The source of a recorded object: is it gone? In doubt it is not. */
#ifndef CHUNKLIFT_REMOVAL_SOURCE_H
#define CHUNKLIFT_REMOVAL_SOURCE_H

#include "producer/cli/store/removal_scope.h"
#include <sys/stat.h>

enum removal_source {
    REMOVAL_SOURCE_THERE,    /* it exists, or may exist */
    REMOVAL_SOURCE_GONE,     /* there is no such file, or it is a directory now */
    REMOVAL_SOURCE_EXCLUDED, /* it exists, and the selection leaves it out */
};

/* Pure. From the result of lstat: error is errno, or 0 and *st is valid. */
enum removal_source removal_source_judge(int error, const struct stat *st);

/*
 * Looks at the file path, which has this name in the tree. A file that is missing behind a symbolic link counts as
 * there, except where the run follows links and this one leads to a directory. So does one that is missing on another
 * file system than the tree's, with --one-file-system. ERR_LOST: the tree is not a directory of the same file system
 * any more, so nothing can be said about its files (logged). ERR_NOMEM.
 */
int removal_source_look(const struct removal_scope *s, const struct producer_tree *tree, const char *path,
                        const char *name, enum removal_source *found) MUST_CHECK;

#endif
