/*
 * The file of --sse-c-key: the key with which a store encrypts objects (SSE-C). It has 32 bytes, or their base64 in one
 * line. Only its MD5 leaves the process, except in requests to the store.
 */
#ifndef CHUNKLIFT_SSE_C_KEY_H
#define CHUNKLIFT_SSE_C_KEY_H

#include "pure/err.h"

#define SSE_C_KEY_BYTES 32
#define SSE_C_KEY_TEXT_SIZE 45 /* base64 of the key, and a NUL */
#define SSE_C_MD5_TEXT_SIZE 25 /* base64 of its MD5, and a NUL */

struct sse_c_key {
    char text[SSE_C_KEY_TEXT_SIZE]; /* secret; empty: no key */
    char md5[SSE_C_MD5_TEXT_SIZE];
};

/* ERR_USAGE: the file cannot be read, other users may read it, or it has no key; logged. ERR_NOMEM. On an error key is
 * wiped. */
int sse_c_key_read(const char *path, struct sse_c_key *key) MUST_CHECK;
void sse_c_key_wipe(struct sse_c_key *key);

#endif
