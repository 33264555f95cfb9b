#include "uploader/s3/existing.h"

#include "pure/decimal.h"
#include "uploader/s3/object_headers.h"
#include "uploader/s3/request.h"

#define PRECONDITION_FAILED 412
#define BAD_REQUEST 400 /* to HEAD: the object has another SSE-C key than the request, or one of them has none */

void s3_existing_add_header(struct s3_op *op) {
    if (op->task->job.if_none_match && !op->made)
        s3_request_header(op, "if-none-match: *");
}

bool s3_existing_is_refused(const struct s3_op *op, const struct s3_error *e) {
    return op->task->job.if_none_match && e->status == PRECONDITION_FAILED;
}

/* The object carries the id of this upload, and has its size. */
static bool existing_is_own(const struct s3_op *op, const struct http_reply *r) {
    uint64_t size;
    return slice_equal(http_header(r, S3_OWNER_HEADER), slice_of(op->owner)) &&
           decimal_parse(http_header(r, "content-length"), UINT64_MAX, &size) == 0 && size == op->size;
}

static void existing_on_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e && e->status == 404)
        s3_op_fail(op, FAIL_OUTAGE, true, "the object that the store refused to replace is gone");
    else if (e && e->status != BAD_REQUEST)
        s3_op_fail_with(op, e);
    else if (e || !existing_is_own(op, r))
        s3_op_fail(op, FAIL_EXISTS, false, "there is an object at its destination, which --if-none-match keeps");
    else if (s3_op_take_etag(op, r))
        op->on_own(op);
}

void s3_existing_look(struct s3_op *op, s3_op_handler *on_own) {
    op->on_own = on_own;
    s3_request_begin(op, "HEAD");
    s3_request_send(op, existing_on_head);
}
