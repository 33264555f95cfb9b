/* An object that `cp --delete` works on, from the question about it to the record of its end. */
#ifndef CHUNKLIFT_REMOVAL_ITEM_H
#define CHUNKLIFT_REMOVAL_ITEM_H

#include "producer/cli/store/removal_list.h"
#include "producer/cli/store/removal_object.h"
#include "pure/list.h"

struct removal_item {
    struct list node; /* in the list of its state (removal_run.c) */
    struct catalog_object object;
    char *src, *dest, *etag;
    const char *name; /* in src */
    const struct producer_tree *tree;
    bool untouched;   /* removal_object_is_untouched */
    uint32_t *crcs;   /* of the ranges that were read; NULL: none is read */
    bool range_lacks; /* one of them was not there */
    enum removal_object verdict;
    const char *why;      /* of another object */
    char *reason;         /* why it was not removed; NULL: it was */
    enum removal outcome; /* to be recorded; REMOVAL_NONE: nothing is */
};

/* Copies the candidate, and looks at a file:// destination. NULL: out of memory. */
struct removal_item *removal_item_new(const struct removal_candidate *c);
void removal_item_free(struct removal_item *item);
/* Takes the crc32c of one range. */
void removal_item_take_range(struct removal_item *item, uint32_t range, const struct producer_answer *answer);
/* All answers are there: the verdict is never REMOVAL_OBJECT_UNREAD afterwards. */
enum removal_object removal_item_conclude(struct removal_item *item);

#endif
