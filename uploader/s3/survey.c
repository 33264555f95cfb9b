/*
 * Questions about a bucket that no job asks.
 *
 * HEAD needs no right but ListBucket, and shows the region. Its errors have no code, so the words come from a list of one
 * key: they tell a wrong key from a missing right.
 */
#include "uploader/s3/kinds.h"
#include "uploader/s3/request.h"

static void ask_on_list(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e)
        s3_op_fail_with(op, e);
    else
        s3_op_end(op, OUTCOME_DONE);
}

static void ask_on_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (!e) {
        s3_op_end(op, OUTCOME_DONE);
        return;
    }
    if (e->transient || e->status == 0) {
        s3_op_fail_with(op, e);
        return;
    }
    s3_request_begin(op, "GET");
    op->request.bucket_only = true;
    s3_request_param(op, "list-type", slice_of("2"));
    s3_request_param(op, "max-keys", slice_of("1"));
    s3_request_send(op, ask_on_list);
}

void s3_ask_bucket_start(struct s3_op *op) {
    s3_request_begin(op, "HEAD");
    op->request.bucket_only = true;
    s3_request_send(op, ask_on_head);
}

static void ask_on_removed(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e) {
        s3_op_fail_with(op, e);
        return;
    }
    struct slice version = http_header(r, "x-amz-version-id");
    op->task->result.exists = version.len > 0 && !slice_equal(version, slice_of("null"));
    s3_op_end(op, OUTCOME_DONE);
}

void s3_ask_remove_start(struct s3_op *op) {
    s3_request_begin(op, "DELETE");
    s3_request_send(op, ask_on_removed);
}
