#include "uploader/s3/op.h"
#include "pure/check.h"
#include "system/clock.h"
#include <stdio.h>
#include <stdlib.h>

/* --- life --- */

struct s3_op *s3_op_new(struct s3 *s3, struct task *t) {
    struct s3_op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    *op = (struct s3_op){.s3 = s3, .task = t, .link = s3->last};
    id_to_hex(&t->job.ref.upload, op->owner);
    *s3->last = op;
    s3->last = &op->next;
    t->backend_state = op;
    return op;
}

void s3_op_destroy(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    *op->link = op->next;
    if (op->next)
        op->next->link = op->link;
    else
        s3->last = op->link;
    if (op->transfer)
        http_cancel(s3->http, op->transfer);
    for (size_t i = 0; i < S3_HEADERS_MAX; i++)
        buf_release(&op->request.headers[i]);
    if (op->request.object_lines.data && s3->sse_c_key)
        explicit_bzero(op->request.object_lines.data, op->request.object_lines.cap);
    buf_release(&op->request.object_lines);
    for (size_t i = 0; op->etags && i < op->task->part_count; i++)
        free(op->etags[i]);
    free(op->etags);
    free(op->asked);
    buf_release(&op->body);
    buf_release(&op->small);
    buf_release(&op->key_marker);
    s3_upload_list_release(&op->uploads);
    digest_destroy(&op->digest);
    s3_capabilities_end_probe(s3->capabilities, op);
    op->task->backend_state = NULL;
    free(op);
}

void s3_op_report(struct s3_op *op) {
    struct task *t = op->task;
    s3_op_destroy(op);
    task_done(t);
}

/* --- ends --- */

void s3_op_end(struct s3_op *op, enum outcome outcome) {
    CHECK(op->state != S3_OP_ENDED);
    op->task->result.outcome = outcome;
    op->task->awaiting_reply = false;
    op->state = S3_OP_ENDED;
    if (!op->starting)
        s3_op_report(op);
}

void s3_op_fail_with(struct s3_op *op, const struct s3_error *e) {
    struct task_result *r = &op->task->result;
    r->transient = e->transient;
    r->throttled = e->throttled;
    r->never_connected = e->never_connected;
    r->timed_out = e->timed_out;
    r->broken = e->broken;
    r->credentials_expired = e->expired;
    r->retry_after_ms = e->retry_after_ms;
    if (e->transient && !e->throttled && !e->expired)
        s3_capabilities_add_failed(op->s3->capabilities, &op->task->job.ref);
    r->class = e->class;
    r->own = e->own;
    if (e->class == FAIL_NO_BUCKET)
        snprintf(r->error, sizeof r->error, "%.400s (bucket '%.*s')", e->text, (int)op->url.bucket.len,
                 op->url.bucket.ptr);
    else
        snprintf(r->error, sizeof r->error, "%s", e->text);
    if (e->gone && op->on_gone)
        op->on_gone(op);
    else
        s3_op_end(op, OUTCOME_FAILED);
}

void s3_op_fail(struct s3_op *op, enum fail_class class, bool transient, const char *text) {
    struct s3_error e;
    s3_error_set(&e, class, transient, text);
    s3_op_fail_with(op, &e);
}

void s3_op_fail_err(struct s3_op *op, int err) {
    bool no_memory = err == ERR_NOMEM;
    s3_op_fail(op, no_memory ? FAIL_OUTAGE : FAIL_REQUEST, no_memory, err_text(err));
}

bool s3_op_take_etag(struct s3_op *op, const struct http_reply *r) {
    struct task_result *result = &op->task->result;
    if (s3_etag_copy(http_header(r, "etag"), result->etag, sizeof result->etag) == 0)
        return true;
    s3_op_fail(op, FAIL_DEST, false, "the store's ETag is longer than 255 bytes");
    return false;
}

/* --- questions --- */

struct s3_endpoint *s3_op_endpoint(const struct s3_op *op) {
    return s3_capabilities_endpoint(op->s3->capabilities, op->url.endpoint);
}

bool s3_op_carries_file(const struct s3_op *op) {
    return op->task->job.ref.kind == JOB_CHUNK || op->task->job.ref.kind == JOB_PUT;
}

bool s3_op_lease_ended(const struct s3_op *op) {
    return clock_ms() >= op->task->lease_deadline_ms;
}
