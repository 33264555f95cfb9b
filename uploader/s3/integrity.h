/*
 * Proof that the store has the bytes that were read (rule 16): the check that a chunk or put is
 * sent with, whether the store refuses wrong bytes, and the result of the check.
 *
 * The order of preference: CRC32C where the store verifies it; TLS alone; a signed SHA-256 of the
 * payload or Content-MD5, whichever this CPU computes faster; an ETag that is the MD5 of the bytes;
 * none, with a warning.
 *
 * No claim of a store is trusted. The first operation that needs a check that the endpoint was not
 * seen to use sends a request with a wrong digest (a probe); the others wait for its reply. A put
 * or a chunk of up to 16 MiB sends its own bytes: a store that ignores the digest then has the
 * object or part that was to be sent. A larger chunk sends a few bytes as a part after the last
 * one, which no Complete names. So does the probe for a CRC32C that follows the bytes (trailer.h),
 * which comes first. A probe creates or replaces nothing else.
 */
#ifndef CHUNKLIFT_S3_INTEGRITY_H
#define CHUNKLIFT_S3_INTEGRITY_H

#include "uploader/s3/op.h"

#define S3_WHOLE_BODY_MAX (64u << 10) /* puts up to this size are read into memory once */

/* True: requests may carry CRC32C checksums. */
bool s3_integrity_uses_crc32c(const struct s3 *s3, const struct job *job);

/* True: the CRC32C of this chunk may follow its bytes, unless the endpoint does not take trailers. */
bool s3_integrity_may_use_trailer(const struct s3 *s3, const struct job *job, const struct s3_endpoint *e);
/* The store refused the trailer, or did not confirm it. Resumes with a header; if the store accepts that, the endpoint
 * gets no trailers any more. */
void s3_integrity_end_trailer(struct s3_op *op);

/* Chooses op->method and continues with on_method_known at once, or after other operations or a
 * probe have shown whether the store verifies it. Fails the operation when the store lacks the
 * check asked for with --integrity. */
void s3_integrity_choose(struct s3_op *op, s3_op_handler *on_method_known);
/* S3_OP_PROBE_WAIT: another operation still probes the endpoint. */
bool s3_integrity_is_probed(const struct s3_op *op);
/* The method is known; on_method_known is called. Also for S3_OP_PROBE_WAIT, when no probe is in
 * flight. */
void s3_integrity_resume(struct s3_op *op);

/* The digest of the range. Methods without a digest return 0 and do nothing. */
int s3_digest_begin(struct s3_op *op) MUST_CHECK;
int s3_digest_add(struct s3_op *op, const void *bytes, size_t len) MUST_CHECK;
int s3_digest_end(struct s3_op *op) MUST_CHECK;
int s3_digest_all(struct s3_op *op, struct slice bytes) MUST_CHECK; /* begin, add and end */

void s3_integrity_add_headers(struct s3_op *op);
/* Adds the SHA-256 of op->body to the request. */
int s3_integrity_hash_body(struct s3_op *op) MUST_CHECK;
/* Adds Content-MD5 of op->body, which DeleteObjects requires. Where this host's OpenSSL has no MD5 (FIPS), the CRC32C, which
 * Amazon accepts in its place. */
int s3_integrity_announce_body(struct s3_op *op) MUST_CHECK;

/* Takes the reply to a request with a wrong digest and resumes. Ends the operation when the reply
 * shows nothing. */
void s3_integrity_take_probe_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e);
/* The reply to a request with a wrong digest says nothing about the digest: another operation finds out. */
void s3_integrity_leave_probe(struct s3_op *op);
/* Takes the good reply to the bytes; result.etag is set. Fills in result.integrity. False: the
 * operation ended. */
bool s3_integrity_prove(struct s3_op *op);

#endif
