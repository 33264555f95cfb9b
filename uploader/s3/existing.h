/*
 * Conditional writes (If-None-Match: *). Status 412 says that there is an object. It can be the own one: an earlier
 * attempt took effect, and its reply was lost. So the object is looked at.
 */
#ifndef CHUNKLIFT_S3_EXISTING_H
#define CHUNKLIFT_S3_EXISTING_H

#include "uploader/s3/op.h"

/* Adds the header to the request if the job wants it. */
void s3_existing_add_header(struct s3_op *op);
/* The reply to such a request says that there is an object. */
bool s3_existing_is_refused(const struct s3_op *op, const struct s3_error *e);
/* Looks at the object, of op->size bytes if it is the own one. Then calls on_own, with the ETag in the result, or ends the
 * operation as failed. */
void s3_existing_look(struct s3_op *op, s3_op_handler *on_own);

#endif
