/*
 * The identity of an upload: source, destination, and the source file as it was planned. Two plans
 * with the same identity are the same upload.
 *
 * Fingerprints replace these fields wherever uploads are looked up. A fingerprint is the first 16
 * bytes of SHA-256 over the fields, each preceded by its length, so that two lists of fields cannot
 * give the same bytes.
 */
#ifndef CHUNKLIFT_CONSUMER_UPLOAD_IDENTITY_H
#define CHUNKLIFT_CONSUMER_UPLOAD_IDENTITY_H

#include "journal/record.h"
#include "pure/buf.h"
#include "pure/digest.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/source_identity.h"

struct upload_identity {
    struct slice src, source; /* absolute path; --source-name */
    struct slice dest, endpoint;
    struct source_identity file; /* dev and mode are not used */
};

/* NULL: the identity can be recorded and read back unchanged. Otherwise the reason, for people.
 * Static storage. */
const char *upload_identity_error(const struct upload_identity *is);
/* Fills the identity fields of r, with their bits. */
void upload_identity_to_record(const struct upload_identity *is, struct record *r);
/* The slices point to those of r. */
void upload_identity_from_record(const struct record *r, struct upload_identity *is);

/* Of everything but inode number and ctime, which are compared separately. sha is a reused SHA-256
 * context. */
int fingerprint_key(struct digest *sha, const struct upload_identity *is, struct id128 *out) MUST_CHECK;
/* Of the destination. */
int fingerprint_dest(struct digest *sha, struct slice endpoint, struct slice dest, struct id128 *out) MUST_CHECK;

#endif
