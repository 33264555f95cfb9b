#include "pure/source_identity.h"

#include <stddef.h>

const char *source_identity_difference(const struct source_identity *planned, const struct source_identity *now,
                                       bool same_boot) {
    if ((planned->ino && planned->ino != now->ino) || (same_boot && planned->dev != now->dev))
        return "replaced by another file";
    if (planned->size != now->size)
        return "size changed";
    if (planned->mtime_ns != now->mtime_ns)
        return "mtime moved";
    if (planned->ctime_ns != now->ctime_ns)
        return "ctime moved"; /* written and mtime restored, or mode, owner or links changed */
    return NULL;
}
