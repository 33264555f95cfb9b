/*
 * The objects without a source: the journal has them as the last ones at destinations of this command, or their removal
 * was interrupted, and their files are gone now. Each pass looks at the files again.
 */
#ifndef CHUNKLIFT_REMOVAL_LIST_H
#define CHUNKLIFT_REMOVAL_LIST_H

#include "producer/cli/store/catalog.h"
#include "producer/cli/store/removal_source.h"

struct removal_list;

/* Valid until the next call. */
struct removal_candidate {
    struct catalog_object object;
    const char *src, *dest, *name; /* name: in the tree; it points into src */
    const struct producer_tree *tree;
};

/* Reads the journal in dir. s and dir must outlive the list. ERR_NOT_FOUND: there is no journal. ERR_DAMAGED, ERR_IO:
 * logged. ERR_NOMEM. */
int removal_list_open(struct removal_list **l, const struct removal_scope *s, const char *dir) MUST_CHECK;
void removal_list_close(struct removal_list **l);
/* Begins a pass. Errors as above. */
int removal_list_rewind(struct removal_list *l) MUST_CHECK;
/* ERR_NOT_FOUND: there are no more. ERR_LOST: as removal_source_look. Others as above. */
int removal_list_next(struct removal_list *l, struct removal_candidate *c) MUST_CHECK;
/* A pass that only counts. Errors of removal_list_next, except ERR_NOT_FOUND. ERR_LIMIT (logged): *count is more than
 * max, the value of --max-delete. */
int removal_list_count(struct removal_list *l, uint64_t max, uint64_t *count) MUST_CHECK;

#endif
