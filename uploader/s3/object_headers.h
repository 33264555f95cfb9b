/*
 * The headers of a request that come from the properties of its job (pure/properties.h): access to the bucket, the key of
 * SSE-C, and for requests that create the object its content type, metadata and so on.
 */
#ifndef CHUNKLIFT_S3_OBJECT_HEADERS_H
#define CHUNKLIFT_S3_OBJECT_HEADERS_H

#include "uploader/s3/op.h"

/* The metadata header of an object that holds the id of its upload. */
#define S3_OWNER_HEADER "x-amz-meta-chunklift-upload"
/* That of the mtime of its source, in seconds with up to nine decimals. Source: rclone's documentation of its S3 backend,
 * "Modification times and hashes". */
#define S3_MTIME_HEADER "x-amz-meta-mtime"

/* Replaces op->request.object_lines by the headers for its properties, up to those of `use`. ERR_NOMEM. */
int s3_object_headers_write(struct s3_op *op, enum property_use use) MUST_CHECK;
/* True: the ETag of the object is not an MD5, because the store encrypts it with a key of its own kind. */
bool s3_object_is_encrypted(const struct s3_op *op);

#endif
