/* 128-bit identifiers: uploads, journals, incarnations. In text: 32 lower-case hex digits. */
#ifndef CHUNKLIFT_IDS_H
#define CHUNKLIFT_IDS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct id128 {
    uint8_t b[16];
};

#define ID_HEX_LEN 32
#define ID_HEX_SIZE 33 /* with the NUL */

/* Random bits from getentropy(3); ERR_IO when the kernel refuses. */
int id_random(struct id128 *id) MUST_CHECK;
void id_to_hex(const struct id128 *id, char out[ID_HEX_SIZE]);
/* Exactly 32 lower-case hex digits, else ERR_INVALID. */
int id_from_hex(struct id128 *id, struct slice hex) MUST_CHECK;

/* len bytes as 2*len lower-case hex digits and a NUL. */
void hex_encode(const void *bytes, size_t len, char *out);
/* Exactly 2*len lower-case hex digits into len bytes, else ERR_INVALID. */
int hex_decode(struct slice hex, void *bytes, size_t len) MUST_CHECK;

static inline bool id_equal(const struct id128 *a, const struct id128 *b) {
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}
static inline bool id_is_zero(const struct id128 *id) {
    static const struct id128 zero;
    return id_equal(id, &zero);
}
static inline uint64_t id_hash(const struct id128 *id) { /* random bits already */
    uint64_t h;
    memcpy(&h, id->b, sizeof h);
    return h;
}

#endif
