#include "uploader/s3/leftovers.h"
#include "system/clock.h"
#include "system/fault.h"
#include "uploader/http/http_date.h"
#include "uploader/s3/request.h"

#define SKEW_US ((int64_t)60 * 1000000)
#define PAGES_MAX 10

static void leftovers_list(struct s3_op *op);
static void leftovers_try_candidate(struct s3_op *op);

bool s3_leftover_checksum(const struct s3_op *op, const struct s3_upload *u, const struct s3_part_list *parts,
                          enum checksum_kind *kind) {
    const char *algorithm = u->algorithm[0] ? u->algorithm : parts->algorithm;
    const char *type = u->type[0] ? u->type : parts->type;
    bool full = strcmp(algorithm, "CRC32C") == 0 && strcmp(type, "FULL_OBJECT") == 0;
    *kind = full ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE;
    return full || (!algorithm[0] && s3_op_endpoint(op)->multipart_crc32c != S3_YES);
}

static void leftovers_on_parts(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_part_list parts = {0};
    if (e && e->transient) {
        op->on_leftovers_end(op, e);
        return;
    }
    if (!e && s3_part_list_parse(r->body, &parts) == 0 && parts.count == 0)
        op->on_leftover(op, &op->uploads.uploads[op->candidate], &parts);
    else
        s3_leftovers_next(op);
    s3_part_list_release(&parts);
}

static bool leftovers_is_candidate(const struct s3_op *op, const struct s3_upload *u) {
    return u->upload_id[0] && s3_upload_has_key(u, op->url.key) && u->initiated_us >= op->since_us &&
           !slice_equal(slice_of(u->upload_id), op->task->job.handle);
}

/* Starts at op->candidate; requests the next page after the last one of this page. */
static void leftovers_try_candidate(struct s3_op *op) {
    const struct s3_upload_list *page = &op->uploads;
    while (op->candidate < page->count && !leftovers_is_candidate(op, &page->uploads[op->candidate]))
        op->candidate++;
    if (op->candidate < page->count) {
        s3_request_begin(op, "GET");
        s3_request_param(op, "max-parts", slice_of("1"));
        s3_request_param(op, "uploadId", slice_of(page->uploads[op->candidate].upload_id));
        s3_request_send(op, leftovers_on_parts);
        return;
    }
    /* Other keys with this prefix may come first (Ceph sorts by "key.upload-id"), so no page is
     * skipped. */
    if (page->truncated && page->next_key.len && ++op->pages < PAGES_MAX)
        leftovers_list(op);
    else
        op->on_leftovers_end(op, NULL);
}

static void leftovers_on_list(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    int64_t date_s, skew_us = 0;
    s3_upload_list_release(&op->uploads);
    op->candidate = 0;
    if (e || s3_upload_list_parse(r->body, &op->uploads)) {
        op->on_leftovers_end(op, e);
        return;
    }
    if (http_date_parse(http_header(r, "date"), &date_s) == 0)
        skew_us = date_s * 1000000 - clock_real_us();
    op->since_us = op->task->since_us + skew_us - SKEW_US;
    FAULT_POINT_IF(op->task->job.ref.kind == JOB_BEGIN, s3_listed, "");
    leftovers_try_candidate(op);
}

static void leftovers_list(struct s3_op *op) {
    s3_request_begin(op, "GET");
    op->request.bucket_only = true;
    if (op->pages > 0) {
        buf_clear(&op->key_marker);
        if (buf_add_slice(&op->key_marker, buf_slice(&op->uploads.next_key))) {
            s3_op_fail_err(op, ERR_NOMEM);
            return;
        }
        memcpy(op->id_marker, op->uploads.next_upload_id, sizeof op->id_marker);
        s3_request_param(op, "key-marker", buf_slice(&op->key_marker));
        s3_request_param(op, "upload-id-marker", slice_of(op->id_marker));
    }
    s3_request_param(op, "encoding-type", slice_of("url"));
    s3_request_param(op, "max-uploads", slice_of("1000"));
    s3_request_param(op, "prefix", op->url.key);
    s3_request_param(op, "uploads", slice_of(""));
    s3_request_send(op, leftovers_on_list);
}

void s3_leftovers_start(struct s3_op *op, s3_leftover_handler *on_leftover, s3_leftovers_end_handler *on_end) {
    op->on_leftover = on_leftover;
    op->on_leftovers_end = on_end;
    leftovers_list(op);
}

void s3_leftovers_next(struct s3_op *op) {
    op->candidate++;
    leftovers_try_candidate(op);
}

/* --- abort all --- */

static void leftovers_on_aborted(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && !e->gone && e->status != 404)
        op->on_leftovers_end(op, e);
    else
        s3_leftovers_next(op);
}

static void leftovers_abort_one(struct s3_op *op, const struct s3_upload *u, const struct s3_part_list *parts) {
    (void)parts;
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", slice_of(u->upload_id));
    s3_request_send(op, leftovers_on_aborted);
}

void s3_leftovers_abort(struct s3_op *op, s3_leftovers_end_handler *on_end) {
    if (op->task->since_us != 0)
        s3_leftovers_start(op, leftovers_abort_one, on_end);
    else
        on_end(op, NULL);
}

/* The task itself is done already: an error of the aborts does not count. */
static void leftovers_on_all_aborted(struct s3_op *op, const struct s3_error *e) {
    (void)e;
    s3_op_end(op, OUTCOME_DONE);
}

void s3_leftovers_abort_and_end(struct s3_op *op) {
    s3_leftovers_abort(op, leftovers_on_all_aborted);
}
