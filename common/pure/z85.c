#include "pure/z85.h"

static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/* Five characters, four bytes, the highest first. */
static int group_value(const char *text, uint64_t *value) {
    *value = 0;
    for (int i = 0; i < 5; i++) {
        const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;
        if (!at)
            return ERR_INVALID;
        *value = *value * 85 + (uint64_t)(at - alphabet);
    }
    return *value <= UINT32_MAX ? 0 : ERR_INVALID;
}

int curve_key_from_text(struct curve_key *key, struct slice text) {
    uint64_t any = 0, value;
    *key = (struct curve_key){{0}};
    if (text.len != CURVE_TEXT_LEN)
        return ERR_INVALID;
    for (size_t i = 0; i < CURVE_TEXT_LEN; i += 5) {
        if (group_value(text.ptr + i, &value))
            return ERR_INVALID;
        any |= value;
    }
    if (any == 0)
        return ERR_INVALID;
    memcpy(key->text, text.ptr, CURVE_TEXT_LEN);
    return 0;
}

void curve_key_from_bytes(struct curve_key *key, const uint8_t bytes[CURVE_BYTES]) {
    for (size_t i = 0; i < CURVE_BYTES / 4; i++) {
        uint32_t value = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 |
                         (uint32_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
        for (size_t j = 5; j-- > 0; value /= 85)
            key->text[5 * i + j] = alphabet[value % 85];
    }
    key->text[CURVE_TEXT_LEN] = '\0';
}
