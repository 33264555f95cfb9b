/* Classes of ASCII characters, independent of the locale. */
#ifndef CHUNKLIFT_ASCII_H
#define CHUNKLIFT_ASCII_H

#include <stdbool.h>

static inline bool ascii_is_digit(char c) {
    return c >= '0' && c <= '9';
}
static inline bool ascii_is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c);
}

#endif
