/* The kinds of tasks. Each start function sends the first request of the operation or ends it. */
#ifndef CHUNKLIFT_S3_KINDS_H
#define CHUNKLIFT_S3_KINDS_H

#include "uploader/s3/op.h"

void s3_begin_start(struct s3_op *op);
void s3_chunk_start(struct s3_op *op);
void s3_put_start(struct s3_op *op);
void s3_finish_start(struct s3_op *op);
void s3_abort_start(struct s3_op *op);
void s3_stat_start(struct s3_op *op);
void s3_head_start(struct s3_op *op);
void s3_read_start(struct s3_op *op);
void s3_list_start(struct s3_op *op);
void s3_delete_start(struct s3_op *op);

/* survey.c: the questions of backend_s3_ask(). */
void s3_ask_bucket_start(struct s3_op *op);
void s3_ask_remove_start(struct s3_op *op);

/* object.c: aborts an upload that the store reported as unknown, then ends with OUTCOME_GONE. A new
 * upload takes its place; a wrong report would leave the old one open. */
void s3_abort_gone(struct s3_op *op);

/* --- body.c --- */

/* True: the checksum of the range must be known before its first byte is sent. */
bool s3_body_wants_checksum(struct s3 *s3, const struct task *t);
/* S3_OP_READ_AHEAD: reads a piece of the range; after the last one sends the request. */
void s3_body_read_ahead(struct s3_op *op);

#endif
