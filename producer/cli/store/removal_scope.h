/*
 * The objects that one `cp --delete` may remove: those that this journal recorded for files of its directories, with
 * the names that this command gives them. Everything else at the destination is not its own.
 */
#ifndef CHUNKLIFT_REMOVAL_SCOPE_H
#define CHUNKLIFT_REMOVAL_SCOPE_H

#include "producer/producer.h"
#include "pure/buf.h"

/* --delete, --delete-excluded, --max-delete */
struct removal_wish {
    bool given, excluded;
    uint64_t max; /* UINT64_MAX: no limit */
};

struct removal_scope {
    struct producer_tree *trees;
    size_t tree_count;
    char *source_name, *endpoint; /* endpoint: empty for file:// */
    char *allow;                  /* the URL under which all destinations of the run are */
    bool follow_links;            /* inside trees */
    bool one_file_system;         /* directories of other file systems are no part of a tree */
    struct selection *selection;  /* not its own; files that it leaves out count as gone. NULL: only missing files do */
};

/* Takes the scope of a run from its producer and its configuration. ERR_NOMEM: *s is released. */
int removal_scope_init(struct removal_scope *s, const struct producer *p, const struct producer_config *config,
                       bool excluded) MUST_CHECK;
void removal_scope_release(struct removal_scope *s);

/* Pure. Finds the tree with this file that gives it exactly this destination, and its name in the tree, which points
 * into src. ERR_NOT_FOUND: there is none. ERR_NOMEM. */
int removal_scope_find(const struct removal_scope *s, const char *src, struct slice source, struct slice dest,
                       const struct producer_tree **tree, const char **name) MUST_CHECK;

#endif
