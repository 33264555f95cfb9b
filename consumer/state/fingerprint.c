#include "consumer/state/fingerprint.h"

static int add_u64(struct digest *sha, uint64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return digest_add(sha, bytes, sizeof bytes);
}

/* 8 bytes where they are enough, as in the journals of before. */
static int add_time(struct digest *sha, nanotime t) {
    int rc = add_u64(sha, (uint64_t)t);
    bool wide = t < INT64_MIN || t > INT64_MAX;
    return rc || !wide ? rc : add_u64(sha, (uint64_t)(t >> 64));
}

static int add_field(struct digest *sha, struct slice s) {
    int rc = add_u64(sha, s.len);
    if (!rc && s.len)
        rc = digest_add(sha, s.ptr, s.len);
    return rc;
}

static int end(struct digest *sha, struct id128 *out) {
    uint8_t sum[SHA256_SIZE];
    int rc = digest_end(sha, sum);
    if (!rc)
        memcpy(out->b, sum, sizeof out->b);
    return rc;
}

int fingerprint_key(struct digest *sha, const struct identity *i, struct id128 *out) {
    int rc = digest_begin(sha);
    if (!rc)
        rc = add_field(sha, i->source);
    if (!rc)
        rc = add_field(sha, i->path);
    if (!rc)
        rc = add_u64(sha, i->size);
    if (!rc)
        rc = add_time(sha, i->mtime_ns);
    if (!rc)
        rc = add_field(sha, i->endpoint);
    if (!rc)
        rc = add_field(sha, i->dest);
    return rc ? rc : end(sha, out);
}

int fingerprint_dest(struct digest *sha, struct slice endpoint, struct slice dest, struct id128 *out) {
    int rc = digest_begin(sha);
    if (!rc)
        rc = add_field(sha, endpoint);
    if (!rc)
        rc = add_field(sha, dest);
    return rc ? rc : end(sha, out);
}
