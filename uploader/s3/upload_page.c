/*
 * list: a page of the multipart uploads under the destination, in the form of pure/listing.h.
 *
 * Keys are requested as they are, because some stores encode them without saying so. Times are
 * converted to the local clock by the Date of the reply.
 */
#include "pure/dest.h"
#include "pure/listing.h"
#include "system/clock.h"
#include "uploader/http/http_date.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/request.h"

#define PAGE_UPLOADS "200"
#define ENTRY_MAX ((size_t)12 + S3_KEY_MAX + PROTO_TEXT_MAX) /* bytes */

/* The last entry: where the next page begins. */
static struct listed_upload page_end(const struct s3_upload_list *list, size_t added) {
    struct listed_upload end = {0};
    if (added == list->count && !list->truncated)
        return end;
    if (added == list->count && list->next_key.len > 0) {
        end.key = buf_slice(&list->next_key);
        end.handle = slice_of(list->next_upload_id);
    } else if (added > 0) {
        end.key = buf_slice(&list->uploads[added - 1].key);
        end.handle = slice_of(list->uploads[added - 1].upload_id);
    }
    return end;
}

/* As many uploads as fit. */
static int page_fill(struct buf *page, const struct s3_upload_list *list, int64_t skew_us) {
    size_t added = 0;
    for (; added < list->count && page->len + 2 * ENTRY_MAX <= LISTING_MAX; added++) {
        const struct s3_upload *u = &list->uploads[added];
        const struct listed_upload entry = {.key = buf_slice(&u->key),
                                            .handle = slice_of(u->upload_id),
                                            .initiated_us = u->initiated_us ? u->initiated_us - skew_us : 0};
        int err = listing_add(page, &entry);
        if (err)
            return err;
    }
    const struct listed_upload end = page_end(list, added);
    return listing_add(page, &end);
}

static void page_on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    int64_t date_s, skew_us = 0;
    if (e) {
        s3_op_fail_with(op, e);
        return;
    }
    s3_upload_list_release(&op->uploads);
    if (s3_upload_list_parse(r->body, &op->uploads)) {
        s3_op_fail(op, FAIL_DEST, false, "the store's list of multipart uploads cannot be read");
        return;
    }
    if (http_date_parse(http_header(r, "date"), &date_s) == 0)
        skew_us = date_s * 1000000 - clock_real_us();
    int err = page_fill(&op->task->result.listing, &op->uploads, skew_us);
    if (err)
        s3_op_fail_err(op, err);
    else
        s3_op_end(op, OUTCOME_DONE);
}

void s3_list_start(struct s3_op *op) {
    const struct job *j = &op->task->job;
    s3_request_begin(op, "GET");
    op->request.bucket_only = true;
    if (j->marker.len > 0) {
        s3_request_param(op, "key-marker", j->marker);
        s3_request_param(op, "upload-id-marker", j->handle);
    }
    s3_request_param(op, "max-uploads", slice_of(PAGE_UPLOADS));
    s3_request_param(op, "prefix", op->url.key);
    s3_request_param(op, "uploads", slice_of(""));
    s3_request_send(op, page_on_reply);
}
