/*
 * abort and stat.
 *
 * AbortMultipartUpload does not stop parts that are arriving: "it might be necessary to abort a
 * given multipart upload multiple times" (Amazon S3 API reference). It is repeated until ListParts
 * finds no such upload (rule 9): TRIES_MAX times at once, then with the backoff of a transient
 * failure.
 */
#include "pure/decimal.h"
#include "system/log.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/leftovers.h"
#include "uploader/s3/request.h"

#define TRIES_MAX 4

/* --- abort --- */

static void abort_on_parts(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && e->transient) {
        s3_op_fail_with(op, e);
    } else if (e) {
        s3_leftovers_abort_and_end(op); /* NoSuchUpload; or ListParts is forbidden, but the abort was accepted */
    } else if (op->tries < TRIES_MAX) {
        s3_abort_start(op);
    } else {
        s3_op_fail(op, FAIL_OUTAGE, true, "the store still lists the aborted upload");
    }
}

static void abort_on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && (e->gone || e->class == FAIL_NO_BUCKET || e->status == 404)) {
        s3_leftovers_abort_and_end(op);
    } else if (e) {
        s3_op_fail_with(op, e);
    } else {
        s3_request_begin(op, "GET");
        s3_request_param(op, "max-parts", slice_of("1"));
        s3_request_param(op, "uploadId", op->task->job.handle);
        s3_request_send(op, abort_on_parts);
    }
}

/* An upload with an intent and without a handle: its begin may have created leftovers. A store that
 * forbids the list does not fail the abort. An empty upload may remain there, which is logged. */
static void abort_on_leftovers_end(struct s3_op *op, const struct s3_error *e) {
    if (e && e->transient) {
        s3_op_fail_with(op, e);
        return;
    }
    if (e)
        log_warn("%.*s: cannot look for a multipart upload that an interrupted run may have left there: %s",
                 (int)op->task->job.target.dest.len, op->task->job.target.dest.ptr, e->text);
    s3_op_end(op, OUTCOME_DONE);
}

void s3_abort_start(struct s3_op *op) {
    op->tries++;
    if (op->task->job.handle.len == 0) {
        s3_leftovers_abort(op, abort_on_leftovers_end);
        return;
    }
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_request_send(op, abort_on_reply);
}

static void abort_on_gone(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && e->transient)
        s3_op_fail_with(op, e);
    else
        s3_op_end(op, OUTCOME_GONE);
}

void s3_abort_gone(struct s3_op *op) {
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_request_send(op, abort_on_gone);
}

/* --- stat --- */

static void stat_on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct task_result *result = &op->task->result;
    if (e && e->status != 404) {
        s3_op_fail_with(op, e);
        return;
    }
    result->exists = !e;
    if (e) {
        s3_op_end(op, OUTCOME_DONE);
        return;
    }
    if (decimal_parse(http_header(r, "content-length"), UINT64_MAX, &result->size))
        result->size = 0;
    if (s3_op_take_etag(op, r))
        s3_op_end(op, OUTCOME_DONE);
}

void s3_stat_start(struct s3_op *op) {
    s3_request_begin(op, "HEAD");
    s3_request_send(op, stat_on_reply);
}
