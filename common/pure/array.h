/* Growth of a heap array that its owner keeps as pointer, count and capacity. */
#ifndef CHUNKLIFT_ARRAY_H
#define CHUNKLIFT_ARRAY_H

#include "pure/err.h"
#include <stddef.h>

/* Makes room for one more element: doubles the capacity when count has reached it. items is the address of the array's
 * pointer (T **), size is that of an element. ERR_NOMEM: memory is out or the size overflows; the array is
 * unchanged. */
int array_grow(void *items, size_t *cap, size_t count, size_t size) MUST_CHECK;

/* Room for exactly one more element, for short arrays that keep no capacity. items, size and errors as above. */
int array_grow_by_one(void *items, size_t count, size_t size) MUST_CHECK;

/* count elements of zeroes, for the caller to free; never NULL for a count of 0. NULL: memory is out. */
void *array_zeroed(size_t count, size_t size) MUST_CHECK;

#endif
