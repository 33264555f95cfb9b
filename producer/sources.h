/*
 * The SRC… DEST arguments: what each SRC is, and the names its files get at the destination (docs: INTERFACE "Names").
 *
 * One file and a DEST that neither ends in a slash nor is an existing directory: DEST is its name. Otherwise DEST is a
 * prefix: a lone directory puts its contents directly under it, several SRCs go under their own names. A SRC that
 * cannot be used carries its error and the others go on.
 */
#ifndef CHUNKLIFT_SOURCES_H
#define CHUNKLIFT_SOURCES_H

#include "pure/dest.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

struct source_item {
    char *given;    /* as the user wrote it */
    char *path;     /* absolute, symlinks resolved; NULL when error is set */
    char *name;     /* under the prefix; empty: contents directly under it, or DEST is the name */
    bool directory; /* to be walked */
    char *error;    /* for people; NULL when it can be used */
};

struct sources {
    struct source_item *items;
    size_t count;
    char *dest; /* URL: the prefix, or the name when dest_is_name */
    bool dest_is_name;
    enum dest_scheme scheme;
    char *allow;  /* URL beneath which every destination lies */
    char **roots; /* directories beneath which every source lies, each once */
    size_t root_count;
};

/* ERR_USAGE (logged): DEST or a SRC cannot be meant so. ERR_NOMEM, ERR_IO (logged). On error nothing is kept. */
int sources_init(struct sources *s, const char *const *given, size_t count, const char *dest,
                 bool recursive) MUST_CHECK;
/* No sources: destinations of uploads that are to be aborted, all of them like this one. */
int sources_init_drops(struct sources *s, const char *dest) MUST_CHECK;
void sources_release(struct sources *s);

#endif
