#include "uploader/releases.h"

#include "pure/check.h"
#include <stdlib.h>
#include <string.h>

static bool grow(struct releases *r) {
    if (r->count < r->cap)
        return true;
    if (r->count == RELEASES_MAX)
        return false;
    size_t cap = r->cap ? r->cap * 2 : 64;
    struct released *items = realloc(r->items, cap * sizeof *items);
    if (!items)
        return false;
    r->items = items;
    r->cap = cap;
    return true;
}

void releases_add(struct releases *r, const struct ref *ref, enum why why, uint32_t after_ms, const char *detail,
                  uint64_t bytes) {
    if (!grow(r))
        return;
    char *copy = detail && *detail ? strndup(detail, RELEASE_DETAIL_MAX) : NULL;
    r->items[r->count++] =
        (struct released){.ref = *ref, .why = why, .after_ms = after_ms, .detail = slice_of(copy), .bytes = bytes};
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
