/*
 * A chunk with its CRC32C behind the bytes, so that the range is read once.
 *
 * The body is aws-chunked: frames of at most 8 MiB, the empty frame, and the header
 * x-amz-checksum-crc32c as a trailer. Source: "Signature calculations for trailing headers (chunked
 * uploads)" in the Amazon S3 API reference; the payload is unsigned.
 *
 * A store that does not know aws-chunked would store the frame too. It is used only where the store
 * has refused a wrong trailer (integrity.c), and only for parts: some stores keep the content
 * encoding of a whole object.
 */
#ifndef CHUNKLIFT_S3_TRAILER_H
#define CHUNKLIFT_S3_TRAILER_H

#include "uploader/s3/op.h"

/* Adds the headers of a body of length bytes that has a trailer. */
void s3_trailer_add_headers(struct s3_op *op, uint64_t length);
/* The body is the range that the stream `bytes` reads, with frames and a trailer. `bytes` must
 * outlive the operation. */
void s3_trailer_set_stream(struct s3_op *op, const struct s3_body_stream *bytes);
/* The body was read to the end of its trailer. */
bool s3_trailer_is_sent(const struct s3_op *op);
/* Appends text to op->body, with a frame and this CRC. ERR_NOMEM. */
int s3_trailer_add_body(struct s3_op *op, struct slice text, uint32_t crc) MUST_CHECK;

#endif
