/*
 * begin: CreateMultipartUpload, asking for crc32c of the whole object. What the store echoes decides: FULL_OBJECT is
 * what chunklift can give (chunk checksums combine), any other kind would have to be met part by part at Complete, so
 * such an upload is dropped and made again without.
 *
 * When an earlier holder of this begin may have created an upload, the first of the leftovers is adopted (rule 10).
 */
#include "system/fault.h"
#include "uploader/s3/s3_internal.h"

static void create(struct s3_op *op);

static void begun(struct s3_op *op, enum checksum_kind checksum) {
    op->task->result.checksum = checksum;
    s3_end(op, OUTCOME_DONE);
}

/* The one with the wrong kind of checksum is gone, or cannot be aborted. */
static void on_stray_aborted(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    op->task->result.handle[0] = 0;
    if (e && e->transient) { /* the next attempt has an earlier one to doubt: its finish aborts what was left */
        s3_end_error(op, e);
        return;
    }
    create(op);
}

static void drop_stray(struct s3_op *op) {
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", slice_of(op->task->result.handle));
    s3_send(op, on_stray_aborted);
}

static void on_created(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_endpoint *endpoint = s3_memory_endpoint(op->s3->memory, op->place.endpoint);
    if (e) {
        s3_end_error(op, e);
        return;
    }
    struct s3_xml_created created;
    if (s3_xml_created(r->body, &created)) {
        s3_end_failed(op, FAIL_OUTAGE, true, "the store's answer to CreateMultipartUpload cannot be read");
        return;
    }
    memcpy(op->task->result.handle, created.upload_id, sizeof created.upload_id);
    struct slice algorithm = http_header(r, "x-amz-checksum-algorithm");
    bool full = slice_equal(algorithm, slice_of("CRC32C")) &&
                slice_equal(http_header(r, "x-amz-checksum-type"), slice_of("FULL_OBJECT"));
    if (full || s3_sends_checksums(op->s3, &op->task->job))
        s3_memory_learn(endpoint, full);
    if (algorithm.len && !full && !op->plain) {
        op->plain = true;
        drop_stray(op);
        return;
    }
    begun(op, full ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE);
}

static void create(struct s3_op *op) {
    if (s3_memory_endpoint(op->s3->memory, op->place.endpoint)->multipart_crc32c == S3_NO ||
        !s3_sends_checksums(op->s3, &op->task->job))
        op->plain = true;
    s3_request_begin(op, "POST");
    s3_request_param(op, "uploads", slice_of(""));
    s3_request_header(op, "content-type: application/octet-stream");
    s3_request_header(op, S3_OWNER_HEADER ": %s", op->owner);
    if (!op->plain) {
        s3_request_optional(op, S3_CREATE_CHECKSUM, "x-amz-checksum-algorithm: CRC32C");
        s3_request_optional(op, S3_CREATE_CHECKSUM, "x-amz-checksum-type: FULL_OBJECT");
    }
    s3_send(op, on_created);
}

/* --- rule 10: what an earlier holder left --- */

static void adopt(struct s3_op *op, const struct s3_upload *u, const struct s3_xml_parts *parts) {
    enum checksum_kind kind;
    if (!s3_leftover_kind(op, u, parts, &kind)) {
        s3_leftovers_next(op);
        return;
    }
    FAULT_POINT(s3_adopted);
    memcpy(op->task->result.handle, u->upload_id, sizeof u->upload_id);
    begun(op, kind);
}

static void on_none(struct s3_op *op, const struct s3_error *e) {
    if (e && e->transient)
        s3_end_error(op, e);
    else
        create(op); /* not allowed to look, or not understood here: one empty upload may stay behind */
}

void s3_begin_start(struct s3_op *op) {
    if (op->task->since_us != 0)
        s3_leftovers_start(op, adopt, on_none);
    else
        create(op);
}
