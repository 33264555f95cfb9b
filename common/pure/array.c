#include "pure/array.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 16

int array_grow(void *items, size_t *cap, size_t count, size_t size) {
    if (count < *cap)
        return 0;
    if (*cap > SIZE_MAX / 2)
        return ERR_NOMEM;
    size_t wanted = *cap ? *cap * 2 : CAP_FIRST;
    if (wanted > SIZE_MAX / size)
        return ERR_NOMEM;
    void *old;
    memcpy(&old, items, sizeof old); /* items is a T **, which a void ** must not alias */
    void *grown = realloc(old, wanted * size);
    if (!grown)
        return ERR_NOMEM;
    memcpy(items, &grown, sizeof grown);
    *cap = wanted;
    return 0;
}
