/*
 * Rule 10: multipart uploads of exactly this key that earlier holders of its begin may have created
 * without a record.
 *
 * ListMultipartUploads is asked for the key. Every upload without parts that was initiated since
 * task->since_us is a leftover. One with parts could be the work of another program. Times are
 * compared by the store's clock: the Date of its reply gives the difference to the local clock.
 * SKEW_US covers the difference between two of our hosts. It is short: adopting a foreign empty
 * upload does harm, and missing one of ours leaves an empty upload, which costs nothing.
 *
 *   begin                    adopts the first leftover, or creates an upload; it creates one when the
 *                            object has other properties than the defaults
 *   finish, abort            abort all: a request can take effect after its sender is gone and
 *                            others have looked
 *   abort without a handle   aborts all; that is its whole work
 */
#ifndef CHUNKLIFT_S3_LEFTOVERS_H
#define CHUNKLIFT_S3_LEFTOVERS_H

#include "uploader/s3/op.h"

/* Calls on_leftover for each leftover since task->since_us in turn, then on_end. */
void s3_leftovers_start(struct s3_op *op, s3_leftover_handler *on_leftover, s3_leftovers_end_handler *on_end);
/* Continues after a leftover. */
void s3_leftovers_next(struct s3_op *op);
/* False: it is not known how the store checks this upload. Else *kind is the checksum of its
 * parts. */
bool s3_leftover_checksum(const struct s3_op *op, const struct s3_upload *u, const struct s3_part_list *parts,
                          enum checksum_kind *kind);

/* Aborts all leftovers, then calls on_end. Without task->since_us it calls on_end at once. */
void s3_leftovers_abort(struct s3_op *op, s3_leftovers_end_handler *on_end);
/* Aborts all leftovers, then ends the operation with OUTCOME_DONE, whatever the aborts returned. */
void s3_leftovers_abort_and_end(struct s3_op *op);

#endif
