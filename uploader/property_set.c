#include "uploader/property_set.h"
#include <stdlib.h>

int property_set_update(struct property_set **set, const struct properties *p) {
    if (*set && properties_are_equal(&(*set)->properties, p))
        return 0;
    struct property_set *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return ERR_NOMEM;
    if (properties_copy(&fresh->properties, p, &fresh->memory)) {
        free(fresh);
        return ERR_NOMEM;
    }
    fresh->holders = 1;
    property_set_drop(set);
    *set = fresh;
    return 0;
}

struct property_set *property_set_hold(struct property_set *set) {
    if (set)
        set->holders++;
    return set;
}

void property_set_drop(struct property_set **set) {
    struct property_set *s = *set;
    *set = NULL;
    if (!s || --s->holders > 0)
        return;
    free(s->memory);
    free(s);
}
