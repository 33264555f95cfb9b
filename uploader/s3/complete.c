/*
 * finish: CompleteMultipartUpload, and the meaning of a reply that is lost, doubtful or malformed
 * (rule 11).
 *
 * Reply to Complete, and the next step:
 *
 *   200 with an ETag      done
 *   200 without an ETag   HEAD for it
 *   InvalidPart           ListParts: parts that match their records are completed again, once,
 *                         with the ETags of the store; the others are reported as REDO
 *   412, where the job has if_none_match
 *                         HEAD: the own object is success, another one fails the file
 *   a refused checksum    again without checksums, once; after ListParts if the store calls the
 *                         checksum wrong
 *   no reply, 5xx, an <Error> that tells nothing, NoSuchUpload
 *                         HEAD: an object with the id and size of this upload is success.
 *                         Otherwise NoSuchUpload is GONE. For other errors ListParts shows whether
 *                         the upload still exists (Ceph answers 500 for one that does not). If it
 *                         exists, the error counts. If not, HEAD once more, then GONE: it may have
 *                         been completed in between
 *   anything else         failed
 *
 * The size alone never proves that an object is ours. A part matches its record when size and
 * checksum are equal; where the store lists no checksum, size and ETag. A part whose reply had no
 * ETag matches by its size: only this upload knows the upload id, and all attempts at a part send
 * the same bytes. ListParts gives the ETags of such parts before Complete.
 */
#include "system/fault.h"
#include "uploader/http/xml.h"
#include "uploader/s3/existing.h"
#include "uploader/s3/integrity.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/leftovers.h"
#include "uploader/s3/object_headers.h"
#include "uploader/s3/request.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define PART_XML_SIZE 160 /* typical bytes of one part in the request */
#define ETAG_MIN 16       /* shorter ETags are compared as a whole */

static void finish_send_complete(struct s3_op *op);
static void finish_list_parts(struct s3_op *op);
static void finish_check_upload(struct s3_op *op);
static void finish_on_doubt_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e);
static void finish_head(struct s3_op *op, s3_reply_handler *on_reply);

static void finish_end(struct s3_op *op) {
    op->task->result.crc = op->crc;
    op->task->result.size = op->size;
    s3_leftovers_abort_and_end(op);
}

/* --- HEAD --- */

static enum s3_tristate finish_owner_matches(const struct s3_op *op, const struct http_reply *r) {
    struct slice owner = http_header(r, S3_OWNER_HEADER);
    if (owner.len == 0)
        return S3_UNKNOWN;
    return slice_equal(owner, slice_of(op->owner)) ? S3_YES : S3_NO;
}

static bool finish_size_matches(const struct s3_op *op, const struct http_reply *r) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)op->size);
    return slice_equal(http_header(r, "content-length"), slice_of(text));
}

/* For a store without metadata: the checksum of the whole object proves that it is ours. */
static bool finish_checksum_matches(const struct s3_op *op, const struct http_reply *r) {
    uint32_t crc;
    struct slice type = http_header(r, "x-amz-checksum-type");
    return (type.len == 0 || slice_equal(type, slice_of("FULL_OBJECT"))) &&
           crc32c_from_base64(http_header(r, "x-amz-checksum-crc32c"), &crc) == 0 && crc == op->crc;
}

/* The store reports another checksum of the whole object. */
static bool finish_checksum_differs(const struct s3_op *op, const struct http_reply *r) {
    uint32_t crc;
    return slice_equal(http_header(r, "x-amz-checksum-type"), slice_of("FULL_OBJECT")) &&
           crc32c_from_base64(http_header(r, "x-amz-checksum-crc32c"), &crc) == 0 && crc != op->crc;
}

/* For replies to ListParts: Ceph answers NoSuchKey. */
static bool error_is_gone(const struct s3_error *e) {
    return e->gone || (e->status == 404 && e->class != FAIL_NO_BUCKET);
}

static void finish_on_upload_checked(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (!e || !error_is_gone(e)) {
        s3_op_fail_with(op, &op->doubt);
        return;
    }
    op->doubt.gone = true;
    snprintf(op->doubt.text, sizeof op->doubt.text, "the store no longer knows this upload");
    finish_head(op, finish_on_doubt_head);
}

static void finish_check_upload(struct s3_op *op) {
    op->upload_checked = true;
    s3_request_begin(op, "GET");
    s3_request_param(op, "max-parts", slice_of("1"));
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_request_send(op, finish_on_upload_checked);
}

/* There is no object, or another one. Amazon answers 400 to a HEAD with a key of SSE-C when the object has none or
 * another one. Source: S3 User Guide, "Using server-side encryption with customer-provided keys". */
static bool finish_object_is_foreign(const struct s3_op *op, const struct s3_error *e) {
    return e->status == 404 || (e->status == 400 && !e->expired && op->task->properties->sse_c_md5.len);
}

static void finish_on_doubt_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e && !finish_object_is_foreign(op, e)) {
        s3_op_fail_with(op, op->doubt.gone ? e : &op->doubt);
        return;
    }
    enum s3_tristate owned = e ? S3_NO : finish_owner_matches(op, r);
    if (owned == S3_YES && finish_checksum_differs(op, r)) {
        s3_op_fail(op, FAIL_INTEGRITY, false, "the store's checksum of the whole object is not that of what was sent");
        return;
    }
    if (finish_size_matches(op, r) && (owned == S3_YES || (owned == S3_UNKNOWN && finish_checksum_matches(op, r)))) {
        if (s3_op_take_etag(op, r))
            finish_end(op);
        return;
    }
    if (op->doubt.gone || op->upload_checked)
        s3_op_fail_with(op, &op->doubt); /* NoSuchUpload and not ours: GONE */
    else
        finish_check_upload(op);
}

static void finish_on_etag_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (!e && finish_owner_matches(op, r) == S3_YES && !finish_size_matches(op, r)) {
        s3_op_fail(op, FAIL_INTEGRITY, false, "the object at the store has another size than the file");
        return;
    }
    /* Complete succeeded. A missing ETag, or one of a newer object, is no failure. */
    if (e || finish_owner_matches(op, r) == S3_NO || s3_op_take_etag(op, r))
        finish_end(op);
}

static void finish_head(struct s3_op *op, s3_reply_handler *on_reply) {
    s3_request_begin(op, "HEAD");
    if (!op->s3->aws.checksums_when_required)
        s3_request_optional_header(op, S3_CHECKSUM_MODE, "x-amz-checksum-mode: ENABLED");
    s3_request_send(op, on_reply);
}

/* --- Complete --- */

static void finish_take_completed(struct s3_op *op, const struct http_reply *r) {
    struct s3_completed completed;
    uint32_t crc;
    if (s3_completed_parse(r->body, &completed)) {
        s3_error_set(&op->doubt, FAIL_OUTAGE, true, "the store's answer to CompleteMultipartUpload cannot be read");
        finish_head(op, finish_on_doubt_head);
        return;
    }
    if (crc32c_from_base64(slice_of(completed.crc32c), &crc) == 0 && crc != op->crc) {
        s3_op_fail(op, FAIL_INTEGRITY, false, "the store's checksum of the whole object is not that of the file");
        return;
    }
    memcpy(op->task->result.etag, completed.etag, sizeof completed.etag);
    if (completed.etag[0])
        finish_end(op);
    else
        finish_head(op, finish_on_etag_head); /* Ceph */
}

/* The store promised to verify the whole object and refuses its checksum. The request is sent once
 * without: the parts were verified one by one. If the store calls the checksum wrong, all parts
 * must match their records first. True: a request was sent. */
static bool finish_try_without_checksums(struct s3_op *op, const struct s3_error *e) {
    if (op->task->job.checksum != CHECKSUM_CRC32C_FULL || op->without_checksums ||
        !(e->bad_checksum || s3_error_may_be_due_to_header(e)))
        return false;
    op->without_checksums = true;
    op->doubt = *e;
    if (e->bad_checksum && !op->parts_listed)
        finish_list_parts(op);
    else
        finish_send_complete(op);
    return true;
}

static void finish_on_complete_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (!e) {
        if (op->without_checksums)
            s3_endpoint_set_multipart_crc32c(s3_op_endpoint(op), false);
        finish_take_completed(op, r);
    } else if (s3_existing_is_refused(op, e)) {
        s3_existing_look(op, finish_end);
    } else if (finish_try_without_checksums(op, e)) {
        return;
    } else if (strcmp(e->code, "InvalidPart") == 0 || strcmp(e->code, "InvalidPartOrder") == 0) {
        op->doubt = *e;
        if (op->parts_listed) { /* all parts match their records, and the store still refuses them */
            op->doubt.transient = true;
            s3_op_fail_with(op, &op->doubt);
        } else {
            finish_list_parts(op);
        }
    } else if (e->doubt || e->gone) {
        FAULT_POINT(s3_doubted);
        op->doubt = *e;
        finish_head(op, finish_on_doubt_head);
    } else {
        s3_op_fail_with(op, e);
    }
}

static bool finish_has_checksums(const struct s3_op *op) {
    return op->task->job.checksum == CHECKSUM_CRC32C_FULL && !op->without_checksums;
}

static int finish_add_part(struct s3_op *op, size_t i) {
    const struct part *p = &op->task->parts[i];
    struct slice etag = op->etags ? slice_of(op->etags[i]) : p->etag; /* after a list, all match */
    char crc[CRC_BASE64_SIZE];
    int err = buf_addf(&op->body, "<Part><PartNumber>%u</PartNumber><ETag>\"", p->chunk + 1);
    if (err)
        return err;
    err = xml_escape_add(&op->body, etag);
    if (err)
        return err;
    if (!finish_has_checksums(op))
        return buf_add_text(&op->body, "\"</ETag></Part>");
    crc32c_to_base64(p->crc, crc);
    return buf_addf(&op->body, "\"</ETag><ChecksumCRC32C>%s</ChecksumCRC32C></Part>", crc);
}

static int finish_add_parts(struct s3_op *op) {
    int err = buf_reserve(&op->body, op->task->part_count * PART_XML_SIZE + PART_XML_SIZE);
    if (err)
        return err;
    err = buf_add_text(&op->body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; !err && i < op->task->part_count; i++)
        err = finish_add_part(op, i);
    if (err)
        return err;
    return buf_add_text(&op->body, "</CompleteMultipartUpload>");
}

static void finish_send_complete(struct s3_op *op) {
    char crc[CRC_BASE64_SIZE];
    s3_request_begin(op, "POST");
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_request_header(op, "content-type: application/xml");
    s3_existing_add_header(op);
    if (finish_has_checksums(op)) {
        crc32c_to_base64(op->crc, crc);
        s3_request_header(op, "x-amz-checksum-crc32c: %s", crc);
        s3_request_header(op, "x-amz-checksum-type: FULL_OBJECT");
    }
    int err = finish_add_parts(op);
    if (!err)
        err = s3_integrity_hash_body(op); /* a list of parts with a flipped bit would make another object */
    if (err)
        s3_op_fail_err(op, err);
    else
        s3_request_send(op, finish_on_complete_reply);
}

/* --- ListParts --- */

/* A proxy that compresses replies appends to their ETag ("-gzip"). The list has the ETags of the
 * store itself. */
static bool etag_matches(struct slice ours, struct slice theirs) {
    if (theirs.len < ETAG_MIN || ours.len <= theirs.len)
        return slice_equal(ours, theirs);
    return memcmp(ours.ptr, theirs.ptr, theirs.len) == 0 && !isalnum((unsigned char)ours.ptr[theirs.len]);
}

static bool part_matches_record(const struct part *ours, const struct s3_part *theirs) {
    uint32_t crc;
    if (ours->length != theirs->size || (ours->etag.len && !theirs->etag[0]))
        return false;
    if (crc32c_from_base64(slice_of(theirs->crc32c), &crc) == 0)
        return crc == ours->crc;
    return ours->etag.len == 0 || etag_matches(ours->etag, slice_of(theirs->etag));
}

/* Copies the ETags of parts that match their records. Both lists ascend. */
static int finish_take_page(struct s3_op *op, const struct s3_part_list *page) {
    size_t i = 0;
    for (size_t j = 0; j < page->count; j++) {
        const struct s3_part *theirs = &page->parts[j];
        while (i < op->task->part_count && op->task->parts[i].chunk + 1 < theirs->number)
            i++;
        if (i == op->task->part_count)
            return 0;
        const struct part *ours = &op->task->parts[i];
        if (ours->chunk + 1 != theirs->number || op->etags[i] || !part_matches_record(ours, theirs))
            continue;
        if (!(op->etags[i] = strdup(theirs->etag)))
            return ERR_NOMEM;
    }
    return 0;
}

static void finish_end_list(struct s3_op *op) {
    struct task *t = op->task;
    struct task_result *result = &t->result;
    size_t missing = 0;
    for (size_t i = 0; i < t->part_count; i++)
        missing += !op->etags[i];
    if (missing == 0) {
        finish_send_complete(op);
        return;
    }
    if (!(result->redo = calloc(missing, sizeof *result->redo))) {
        s3_op_fail_err(op, ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < t->part_count; i++)
        if (!op->etags[i])
            result->redo[result->redo_count++] = t->parts[i].chunk;
    snprintf(result->error, sizeof result->error, "%.300s (%zu of %zu parts are not at the store as recorded)",
             op->doubt.text, missing, t->part_count);
    s3_op_end(op, OUTCOME_REDO);
}

static void finish_on_parts(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_part_list page = {0};
    if (e && error_is_gone(e)) { /* since Complete: handled like NoSuchUpload from Complete */
        op->doubt = *e;
        op->doubt.gone = true;
        finish_head(op, finish_on_doubt_head);
        return;
    }
    if (e) {
        s3_op_fail_with(op, e);
        return;
    }
    int err = s3_part_list_parse(r->body, &page);
    if (err) {
        s3_op_fail(op, FAIL_OUTAGE, true, "the store's list of parts cannot be read");
        return;
    }
    err = finish_take_page(op, &page);
    uint32_t last = op->task->parts[op->task->part_count - 1].chunk + 1;
    bool more = page.truncated && page.next > op->part_marker && page.next < last;
    op->part_marker = page.next;
    s3_part_list_release(&page);
    if (err)
        s3_op_fail_err(op, err);
    else if (more)
        finish_list_parts(op);
    else
        finish_end_list(op);
}

static void finish_list_parts(struct s3_op *op) {
    op->parts_listed = true;
    if (!op->etags && !(op->etags = calloc(op->task->part_count, sizeof *op->etags))) {
        s3_op_fail_err(op, ERR_NOMEM);
        return;
    }
    s3_request_begin(op, "GET");
    s3_request_param(op, "max-parts", slice_of("1000"));
    if (op->part_marker) {
        snprintf(op->number, sizeof op->number, "%u", op->part_marker);
        s3_request_param(op, "part-number-marker", slice_of(op->number));
    }
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_request_send(op, finish_on_parts);
}

void s3_finish_start(struct s3_op *op) {
    const struct task *t = op->task;
    size_t without_etag = 0;
    op->on_gone = s3_abort_gone;
    if (t->part_count == 0) {
        s3_op_fail(op, FAIL_REQUEST, false, "an upload without parts cannot be finished");
        return;
    }
    for (size_t i = 0; i < t->part_count; i++) {
        const struct part *p = &t->parts[i];
        if (i > 0 && t->parts[i - 1].chunk >= p->chunk) {
            s3_op_fail(op, FAIL_REQUEST, false, "the parts to finish are out of order");
            return;
        }
        op->crc = i ? crc32c_combine(op->crc, p->crc, p->length) : p->crc;
        op->size += p->length;
        without_etag += p->etag.len == 0;
    }
    if (without_etag) {
        s3_error_set(&op->doubt, FAIL_DEST, false, "the store answered a part without an ETag");
        finish_list_parts(op);
    } else {
        finish_send_complete(op);
    }
}
