/*
 * One request of an operation: built, signed for the region of the bucket, sent once there are
 * credentials.
 *
 * Two replies lead to the same request again, each at most once: another region is named (signed
 * again for it), and an error that an optional header may have caused (sent without those headers).
 * Every other reply goes to on_reply.
 */
#ifndef CHUNKLIFT_S3_REQUEST_H
#define CHUNKLIFT_S3_REQUEST_H

#include "uploader/s3/op.h"

/* Starts to build the next request. Errors are kept and fail the operation in s3_request_send().
 * Values of params must stay valid until the reply. */
void s3_request_begin(struct s3_op *op, const char *method);
void s3_request_param(struct s3_op *op, const char *name, struct slice value);
void s3_request_header(struct s3_op *op, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A header that the store may refuse: after an error that it may have caused, the request is sent
 * once without all its optional headers. When that succeeds, the endpoint gets none of them
 * again. */
void s3_request_optional_header(struct s3_op *op, enum s3_optional which, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The request creates the object, and gets all its properties. (Others get those for access, and without bucket_only
 * and except a DELETE, the key of SSE-C.) */
void s3_request_create_object(struct s3_op *op);
/* Replaces UNSIGNED-PAYLOAD by the SHA-256 of the body in hex, or by another value that S3 defines. */
void s3_request_set_payload_hash(struct s3_op *op, const char *hash);
/* The body is a stream of length bytes instead of op->body. */
void s3_request_set_stream(struct s3_op *op, const struct s3_body_stream *stream, uint64_t length);

/* Sends the request; it may wait in S3_OP_CREDENTIALS first. Fails the operation when it cannot be
 * sent. */
void s3_request_send(struct s3_op *op, s3_reply_handler *on_reply);
/* For operations in S3_OP_CREDENTIALS: sends, unless credentials are still pending. */
void s3_request_step(struct s3_op *op, enum aws_state credentials);

#endif
