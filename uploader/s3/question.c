/*
 * head and read: questions about an object that change nothing. The producer compares the answers
 * with its records.
 *
 * A store that ignores Range answers 200 with the whole object; the bytes before the range are
 * skipped then.
 */
#include "pure/decimal.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/object_headers.h"
#include "uploader/s3/request.h"
#include <inttypes.h>
#include <sys/param.h>

#define RANGE_NOT_SATISFIABLE 416 /* the object ends before the range */

/* --- head --- */

static void head_take_owner(struct task_result *result, const struct http_reply *r) {
    if (id_from_hex(&result->owner, http_header(r, S3_OWNER_HEADER)))
        result->owner = (struct id128){{0}};
}

/* The checksum of a COMPOSITE object is one of its parts' checksums, which is not that of its bytes. */
static void head_take_crc(struct task_result *result, const struct http_reply *r) {
    struct slice type = http_header(r, "x-amz-checksum-type");
    bool whole = type.len == 0 || slice_equal(type, slice_of("FULL_OBJECT"));
    result->has_crc = whole && crc32c_from_base64(http_header(r, "x-amz-checksum-crc32c"), &result->crc) == 0;
    if (!result->has_crc)
        result->crc = 0;
}

static void head_on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct task_result *result = &op->task->result;
    if (e && (e->status != 404 || e->class == FAIL_NO_BUCKET)) {
        s3_op_fail_with(op, e);
        return;
    }
    result->exists = !e;
    if (e) {
        s3_op_end(op, OUTCOME_DONE);
        return;
    }
    if (decimal_parse(http_header(r, "content-length"), UINT64_MAX, &result->size)) {
        s3_op_fail(op, FAIL_OUTAGE, true, "the store's answer has no size");
        return;
    }
    head_take_owner(result, r);
    head_take_crc(result, r);
    if (s3_op_take_etag(op, r))
        s3_op_end(op, OUTCOME_DONE);
}

void s3_head_start(struct s3_op *op) {
    s3_request_begin(op, "HEAD");
    if (!op->s3->aws.checksums_when_required)
        s3_request_optional_header(op, S3_CHECKSUM_MODE, "x-amz-checksum-mode: ENABLED");
    s3_request_send(op, head_on_reply);
}

/* --- read --- */

static void read_take(void *arg, long status, const void *bytes, size_t len) {
    struct s3_op *op = arg;
    const struct job *j = &op->task->job;
    uint64_t skipped = status == 206 ? 0 : MIN(j->offset - MIN(op->read_skipped, j->offset), len);
    op->read_skipped += skipped;
    size_t used = (size_t)MIN(len - skipped, j->length - op->read_bytes);
    op->crc = crc32c_add(op->crc, (const char *)bytes + skipped, used);
    op->read_bytes += used;
}

static void read_on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct task_result *result = &op->task->result;
    (void)r;
    bool ends_before = e && e->status == RANGE_NOT_SATISFIABLE;
    if (e && !ends_before && (e->status != 404 || e->class == FAIL_NO_BUCKET)) {
        s3_op_fail_with(op, e);
        return;
    }
    result->exists = !e || ends_before;
    result->size = op->read_bytes;
    result->has_crc = true;
    result->crc = op->crc;
    s3_op_end(op, OUTCOME_DONE);
}

void s3_read_start(struct s3_op *op) {
    const struct job *j = &op->task->job;
    s3_request_begin(op, "GET");
    s3_request_header(op, "range: bytes=%" PRIu64 "-%" PRIu64, j->offset, j->offset + j->length - 1);
    op->request.take = read_take;
    s3_request_send(op, read_on_reply);
}
