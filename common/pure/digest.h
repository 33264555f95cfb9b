/*
 * Digests. crc32c (Castagnoli, RFC 3720 B.4) is the checksum that chunklift records for chunks and files: ISA-L computes
 * it at memory speed, and two crcs combine without the bytes. All crc values here are final ones (init and final xor
 * applied).
 */
#ifndef CHUNKLIFT_DIGEST_H
#define CHUNKLIFT_DIGEST_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

/* Continues the crc `crc` with more bytes; start with 0. */
uint32_t crc32c_add(uint32_t crc, const void *bytes, size_t len);
/* crc of A ‖ B from crc(A), crc(B) and B's length in bytes. O(log length). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

/* The journal's form: "crc32c:1a2b3c4d" and a NUL. */
#define CRC_TEXT_SIZE 16
void crc32c_to_text(uint32_t crc, char out[CRC_TEXT_SIZE]);
int crc32c_from_text(struct slice text, uint32_t *crc) MUST_CHECK;
/* S3's form of a crc header: base64 of the four bytes, big-endian (8 characters and a NUL). */
#define CRC_BASE64_SIZE 9
void crc32c_to_base64(uint32_t crc, char out[CRC_BASE64_SIZE]);
int crc32c_from_base64(struct slice text, uint32_t *crc) MUST_CHECK;

/* MD5, SHA-1 and SHA-256 run incrementally on one reused libcrypto context. */
struct digest; /* opaque */
enum digest_kind { DIGEST_SHA256, DIGEST_SHA1, DIGEST_MD5 };
#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65 /* with the NUL */
#define SHA1_SIZE 20
#define SHA1_HEX_SIZE 41 /* with the NUL */
#define MD5_SIZE 16
int digest_new(struct digest **d, enum digest_kind kind) MUST_CHECK;
int digest_begin(struct digest *d) MUST_CHECK; /* also starts again */
int digest_add(struct digest *d, const void *bytes, size_t len) MUST_CHECK;
int digest_end(struct digest *d, uint8_t *out) MUST_CHECK; /* SHA256_SIZE, SHA1_SIZE or MD5_SIZE bytes */
void digest_destroy(struct digest **d);

#endif
