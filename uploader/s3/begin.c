/*
 * begin: CreateMultipartUpload, asking for a CRC32C of the whole object. The reply decides:
 * FULL_OBJECT works, because the checksums of chunks can be combined. Any other kind would need a
 * checksum of each part at Complete; such an upload is aborted and created again without a
 * checksum.
 *
 * When an earlier holder of this begin may have created an upload, the first leftover is adopted
 * (rule 10). No list tells the properties that an upload was created with. So an object with other
 * properties than the defaults gets a new upload. The finish or abort ends the leftover then.
 */
#include "system/fault.h"
#include "uploader/s3/integrity.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/leftovers.h"
#include "uploader/s3/request.h"

static void begin_create(struct s3_op *op);

static void begin_end(struct s3_op *op, enum checksum_kind checksum) {
    op->task->result.checksum = checksum;
    s3_op_end(op, OUTCOME_DONE);
}

/* The upload with the unusable kind of checksum is gone, or cannot be aborted. */
static void begin_on_aborted(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    op->task->result.handle[0] = 0;
    if (e && e->transient) { /* the finish of the next attempt aborts it as a leftover */
        s3_op_fail_with(op, e);
        return;
    }
    begin_create(op);
}

static void begin_abort_created(struct s3_op *op) {
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", slice_of(op->task->result.handle));
    s3_request_send(op, begin_on_aborted);
}

static void begin_on_created(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e) {
        s3_op_fail_with(op, e);
        return;
    }
    struct s3_created created;
    if (s3_created_parse(r->body, &created)) {
        s3_op_fail(op, FAIL_OUTAGE, true, "the store's answer to CreateMultipartUpload cannot be read");
        return;
    }
    memcpy(op->task->result.handle, created.upload_id, sizeof created.upload_id);
    struct slice algorithm = http_header(r, "x-amz-checksum-algorithm");
    bool full = slice_equal(algorithm, slice_of("CRC32C")) &&
                slice_equal(http_header(r, "x-amz-checksum-type"), slice_of("FULL_OBJECT"));
    if (full || s3_integrity_uses_crc32c(op->s3, &op->task->job))
        s3_endpoint_set_multipart_crc32c(s3_op_endpoint(op), full);
    if (algorithm.len && !full && !op->without_checksums) {
        op->without_checksums = true;
        begin_abort_created(op);
        return;
    }
    begin_end(op, full ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE);
}

static void begin_create(struct s3_op *op) {
    if (s3_op_endpoint(op)->multipart_crc32c == S3_NO || !s3_integrity_uses_crc32c(op->s3, &op->task->job))
        op->without_checksums = true;
    s3_request_begin(op, "POST");
    s3_request_param(op, "uploads", slice_of(""));
    s3_request_create_object(op);
    if (!op->without_checksums) {
        s3_request_optional_header(op, S3_CREATE_CHECKSUM, "x-amz-checksum-algorithm: CRC32C");
        s3_request_optional_header(op, S3_CREATE_CHECKSUM, "x-amz-checksum-type: FULL_OBJECT");
    }
    s3_request_send(op, begin_on_created);
}

static void begin_adopt(struct s3_op *op, const struct s3_upload *u, const struct s3_part_list *parts) {
    enum checksum_kind kind;
    if (!s3_leftover_checksum(op, u, parts, &kind)) {
        s3_leftovers_next(op);
        return;
    }
    FAULT_POINT(s3_adopted);
    memcpy(op->task->result.handle, u->upload_id, sizeof u->upload_id);
    begin_end(op, kind);
}

static void begin_on_no_leftover(struct s3_op *op, const struct s3_error *e) {
    if (e && e->transient)
        s3_op_fail_with(op, e);
    else
        begin_create(op); /* the store forbids or lacks the list: one empty upload may remain there */
}

void s3_begin_start(struct s3_op *op) {
    struct id128 properties;
    int err = properties_digest(op->task->properties, op->task->job.content_type, &properties);
    if (err)
        s3_op_fail_err(op, err);
    else if (op->task->since_us != 0 && id_is_zero(&properties))
        s3_leftovers_start(op, begin_adopt, begin_on_no_leftover);
    else
        begin_create(op);
}
