/* Bits in an array of bytes: bit i is bit i % 8 of byte i / 8, as in the messages. */
#ifndef CHUNKLIFT_BITMAP_H
#define CHUNKLIFT_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes for so many bits. */
static inline size_t bitmap_size(size_t bits) {
    return bits / 8 + (bits % 8 != 0);
}
static inline bool bitmap_get(const uint8_t *bitmap, size_t i) {
    return bitmap[i / 8] >> (i % 8) & 1;
}
static inline void bitmap_set(uint8_t *bitmap, size_t i) {
    bitmap[i / 8] |= (uint8_t)(1u << (i % 8));
}
static inline void bitmap_clear(uint8_t *bitmap, size_t i) {
    bitmap[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

#endif
