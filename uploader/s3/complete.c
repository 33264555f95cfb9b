/*
 * finish: CompleteMultipartUpload, and what to believe when its reply is lost, doubtful or odd (rule 11).
 *
 *                       Complete
 *        200, etag ──────── done
 *        200, no etag ───── HEAD for it
 *        InvalidPart ────── ListParts: parts that are there as recorded are taken with the store's etag and Complete
 *                           is tried once more; others are REDO
 *        refused with checksums: once without; when the checksum is called wrong, after ListParts
 *        no reply, 5xx, <Error> that does not tell, NoSuchUpload
 *                      ──── HEAD: an object with this upload's id and size is success; otherwise NoSuchUpload is GONE,
 *                           and for another error ListParts tells whether the upload is still there (Ceph answers 500
 *                           for one that is not): if it is, the error stands; if not, HEAD once more and GONE, for it
 *                           may have been completed in between
 *        anything else ──── fails
 *
 * Size alone never proves that an object is ours. A part is "as recorded" when size and checksum agree, or, where the
 * store lists no checksum, size and etag. A part whose reply had no ETag has none to compare: the upload id is known to
 * this upload alone, and all its attempts at a part send the same bytes, so its size is enough. ListParts gives the
 * etags of such parts before Complete is tried.
 */
#include "system/fault.h"
#include "uploader/s3/s3_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define PART_BYTES 160 /* of XML, about */
#define ETAG_MIN 16    /* a shorter one is not told apart from the start of another */

static void complete(struct s3_op *op);
static void list_parts(struct s3_op *op);
static void look_for_upload(struct s3_op *op);
static void on_doubt_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e);
static void head(struct s3_op *op, s3_handler *on_reply);

static void done(struct s3_op *op) {
    op->task->result.crc = op->crc;
    op->task->result.size = op->size;
    s3_end_swept(op);
}

/* --- HEAD --- */

enum s3_knowledge s3_is_owned(const struct s3_op *op, const struct http_reply *r) {
    struct slice owner = http_header(r, S3_OWNER_HEADER);
    if (owner.len == 0)
        return S3_UNKNOWN;
    return slice_equal(owner, slice_of(op->owner)) ? S3_YES : S3_NO;
}

static bool size_agrees(const struct s3_op *op, const struct http_reply *r) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)op->size);
    return slice_equal(http_header(r, "content-length"), slice_of(text));
}

/* A store that keeps no metadata: the checksum of the whole must agree. */
static bool checksum_agrees(const struct s3_op *op, const struct http_reply *r) {
    uint32_t crc;
    struct slice type = http_header(r, "x-amz-checksum-type");
    return (type.len == 0 || slice_equal(type, slice_of("FULL_OBJECT"))) &&
           crc32c_from_base64(http_header(r, "x-amz-checksum-crc32c"), &crc) == 0 && crc == op->crc;
}

/* The store states a checksum of the whole object, and it is another one. */
static bool checksum_differs(const struct s3_op *op, const struct http_reply *r) {
    uint32_t crc;
    return slice_equal(http_header(r, "x-amz-checksum-type"), slice_of("FULL_OBJECT")) &&
           crc32c_from_base64(http_header(r, "x-amz-checksum-crc32c"), &crc) == 0 && crc != op->crc;
}

/* An answer to ListParts: Ceph says NoSuchKey. */
static bool is_gone(const struct s3_error *e) {
    return e->gone || (e->status == 404 && e->klass != FAIL_NO_BUCKET);
}

static void on_upload_looked_for(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (!e || !is_gone(e)) {
        s3_end_error(op, &op->doubt);
        return;
    }
    op->doubt.gone = true;
    snprintf(op->doubt.text, sizeof op->doubt.text, "the store no longer knows this upload");
    head(op, on_doubt_head);
}

static void look_for_upload(struct s3_op *op) {
    op->looked_for = true;
    s3_request_begin(op, "GET");
    s3_request_param(op, "max-parts", slice_of("1"));
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_send(op, on_upload_looked_for);
}

static void on_doubt_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e && e->status != 404) {
        s3_end_error(op, op->doubt.gone ? e : &op->doubt);
        return;
    }
    enum s3_knowledge owned = e ? S3_NO : s3_is_owned(op, r);
    if (!e && owned == S3_YES && checksum_differs(op, r)) {
        s3_end_failed(op, FAIL_INTEGRITY, false,
                      "the store's checksum of the whole object is not that of what was sent");
        return;
    }
    if (!e && size_agrees(op, r) && (owned == S3_YES || (owned == S3_UNKNOWN && checksum_agrees(op, r)))) {
        if (s3_take_etag(op, r))
            done(op);
        return;
    }
    if (op->doubt.gone || op->looked_for)
        s3_end_error(op, &op->doubt); /* NoSuchUpload and not ours: GONE */
    else
        look_for_upload(op);
}

static void on_etag_head(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (!e && s3_is_owned(op, r) == S3_YES && !size_agrees(op, r)) {
        s3_end_failed(op, FAIL_INTEGRITY, false, "the object at the store has another size than the file");
        return;
    }
    /* Complete was answered well: an etag that cannot be had, or is another object's by now, is no failure. */
    if (e || s3_is_owned(op, r) == S3_NO || s3_take_etag(op, r))
        done(op);
}

static void head(struct s3_op *op, s3_handler *on_reply) {
    s3_request_begin(op, "HEAD");
    if (!op->s3->aws.checksums_when_required)
        s3_request_optional(op, S3_CHECKSUM_MODE, "x-amz-checksum-mode: ENABLED");
    s3_send(op, on_reply);
}

/* --- Complete --- */

static void on_completed(struct s3_op *op, const struct http_reply *r) {
    struct s3_xml_completed completed;
    uint32_t crc;
    if (s3_xml_completed(r->body, &completed)) {
        s3_error_set(&op->doubt, FAIL_OUTAGE, true, "the store's answer to CompleteMultipartUpload cannot be read");
        head(op, on_doubt_head);
        return;
    }
    if (crc32c_from_base64(slice_of(completed.crc32c), &crc) == 0 && crc != op->crc) {
        s3_end_failed(op, FAIL_INTEGRITY, false, "the store's checksum of the whole object is not that of the file");
        return;
    }
    memcpy(op->task->result.etag, completed.etag, sizeof completed.etag);
    if (completed.etag[0])
        done(op);
    else
        head(op, on_etag_head); /* Ceph */
}

/* The store promised to verify the whole object and refuses what it asked for. Once without: its parts were verified
 * one by one. Where it says that the checksum is wrong, they must all be there as recorded. */
static bool try_plain(struct s3_op *op, const struct s3_error *e) {
    if (op->task->job.checksum != CHECKSUM_CRC32C_FULL || op->plain ||
        !(e->bad_checksum || s3_error_may_be_a_header(e)))
        return false;
    op->plain = true;
    op->doubt = *e;
    if (e->bad_checksum && !op->reconciled)
        list_parts(op);
    else
        complete(op);
    return true;
}

static void on_complete(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (!e) {
        struct s3_endpoint *endpoint = s3_memory_endpoint(op->s3->memory, op->place.endpoint);
        if (op->plain)
            s3_memory_learn(endpoint, false);
        on_completed(op, r);
    } else if (try_plain(op, e)) {
        return;
    } else if (strcmp(e->code, "InvalidPart") == 0 || strcmp(e->code, "InvalidPartOrder") == 0) {
        op->doubt = *e;
        if (op->reconciled) { /* the store lists them all as recorded and still refuses */
            op->doubt.transient = true;
            s3_end_error(op, &op->doubt);
        } else {
            list_parts(op);
        }
    } else if (e->doubt || e->gone) {
        FAULT_POINT(s3_doubted);
        op->doubt = *e;
        head(op, on_doubt_head);
    } else {
        s3_end_error(op, e);
    }
}

static bool with_checksums(const struct s3_op *op) {
    return op->task->job.checksum == CHECKSUM_CRC32C_FULL && !op->plain;
}

static int add_part(struct s3_op *op, size_t i) {
    const struct part *p = &op->task->parts[i];
    struct slice etag = op->etags && op->etags[i] ? slice_of(op->etags[i]) : p->etag;
    char crc[CRC_BASE64_SIZE];
    int err = buf_addf(&op->body, "<Part><PartNumber>%u</PartNumber><ETag>\"", p->chunk + 1);
    if (!err)
        err = s3_xml_escape_add(&op->body, etag);
    if (!err)
        err = buf_add_text(&op->body, "\"</ETag>");
    if (!err && with_checksums(op)) {
        crc32c_to_base64(p->crc, crc);
        err = buf_addf(&op->body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
    }
    return err ? err : buf_add_text(&op->body, "</Part>");
}

static int add_parts(struct s3_op *op) {
    int err = buf_reserve(&op->body, op->task->part_count * PART_BYTES + PART_BYTES);
    if (!err)
        err = buf_add_text(&op->body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; !err && i < op->task->part_count; i++)
        err = add_part(op, i);
    return err ? err : buf_add_text(&op->body, "</CompleteMultipartUpload>");
}

static void complete(struct s3_op *op) {
    char crc[CRC_BASE64_SIZE];
    s3_request_begin(op, "POST");
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_request_header(op, "content-type: application/xml");
    if (with_checksums(op)) {
        crc32c_to_base64(op->crc, crc);
        s3_request_header(op, "x-amz-checksum-crc32c: %s", crc);
        s3_request_header(op, "x-amz-checksum-type: FULL_OBJECT");
    }
    int err = add_parts(op);
    if (!err)
        err = s3_integrity_sign_body(op); /* a list of parts that a bit is wrong in makes another object */
    if (err)
        s3_end_err(op, err);
    else
        s3_send(op, on_complete);
}

/* --- parts that do not fit --- */

/* A proxy that compresses replies appends to their ETag ("-gzip"); the list shows the store's own. */
static bool etag_fits(struct slice ours, struct slice theirs) {
    if (theirs.len < ETAG_MIN || ours.len <= theirs.len)
        return slice_equal(ours, theirs);
    return memcmp(ours.ptr, theirs.ptr, theirs.len) == 0 && !isalnum((unsigned char)ours.ptr[theirs.len]);
}

static bool is_as_recorded(const struct part *ours, const struct s3_part *theirs) {
    uint32_t crc;
    if (ours->length != theirs->size || (ours->etag.len && !theirs->etag[0]))
        return false;
    if (crc32c_from_base64(slice_of(theirs->crc32c), &crc) == 0)
        return crc == ours->crc;
    return ours->etag.len == 0 || etag_fits(ours->etag, slice_of(theirs->etag));
}

/* Takes etags from a page; both lists ascend. */
static int take_page(struct s3_op *op, const struct s3_xml_parts *page) {
    size_t i = 0;
    for (size_t j = 0; j < page->count; j++) {
        const struct s3_part *theirs = &page->parts[j];
        while (i < op->task->part_count && op->task->parts[i].chunk + 1 < theirs->number)
            i++;
        if (i == op->task->part_count)
            return 0;
        const struct part *ours = &op->task->parts[i];
        if (ours->chunk + 1 != theirs->number || op->etags[i] || !is_as_recorded(ours, theirs))
            continue;
        if (!(op->etags[i] = strdup(theirs->etag)))
            return ERR_NOMEM;
    }
    return 0;
}

static void end_listed(struct s3_op *op) {
    struct task *t = op->task;
    struct task_result *result = &t->result;
    size_t missing = 0;
    for (size_t i = 0; i < t->part_count; i++)
        missing += !op->etags[i];
    if (missing == 0) {
        complete(op);
        return;
    }
    if (!(result->redo = calloc(missing, sizeof *result->redo))) {
        s3_end_err(op, ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < t->part_count; i++)
        if (!op->etags[i])
            result->redo[result->redo_count++] = t->parts[i].chunk;
    snprintf(result->error, sizeof result->error, "%.300s (%zu of %zu parts are not at the store as recorded)",
             op->doubt.text, missing, t->part_count);
    s3_end(op, OUTCOME_REDO);
}

static void on_parts(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_xml_parts page = {0};
    if (e && is_gone(e)) { /* between Complete and now: as if Complete had said so */
        op->doubt = *e;
        op->doubt.gone = true;
        head(op, on_doubt_head);
        return;
    }
    if (e) {
        s3_end_error(op, e);
        return;
    }
    int err = s3_xml_parts(r->body, &page);
    if (err) {
        s3_end_failed(op, FAIL_OUTAGE, true, "the store's list of parts cannot be read");
        return;
    }
    err = take_page(op, &page);
    uint32_t last = op->task->parts[op->task->part_count - 1].chunk + 1;
    bool more = page.truncated && page.next > op->part_marker && page.next < last;
    op->part_marker = page.next;
    s3_xml_parts_release(&page);
    if (err)
        s3_end_err(op, err);
    else if (more)
        list_parts(op);
    else
        end_listed(op);
}

static void list_parts(struct s3_op *op) {
    op->reconciled = true;
    if (!op->etags && !(op->etags = calloc(op->task->part_count, sizeof *op->etags))) {
        s3_end_err(op, ERR_NOMEM);
        return;
    }
    s3_request_begin(op, "GET");
    s3_request_param(op, "max-parts", slice_of("1000"));
    if (op->part_marker) {
        snprintf(op->number, sizeof op->number, "%u", op->part_marker);
        s3_request_param(op, "part-number-marker", slice_of(op->number));
    }
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_send(op, on_parts);
}

void s3_finish_start(struct s3_op *op) {
    const struct task *t = op->task;
    size_t without_etag = 0;
    if (t->part_count == 0) {
        s3_end_failed(op, FAIL_REQUEST, false, "an upload without parts cannot be finished");
        return;
    }
    for (size_t i = 0; i < t->part_count; i++) {
        const struct part *p = &t->parts[i];
        if (i > 0 && t->parts[i - 1].chunk >= p->chunk) {
            s3_end_failed(op, FAIL_REQUEST, false, "the parts to finish are out of order");
            return;
        }
        op->crc = i ? crc32c_combine(op->crc, p->crc, p->length) : p->crc;
        op->size += p->length;
        without_etag += p->etag.len == 0;
    }
    if (without_etag) {
        s3_error_set(&op->doubt, FAIL_DEST, false, "the store answered a part without an ETag");
        list_parts(op);
    } else {
        complete(op);
    }
}
