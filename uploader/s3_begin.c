/*
 * begin: CreateMultipartUpload, asking for crc32c of the whole object. What the store echoes decides: FULL_OBJECT is
 * what chunklift can give (chunk checksums combine), any other kind would have to be met part by part at Complete, so
 * such an upload is dropped and made again without.
 *
 * Rule 10. When an earlier holder of this begin may have created an upload, ListMultipartUploads is asked for exactly
 * this key, and the first upload initiated since then that has no parts is adopted. "Since" is by the store's clock:
 * the Date of its answer tells how far off it is from ours; SKEW_US remains for two hosts of ours that differ. It is
 * kept short because adopting somebody else's upload does harm, while overlooking our own leaves an empty one behind,
 * which costs nothing.
 */
#include "system/clock.h"
#include "uploader/aws_time.h"
#include "uploader/s3.h"

#define SKEW_US ((int64_t)60 * 1000000)
#define PAGES_MAX 10

static void create(struct s3_op *op);

static void begun(struct s3_op *op, enum checksum_kind checksum) {
    op->task->result.checksum = checksum;
    s3_end(op, OUTCOME_DONE);
}

/* The one with the wrong kind of checksum is gone or as good as gone. */
static void on_stray_aborted(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r, (void)e;
    op->task->result.handle[0] = 0;
    create(op);
}

static void drop_stray(struct s3_op *op) {
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", slice_of(op->task->result.handle));
    s3_send(op, on_stray_aborted);
}

static void on_created(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_endpoint *endpoint = s3_memory_endpoint(op->s3->memory, op->place.endpoint);
    if (e && !op->plain && s3_refuses_checksums(e)) {
        op->plain = true;
        create(op);
        return;
    }
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
    s3_memory_learn(endpoint, &endpoint->multipart_crc32c, full);
    if (algorithm.len && !full && !op->plain) {
        op->plain = true;
        drop_stray(op);
        return;
    }
    begun(op, full ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE);
}

static void create(struct s3_op *op) {
    if (s3_memory_endpoint(op->s3->memory, op->place.endpoint)->multipart_crc32c == S3_NO)
        op->plain = true;
    s3_request_begin(op, "POST");
    s3_request_param(op, "uploads", slice_of(""));
    s3_request_header(op, "content-type: application/octet-stream");
    s3_request_header(op, S3_OWNER_HEADER ": %s", op->owner);
    if (!op->plain) {
        s3_request_header(op, "x-amz-checksum-algorithm: CRC32C");
        s3_request_header(op, "x-amz-checksum-type: FULL_OBJECT");
    }
    s3_send(op, on_created);
}

/* --- rule 10: what an earlier holder left --- */

static void list(struct s3_op *op);
static void try_candidate(struct s3_op *op);

static bool is_full(const char *algorithm, const char *type) {
    return strcmp(algorithm, "CRC32C") == 0 && strcmp(type, "FULL_OBJECT") == 0;
}

/* True, and *kind, when it is known how the store checks this upload. */
static bool kind_of(const struct s3_op *op, const struct s3_upload *u, const struct s3_xml_parts *parts,
                    enum checksum_kind *kind) {
    const char *algorithm = u->algorithm[0] ? u->algorithm : parts->algorithm;
    const char *type = u->type[0] ? u->type : parts->type;
    *kind = is_full(algorithm, type) ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE;
    if (*kind == CHECKSUM_CRC32C_FULL)
        return true;
    return !algorithm[0] && s3_memory_endpoint(op->s3->memory, op->place.endpoint)->multipart_crc32c != S3_YES;
}

static void on_candidate_parts(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    const struct s3_upload *u = &op->uploads.uploads[op->candidate];
    struct s3_xml_parts parts = {0};
    enum checksum_kind kind;
    bool take = !e && s3_xml_parts(r->body, &parts) == 0 && parts.count == 0 && kind_of(op, u, &parts, &kind);
    s3_xml_parts_release(&parts);
    if (take) {
        memcpy(op->task->result.handle, u->upload_id, sizeof u->upload_id);
        begun(op, kind);
    } else if (e && e->transient) {
        s3_end_error(op, e);
    } else {
        op->candidate++;
        try_candidate(op);
    }
}

static bool is_candidate(const struct s3_op *op, const struct s3_upload *u) {
    return u->upload_id[0] && s3_upload_has_key(u, op->place.key) && u->initiated_us >= op->since_us;
}

/* From op->candidate on; after the last one the next page, after the last page a new upload. */
static void try_candidate(struct s3_op *op) {
    const struct s3_xml_uploads *page = &op->uploads;
    while (op->candidate < page->count && !is_candidate(op, &page->uploads[op->candidate]))
        op->candidate++;
    if (op->candidate < page->count) {
        s3_request_begin(op, "GET");
        s3_request_param(op, "max-parts", slice_of("1"));
        s3_request_param(op, "uploadId", slice_of(page->uploads[op->candidate].upload_id));
        s3_send(op, on_candidate_parts);
        return;
    }
    /* Other keys with this prefix may come first (Ceph sorts "key.upload-id"), so no page is skipped. */
    if (page->truncated && page->next_key.len && ++op->pages < PAGES_MAX)
        list(op);
    else
        create(op);
}

static void on_listed(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    int64_t date_s, skew_us = 0;
    if (e && e->transient) {
        s3_end_error(op, e);
        return;
    }
    s3_xml_uploads_release(&op->uploads);
    op->candidate = 0;
    if (e || s3_xml_uploads(r->body, &op->uploads)) {
        create(op); /* not allowed, or not understood here: one empty upload may stay behind */
        return;
    }
    if (http_date_parse(http_header(r, "date"), &date_s) == 0)
        skew_us = date_s * 1000000 - clock_real_us();
    op->since_us = op->task->since_us + skew_us - SKEW_US;
    try_candidate(op);
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

void s3_begin_start(struct s3_op *op) {
    if (op->task->since_us != 0)
        list(op);
    else
        create(op);
}
