/*
 * abort and head.
 *
 * AbortMultipartUpload does not stop parts that are arriving: "it might be necessary to abort a given multipart upload
 * multiple times" (Amazon S3 API reference). So it is repeated until ListParts says that there is no such upload
 * (rule 9), TRIES_MAX times at once, then with the backoff of a transient failure.
 */
#include "system/log.h"
#include "uploader/s3/s3_internal.h"
#include <stdlib.h>

#define TRIES_MAX 4

static void on_left(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && e->transient) {
        s3_end_error(op, e);
    } else if (e) {
        s3_end_swept(op); /* NoSuchUpload; or may not look, but the abort was accepted */
    } else if (op->tries < TRIES_MAX) {
        s3_abort_start(op);
    } else {
        s3_end_failed(op, FAIL_OUTAGE, true, "the store still lists the aborted upload");
    }
}

static void on_aborted(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && (e->gone || e->klass == FAIL_NO_BUCKET || e->status == 404)) {
        s3_end_swept(op);
    } else if (e) {
        s3_end_error(op, e);
    } else {
        s3_request_begin(op, "GET");
        s3_request_param(op, "max-parts", slice_of("1"));
        s3_request_param(op, "uploadId", op->task->job.handle);
        s3_send(op, on_left);
    }
}

/* An upload that has an intent and no handle: what its begin may have created is looked for. A store that does not let
 * us look stands in nobody's way; an empty upload may stay there, and that is said. */
static void on_looked(struct s3_op *op, const struct s3_error *e) {
    if (e && e->transient) {
        s3_end_error(op, e);
        return;
    }
    if (e)
        log_warn("%.*s: cannot look for a multipart upload that an interrupted run may have left there: %s",
                 (int)op->task->job.target.dest.len, op->task->job.target.dest.ptr, e->text);
    s3_end(op, OUTCOME_DONE);
}

void s3_abort_start(struct s3_op *op) {
    op->tries++;
    if (op->task->job.handle.len == 0) {
        s3_sweep_start(op, on_looked);
        return;
    }
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_send(op, on_aborted);
}

static void on_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct task_result *result = &op->task->result;
    if (e && e->status != 404) {
        s3_end_error(op, e);
        return;
    }
    result->exists = !e;
    struct slice length = e ? (struct slice){NULL, 0} : http_header(r, "content-length");
    for (size_t i = 0; i < length.len && length.len < 20; i++)
        if (length.ptr[i] >= '0' && length.ptr[i] <= '9')
            result->size = result->size * 10 + (uint64_t)(length.ptr[i] - '0');
    if (e || s3_take_etag(op, r))
        s3_end(op, OUTCOME_DONE);
}

void s3_head_start(struct s3_op *op) {
    s3_request_begin(op, "HEAD");
    s3_send(op, on_head);
}
