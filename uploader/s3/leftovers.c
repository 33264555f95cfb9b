/*
 * Rule 10: uploads of exactly this key that earlier holders of its begin may have created and nobody recorded.
 *
 * ListMultipartUploads is asked for the key, and every upload initiated since then that has no parts is shown to
 * found(). One with parts could be somebody else's work. "Since" is by the store's clock: the Date of its answer tells
 * how far off it is from ours; SKEW_US remains for two hosts of ours that differ. It is kept short because taking
 * somebody else's empty upload does harm, while overlooking our own leaves one behind, which costs nothing.
 *
 *   begin           adopts the first, or creates one
 *   finish, abort   abort them all: a request whose sender died may have taken effect after the next holder looked
 *   abort without a handle   aborts them all: that is its whole work
 */
#include "system/clock.h"
#include "system/fault.h"
#include "uploader/aws/aws_time.h"
#include "uploader/http/http_date.h"
#include "uploader/s3/s3_internal.h"

#define SKEW_US ((int64_t)60 * 1000000)
#define PAGES_MAX 10

static void list(struct s3_op *op);
static void try_next(struct s3_op *op);

static bool is_full(const char *algorithm, const char *type) {
    return strcmp(algorithm, "CRC32C") == 0 && strcmp(type, "FULL_OBJECT") == 0;
}

bool s3_leftover_kind(const struct s3_op *op, const struct s3_upload *u, const struct s3_xml_parts *parts,
                      enum checksum_kind *kind) {
    const char *algorithm = u->algorithm[0] ? u->algorithm : parts->algorithm;
    const char *type = u->type[0] ? u->type : parts->type;
    *kind = is_full(algorithm, type) ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE;
    if (*kind == CHECKSUM_CRC32C_FULL)
        return true;
    return !algorithm[0] && s3_memory_endpoint(op->s3->memory, op->place.endpoint)->multipart_crc32c != S3_YES;
}

static void on_parts(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_xml_parts parts = {0};
    if (e && e->transient) {
        op->none(op, e);
        return;
    }
    if (!e && s3_xml_parts(r->body, &parts) == 0 && parts.count == 0)
        op->found(op, &op->uploads.uploads[op->candidate], &parts);
    else
        s3_leftovers_next(op);
    s3_xml_parts_release(&parts);
}

static bool is_candidate(const struct s3_op *op, const struct s3_upload *u) {
    return u->upload_id[0] && s3_upload_has_key(u, op->place.key) && u->initiated_us >= op->since_us &&
           !slice_equal(slice_of(u->upload_id), op->task->job.handle);
}

/* From op->candidate on; after the last one the next page. */
static void try_next(struct s3_op *op) {
    const struct s3_xml_uploads *page = &op->uploads;
    while (op->candidate < page->count && !is_candidate(op, &page->uploads[op->candidate]))
        op->candidate++;
    if (op->candidate < page->count) {
        s3_request_begin(op, "GET");
        s3_request_param(op, "max-parts", slice_of("1"));
        s3_request_param(op, "uploadId", slice_of(page->uploads[op->candidate].upload_id));
        s3_send(op, on_parts);
        return;
    }
    /* Other keys with this prefix may come first (Ceph sorts "key.upload-id"), so no page is skipped. */
    if (page->truncated && page->next_key.len && ++op->pages < PAGES_MAX)
        list(op);
    else
        op->none(op, NULL);
}

static void on_listed(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    int64_t date_s, skew_us = 0;
    s3_xml_uploads_release(&op->uploads);
    op->candidate = 0;
    if (e || s3_xml_uploads(r->body, &op->uploads)) {
        op->none(op, e);
        return;
    }
    if (http_date_parse(http_header(r, "date"), &date_s) == 0)
        skew_us = date_s * 1000000 - clock_real_us();
    op->since_us = op->task->since_us + skew_us - SKEW_US;
    FAULT_POINT_IF(op->task->job.ref.kind == JOB_BEGIN, s3_listed, "");
    try_next(op);
}

static void list(struct s3_op *op) {
    s3_request_begin(op, "GET");
    op->request.bucket_only = true;
    if (op->pages > 0) {
        buf_clear(&op->key_marker);
        if (buf_add_slice(&op->key_marker, buf_slice(&op->uploads.next_key))) {
            s3_end_err(op, ERR_NOMEM);
            return;
        }
        memcpy(op->id_marker, op->uploads.next_upload_id, sizeof op->id_marker);
        s3_request_param(op, "key-marker", buf_slice(&op->key_marker));
        s3_request_param(op, "upload-id-marker", slice_of(op->id_marker));
    }
    s3_request_param(op, "encoding-type", slice_of("url"));
    s3_request_param(op, "max-uploads", slice_of("1000"));
    s3_request_param(op, "prefix", op->place.key);
    s3_request_param(op, "uploads", slice_of(""));
    s3_send(op, on_listed);
}

void s3_leftovers_start(struct s3_op *op, s3_leftover_found *found, s3_leftover_none *none) {
    op->found = found;
    op->none = none;
    list(op);
}

void s3_leftovers_next(struct s3_op *op) {
    op->candidate++;
    try_next(op);
}

/* --- finish and abort: away with them --- */

static void on_swept(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && !e->gone && e->status != 404)
        op->none(op, e);
    else
        s3_leftovers_next(op);
}

static void sweep(struct s3_op *op, const struct s3_upload *u, const struct s3_xml_parts *parts) {
    (void)parts;
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", slice_of(u->upload_id));
    s3_send(op, on_swept);
}

/* The task is done already, whatever comes of this. */
static void on_all_swept(struct s3_op *op, const struct s3_error *e) {
    (void)e;
    s3_end(op, OUTCOME_DONE);
}

void s3_sweep_start(struct s3_op *op, s3_leftover_none *done) {
    if (op->task->since_us != 0)
        s3_leftovers_start(op, sweep, done);
    else
        done(op, NULL);
}

void s3_end_swept(struct s3_op *op) {
    s3_sweep_start(op, on_all_swept);
}
