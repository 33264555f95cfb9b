/* The properties of one producer's jobs, shared by the tasks that came with them. */
#ifndef CHUNKLIFT_PROPERTY_SET_H
#define CHUNKLIFT_PROPERTY_SET_H

#include "pure/err.h"
#include "pure/properties.h"

struct property_set {
    struct properties properties;
    void *memory;
    uint64_t holders;
};

/* Makes *set, which its caller holds, one with these properties: it stays when they are equal, otherwise it is replaced.
 * ERR_NOMEM: it is unchanged. */
int property_set_update(struct property_set **set, const struct properties *p) MUST_CHECK;
/* One more holder; NULL stays NULL. */
struct property_set *property_set_hold(struct property_set *set);
/* The holder's pointer becomes NULL. The last one frees the set. */
void property_set_drop(struct property_set **set);

#endif
