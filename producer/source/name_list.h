/*
 * The list of --files-from: names relative to one directory, one on each line, or each followed by a NUL. It is read
 * piece by piece, so its length does not matter, and without blocking, so the command that writes it may be slow.
 *
 * Lines are read as rclone reads them: white space at both ends is removed, and empty lines and lines that begin with
 * '#' or ';' are ignored. Names that end with NUL are taken as they are. "./" and double slashes are dropped from names.
 * Absolute names and names with ".." are refused, one by one: an endless list has no end to check before the start.
 */
#ifndef CHUNKLIFT_NAME_LIST_H
#define CHUNKLIFT_NAME_LIST_H

#include "pure/err.h"
#include <stdbool.h>
#include <sys/stat.h>

#define NAME_LIST_IDLE_MAX ((size_t)1 << 20) /* bytes without a name: it is no list */

enum name_kind {
    NAME_GOOD = 1, /* text: the name */
    NAME_BAD,      /* text: the name as given, or its begin; problem: why it is refused */
    NAME_WAIT,     /* nothing can be read now: wait for name_list_fd */
    NAME_BROKEN,   /* the list cannot be read further: problem */
    NAME_END,
};

struct name {
    enum name_kind kind;
    const char *text; /* valid until the next call */
    const char *problem;
};

struct name_list;

/* path: "-" is standard input. directory: absolute; names are relative to it. follow_links: a name may lead through
 * symbolic links. Blocks while path is a fifo that nothing writes to. ERR_USAGE (logged), ERR_NOMEM. */
int name_list_open(struct name_list **l, const char *path, bool nul, const char *directory,
                   bool follow_links) MUST_CHECK;
void name_list_close(struct name_list **l);
void name_list_next(struct name_list *l, struct name *name);
/* Readable when the list can continue. */
int name_list_fd(const struct name_list *l);
/* Opens and stats the file of a good name. *problem is NULL when it can be read; else it is valid until the next call. */
void name_list_probe(struct name_list *l, const char *name, struct stat *st, const char **problem);

#endif
