/* Growth of a heap array that its owner keeps as pointer, count and capacity. */
#ifndef CHUNKLIFT_ARRAY_H
#define CHUNKLIFT_ARRAY_H

#include "pure/err.h"
#include <stddef.h>

/* Makes room for one more element: doubles the capacity when count has reached it. items is the address of the array's
 * pointer (T **), size is that of an element. ERR_NOMEM: memory is out or the size overflows; the array is
 * unchanged. */
int array_grow(void *items, size_t *cap, size_t count, size_t size) MUST_CHECK;

#endif
