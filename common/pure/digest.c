/*
 * crc32c: a crc is a polynomial over GF(2), bit 31 the coefficient of x^0. Appending n bytes multiplies the polynomial
 * by x^(8n), so crc(A ‖ B) = crc(A)·x^(8·|B|) + crc(B); init and final xor cancel out.
 */
#include "pure/digest.h"
#include "pure/check.h"
#include "pure/ids.h"
#include "pure/text.h"
#include <assert.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u
#define CRC_PREFIX "crc32c:"
#define CRC_PREFIX_LEN (sizeof CRC_PREFIX - 1)

/* ISA-L takes the crc register without the xor, and an int length. */
uint32_t crc32c_add(uint32_t crc, const void *bytes, size_t len) {
    unsigned char *at = (unsigned char *)bytes; /* only its prototype lacks the const */
    uint32_t state = ~crc;
    while (len > 0) {
        size_t piece = len < (size_t)1 << 30 ? len : (size_t)1 << 30;
        state = crc32_iscsi(at, (int)piece, state);
        at += piece;
        len -= piece;
    }
    return ~state;
}

/* [k] is x^(8·2^k) modulo the polynomial; each is the square of the previous one. */
static const uint32_t power_of_bytes[64] = {
    0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
    0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
    0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc,
    0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000, 0x20000000, 0x08000000, 0x00800000,
    0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72,
    0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6,
    0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe,
    0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000,
};

static uint32_t crc32c_multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (; a; a <<= 1) {
        product ^= a >> 31 ? b : 0;
        b = b >> 1 ^ (b & 1 ? CRC32C_POLYNOMIAL : 0);
    }
    return product;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b) {
    for (unsigned k = 0; length_b; k++, length_b >>= 1)
        if (length_b & 1)
            crc_a = crc32c_multiply(power_of_bytes[k], crc_a);
    return crc_a ^ crc_b;
}

static uint32_t crc_from_big_endian(const uint8_t bytes[4]) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

void crc32c_to_text(uint32_t crc, char out[CRC_TEXT_SIZE]) {
    static_assert(CRC_TEXT_SIZE == CRC_PREFIX_LEN + 8 + 1, "prefix, eight digits, NUL");
    const uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    memcpy(out, CRC_PREFIX, CRC_PREFIX_LEN);
    hex_encode(bytes, sizeof bytes, out + CRC_PREFIX_LEN);
}

int crc32c_from_text(struct slice text, uint32_t *crc) {
    uint8_t bytes[4];
    if (text.len != CRC_TEXT_SIZE - 1 || memcmp(text.ptr, CRC_PREFIX, CRC_PREFIX_LEN) != 0)
        return ERR_INVALID;
    int err = hex_decode(slice_make(text.ptr + CRC_PREFIX_LEN, 8), bytes, sizeof bytes);
    if (!err)
        *crc = crc_from_big_endian(bytes);
    return err;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void crc32c_to_base64(uint32_t crc, char out[CRC_BASE64_SIZE]) {
    for (int i = 0; i < 5; i++)
        out[i] = base64_digits[crc >> (26 - 6 * i) & 63];
    out[5] = base64_digits[crc << 4 & 63]; /* the last two bits and four zeros */
    memcpy(out + 6, "==", 3);
}

int crc32c_from_base64(struct slice text, uint32_t *crc) {
    uint64_t bits = 0;
    if (text.len != CRC_BASE64_SIZE - 1 || memcmp(text.ptr + 6, "==", 2) != 0)
        return ERR_INVALID;
    for (int i = 0; i < 6; i++) {
        const char *digit = text.ptr[i] ? strchr(base64_digits, text.ptr[i]) : NULL;
        if (!digit)
            return ERR_INVALID;
        bits = bits << 6 | (uint64_t)(digit - base64_digits);
    }
    if (bits & 15)
        return ERR_INVALID;
    *crc = (uint32_t)(bits >> 4);
    return 0;
}

struct digest {
    EVP_MD_CTX *context;
    EVP_MD *method;
    unsigned size;
};

static const struct {
    const char *name;
    unsigned size;
} digest_kinds[] = {
    [DIGEST_SHA256] = {"SHA256", SHA256_SIZE}, [DIGEST_SHA1] = {"SHA1", SHA1_SIZE}, [DIGEST_MD5] = {"MD5", MD5_SIZE}};

int digest_new(struct digest **out, enum digest_kind kind) {
    struct digest *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d)
        return ERR_NOMEM;
    int err = ERR_NOMEM;
    d->size = digest_kinds[kind].size;
    d->context = EVP_MD_CTX_new();
    if (!d->context)
        goto out;
    err = ERR_DENIED; /* the library's configuration (FIPS) can forbid MD5 */
    d->method = EVP_MD_fetch(NULL, digest_kinds[kind].name, NULL);
    if (!d->method || EVP_DigestInit_ex2(d->context, d->method, NULL) != 1)
        goto out;
    *out = d;
    return 0;
out:
    digest_destroy(&d);
    return err;
}

/* A NULL method restarts the context with its own method, without a look-up or an allocation. */
int digest_begin(struct digest *d) {
    return EVP_DigestInit_ex2(d->context, NULL, NULL) == 1 ? 0 : ERR_NOMEM;
}

int digest_add(struct digest *d, const void *bytes, size_t len) {
    return EVP_DigestUpdate(d->context, bytes, len) == 1 ? 0 : ERR_NOMEM;
}

int digest_end(struct digest *d, uint8_t *out) {
    unsigned size = 0;
    if (EVP_DigestFinal_ex(d->context, out, &size) != 1)
        return ERR_NOMEM;
    CHECK(size == d->size);
    return 0;
}

void digest_destroy(struct digest **d) {
    if (!*d)
        return;
    EVP_MD_CTX_free((*d)->context);
    EVP_MD_free((*d)->method);
    free(*d);
    *d = NULL;
}
