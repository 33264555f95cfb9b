/*
 * Curve25519 keys as text: Z85 (ZeroMQ RFC 32), 40 characters for 32 bytes. Keys have this form everywhere: files, libzmq
 * and people use it. Z85 has the character '#'.
 */
#ifndef CHUNKLIFT_Z85_H
#define CHUNKLIFT_Z85_H

#include "pure/buf.h"
#include <stdbool.h>

#define CURVE_TEXT_LEN 40
#define CURVE_BYTES 32

struct curve_key {
    char text[CURVE_TEXT_LEN + 1];
};

/* ERR_INVALID: not 40 characters of Z85, a group of five beyond 32 bits, or the key that is all zero. */
int curve_key_from_text(struct curve_key *key, struct slice text) MUST_CHECK;
void curve_key_from_bytes(struct curve_key *key, const uint8_t bytes[CURVE_BYTES]);

static inline bool curve_key_equal(const struct curve_key *a, const struct curve_key *b) {
    return memcmp(a->text, b->text, CURVE_TEXT_LEN) == 0;
}
/* False: no key, as of a connection without CURVE. */
static inline bool curve_key_is_set(const struct curve_key *key) {
    return key->text[0] != '\0';
}

#endif
