#include "uploader/releases.h"

#include "pure/array.h"
#include "pure/check.h"
#include <stdlib.h>
#include <string.h>

static void releases_append(struct releases *r, const struct released *released, const char *detail) {
    if (r->count == RELEASES_MAX || array_grow(&r->items, &r->cap, r->count, sizeof *r->items))
        return;
    char *copy = detail && *detail ? strndup(detail, RELEASE_DETAIL_MAX) : NULL;
    r->items[r->count] = *released;
    r->items[r->count++].detail = slice_of(copy);
}

void releases_add(struct releases *r, const struct ref *ref, enum why why, uint32_t after_ms, const char *detail,
                  uint64_t bytes) {
    const struct released released = {.ref = *ref, .why = why, .after_ms = after_ms, .bytes = bytes};
    releases_append(r, &released, detail);
}

void releases_add_trouble(struct releases *r, const struct ref *ref, enum own_failure own, enum fail_class class,
                          uint32_t after_ms, const char *detail, uint64_t bytes) {
    const struct released released = {
        .ref = *ref, .why = WHY_NOT_HERE, .after_ms = after_ms, .bytes = bytes, .own = own, .class = class};
    releases_append(r, &released, detail);
}

void releases_drop(struct releases *r, size_t count) {
    CHECK(count <= r->count);
    for (size_t i = 0; i < count; i++)
        free((char *)r->items[i].detail.ptr);
    r->count -= count;
    memmove(r->items, r->items + count, r->count * sizeof *r->items);
}

void releases_release(struct releases *r) {
    if (r->items)
        releases_drop(r, r->count);
    free(r->items);
    *r = (struct releases){0};
}
