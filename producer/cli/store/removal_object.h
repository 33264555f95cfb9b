/* Is the object at the destination the recorded one? Only that one is removed. Pure. */
#ifndef CHUNKLIFT_REMOVAL_OBJECT_H
#define CHUNKLIFT_REMOVAL_OBJECT_H

#include "producer/cli/store/catalog.h"
#include "producer/producer_events.h"
#include <sys/stat.h>

enum removal_object {
    REMOVAL_OBJECT_OTHER,   /* another one, or one that was changed */
    REMOVAL_OBJECT_MISSING, /* there is none */
    REMOVAL_OBJECT_SAME,
    REMOVAL_OBJECT_UNREAD, /* a file of the recorded size: its bytes decide */
};

/* The lstat of a file:// destination: it has the recorded size and the time of its source, and no change since its
 * record. */
bool removal_object_is_untouched(const struct stat *st, const struct catalog_object *recorded);

/*
 * From the answer to `head`. In a store the object has to carry the id of its upload: another program may have
 * written the same bytes. A file carries none. untouched: removal_object_is_untouched. *why: how an other one
 * differs.
 */
enum removal_object removal_object_judge(const struct catalog_object *recorded, const struct producer_answer *found,
                                         bool untouched, const char **why);

#endif
