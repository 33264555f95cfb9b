/*
 * The SRC… DEST arguments: the kind of each SRC, and the names of its files at the destination.
 *
 * With one file, and a DEST that neither ends in a slash nor is an existing directory, DEST is the object's name.
 * Otherwise DEST is a prefix: the contents of a single directory go directly under it, several SRCs go under their own
 * names. A SRC that cannot be used carries its error, and the others continue.
 */
#ifndef CHUNKLIFT_SOURCES_H
#define CHUNKLIFT_SOURCES_H

#include "pure/dest.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SOURCES_STDIN_PATH "/dev/stdin" /* the path of standard input in messages and records */

struct source_item {
    char *given;    /* as the user wrote it */
    char *path;     /* absolute, symlinks resolved; NULL when error is set */
    char *name;     /* relative to the prefix; empty: contents directly under it, or DEST is the name */
    bool directory; /* to be walked */
    dev_t dev;      /* of a directory: its file system at the start, */
    ino_t ino;      /* and its number */
    char *error;    /* to show to the user; NULL: it can be used */
};

struct sources {
    struct source_item *items;
    size_t count;
    char *dest; /* URL: the prefix, or the name when dest_is_name */
    bool dest_is_name;
    enum dest_scheme scheme;
    char *allow;  /* URL under which all destinations are */
    char **roots; /* directories that contain all sources, each once */
    size_t root_count;
};

/* ERR_USAGE (logged): DEST or a SRC is not usable. ERR_IO (logged), ERR_NOMEM. On error *s is released. */
int sources_init(struct sources *s, const char *const *given, size_t count, const char *dest,
                 bool recursive) MUST_CHECK;
/* Standard input as the only source: DEST is the object's name. Errors as above. */
int sources_init_stdin(struct sources *s, const char *dest) MUST_CHECK;
/* Without sources: for uploads to abort. dest is the destination of one of them; the others are at the same store. */
int sources_init_drops(struct sources *s, const char *dest) MUST_CHECK;
void sources_release(struct sources *s);

#endif
