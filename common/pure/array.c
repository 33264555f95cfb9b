#include "pure/array.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define CAP_FIRST 16

static int array_resize(void *items, size_t wanted, size_t size) {
    void *old;
    memcpy(&old, items, sizeof old); /* items is a T **, which a void ** must not alias */
    void *grown =
        wanted <= SIZE_MAX / size ? realloc(old, wanted * size) : NULL; /* no call that overflows: sanitizers abort */
    if (!grown)
        return ERR_NOMEM;
    memcpy(items, &grown, sizeof grown);
    return 0;
}

int array_grow(void *items, size_t *cap, size_t count, size_t size) {
    if (count < *cap)
        return 0;
    if (*cap > SIZE_MAX / 2)
        return ERR_NOMEM;
    size_t wanted = *cap ? *cap * 2 : CAP_FIRST;
    int err = array_resize(items, wanted, size);
    if (!err)
        *cap = wanted;
    return err;
}

int array_grow_by_one(void *items, size_t count, size_t size) {
    return array_resize(items, count + 1, size);
}

void *array_zeroed(size_t count, size_t size) {
    return count <= SIZE_MAX / size ? calloc(MAX(count, 1), size) : NULL;
}
