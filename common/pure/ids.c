#include "pure/ids.h"
#include <sys/random.h>

int id_random(struct id128 *id) {
    return getentropy(id->b, sizeof id->b) == 0 ? 0 : ERR_IO;
}

void id_to_hex(const struct id128 *id, char out[ID_HEX_SIZE]) {
    hex_encode(id->b, sizeof id->b, out);
}

int id_from_hex(struct id128 *id, struct slice hex) {
    return hex_decode(hex, id->b, sizeof id->b);
}

void hex_encode(const void *bytes, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * len] = '\0';
}

/* 0–15, or more for any other character. A table, because digits and letters mix at random: with comparisons, branch
 * mispredictions took half of the time of a start. */
static unsigned hex_nibble(char c) {
    static const uint8_t one_more[256] = {
        ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
        ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    };
    return one_more[(unsigned char)c] - 1u;
}

int hex_decode(struct slice hex, void *bytes, size_t len) {
    if (hex.len % 2 != 0 || hex.len / 2 != len)
        return ERR_INVALID;
    uint8_t *out = bytes;
    for (size_t i = 0; i < len; i++) {
        unsigned high = hex_nibble(hex.ptr[2 * i]), low = hex_nibble(hex.ptr[2 * i + 1]);
        if ((high | low) > 15)
            return ERR_INVALID;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}
