#include "consumer/state/upload_identity.h"

#include "pure/dest.h"
#include "pure/text.h"
#include <endian.h>

static bool text_has_nul(struct slice s) {
    return s.len && memchr(s.ptr, '\0', s.len);
}

const char *upload_identity_error(const struct upload_identity *is) {
    struct dest d;
    if (is->src.len == 0 || is->src.ptr[0] != '/' || text_has_nul(is->src))
        return "the source needs an absolute path";
    if (is->dest.len == 0 || text_has_nul(is->dest) || dest_parse(is->dest, &d))
        return "the destination is not valid";
    if (!utf8_is_valid(is->source) || !utf8_is_valid(is->endpoint))
        return "source name and endpoint must be UTF-8";
    if (text_has_nul(is->source) || text_has_nul(is->endpoint))
        return "source name and endpoint must be text";
    return NULL;
}

void upload_identity_to_record(const struct upload_identity *is, struct record *r) {
    r->has |= HAS_UPLOAD | HAS_SRC | HAS_DEST;
    r->src = is->src;
    r->source = is->source;
    r->dest = is->dest;
    r->endpoint = is->endpoint;
    r->file = is->file;
}

void upload_identity_from_record(const struct record *r, struct upload_identity *is) {
    *is = (struct upload_identity){
        .src = r->src, .source = r->source, .dest = r->dest, .endpoint = r->endpoint, .file = r->file};
}

/* ---- fingerprints ---- */

static int fingerprint_add_u64(struct digest *sha, uint64_t value) {
    uint64_t raw = htole64(value);
    return digest_add(sha, &raw, sizeof raw);
}

/* 8 bytes, and 8 more only for a time that needs them: this gives the same fingerprints as journals
 * with 64-bit times. */
static int fingerprint_add_time(struct digest *sha, nanotime t) {
    int err = fingerprint_add_u64(sha, (uint64_t)t);
    bool wide = t < INT64_MIN || t > INT64_MAX;
    return err || !wide ? err : fingerprint_add_u64(sha, (uint64_t)(t >> 64));
}

static int fingerprint_add_text(struct digest *sha, struct slice s) {
    int err = fingerprint_add_u64(sha, s.len);
    return err ? err : digest_add(sha, s.ptr, s.len);
}

static int fingerprint_end(struct digest *sha, struct id128 *out) {
    uint8_t sum[SHA256_SIZE];
    int err = digest_end(sha, sum);
    if (!err)
        memcpy(out->b, sum, sizeof out->b);
    return err;
}

int fingerprint_key(struct digest *sha, const struct upload_identity *is, struct id128 *out) {
    int err = digest_begin(sha);
    if (!err)
        err = fingerprint_add_text(sha, is->source);
    if (!err)
        err = fingerprint_add_text(sha, is->src);
    if (!err)
        err = fingerprint_add_u64(sha, is->file.size);
    if (!err)
        err = fingerprint_add_time(sha, is->file.mtime_ns);
    if (!err)
        err = fingerprint_add_text(sha, is->endpoint);
    if (!err)
        err = fingerprint_add_text(sha, is->dest);
    return err ? err : fingerprint_end(sha, out);
}

int fingerprint_dest(struct digest *sha, struct slice endpoint, struct slice dest, struct id128 *out) {
    int err = digest_begin(sha);
    if (!err)
        err = fingerprint_add_text(sha, endpoint);
    if (!err)
        err = fingerprint_add_text(sha, dest);
    return err ? err : fingerprint_end(sha, out);
}
