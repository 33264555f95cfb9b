#include "producer/cli/store/removal_object.h"

#include "producer/cli/store/difference.h"
#include "pure/dest.h"
#include "pure/nanotime.h"

bool removal_object_is_untouched(const struct stat *st, const struct catalog_object *recorded) {
    return S_ISREG(st->st_mode) && (uint64_t)st->st_size == recorded->size &&
           nanotime_of(st->st_mtim) == recorded->mtime_ns &&
           nanotime_of(st->st_ctim) <= (nanotime)recorded->since_us * 1000;
}

enum removal_object removal_object_judge(const struct catalog_object *recorded, const struct producer_answer *found,
                                         bool untouched, const char **why) {
    struct dest d;
    enum difference difference = difference_of_head(recorded, found);
    *why = difference_name(difference);
    if (difference == DIFFERENCE_MISSING)
        return REMOVAL_OBJECT_MISSING;
    if (difference || dest_parse(recorded->dest, &d))
        return REMOVAL_OBJECT_OTHER;
    if (d.scheme == DEST_FILE)
        return untouched || recorded->size == 0 ? REMOVAL_OBJECT_SAME : REMOVAL_OBJECT_UNREAD;
    if (id_equal(&found->owner, &recorded->upload))
        return REMOVAL_OBJECT_SAME;
    *why = difference_name(DIFFERENCE_REPLACED);
    return REMOVAL_OBJECT_OTHER;
}
