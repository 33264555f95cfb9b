/*
 * Fingerprints: the first 16 bytes of SHA-256 over the fields of an upload's identity, each with its length in front so
 * that no two lists of fields run into each other. They stand for the fields wherever uploads are looked up.
 */
#ifndef CHUNKLIFT_CONSUMER_FINGERPRINT_H
#define CHUNKLIFT_CONSUMER_FINGERPRINT_H

#include "pure/buf.h"
#include "pure/digest.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/nanotime.h"
#include <stdint.h>

/* What makes two plans the same upload (together with inode and ctime, which are compared apart). */
struct identity {
    struct slice source, path; /* --source-name, absolute path */
    uint64_t size;
    nanotime mtime_ns;
    struct slice endpoint, dest;
};

/* sha is a reused SHA-256 context. */
int fingerprint_key(struct digest *sha, const struct identity *i, struct id128 *out) MUST_CHECK;
int fingerprint_dest(struct digest *sha, struct slice endpoint, struct slice dest, struct id128 *out) MUST_CHECK;

#endif
