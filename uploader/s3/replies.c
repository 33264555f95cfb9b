#include "uploader/s3/replies.h"
#include "pure/array.h"
#include "pure/decimal.h"
#include "pure/percent.h"
#include "pure/rfc3339.h"
#include "uploader/http/xml.h"
#include <stdlib.h>

#define ENTRIES_MAX 1000 /* parts or uploads of one page, objects of one DeleteObjects, as S3 promises */

int s3_etag_copy(struct slice etag, char *out, size_t size) {
    if (etag.len >= 2 && memcmp(etag.ptr, "W/", 2) == 0)
        etag = slice_make(etag.ptr + 2, etag.len - 2);
    if (etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"')
        etag = slice_make(etag.ptr + 1, etag.len - 2);
    return xml_text_copy(etag, out, size);
}

static int error_on_element(void *arg, const char *path, struct slice text) {
    struct s3_error_reply *e = arg;
    if (strcmp(path, "Error/Code") == 0)
        xml_text_copy_cut(text, e->code, sizeof e->code);
    else if (strcmp(path, "Error/Message") == 0)
        xml_text_copy_cut(text, e->message, sizeof e->message);
    else if (strcmp(path, "Error/Region") == 0)
        xml_text_copy_cut(text, e->region, sizeof e->region);
    else if (strcmp(path, "Error/ServerTime") == 0)
        xml_text_copy_cut(text, e->server_time, sizeof e->server_time);
    return 0;
}

int s3_error_reply_parse(struct slice body, struct s3_error_reply *e) {
    *e = (struct s3_error_reply){{0}};
    return xml_parse(body, "Error", error_on_element, e);
}

static int created_on_element(void *arg, const char *path, struct slice text) {
    struct s3_created *c = arg;
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0)
        return xml_text_copy(text, c->upload_id, sizeof c->upload_id);
    return 0;
}

int s3_created_parse(struct slice body, struct s3_created *c) {
    c->upload_id[0] = 0;
    int err = xml_parse(body, "InitiateMultipartUploadResult", created_on_element, c);
    if (err)
        return err;
    return c->upload_id[0] ? 0 : ERR_INVALID;
}

static int completed_on_element(void *arg, const char *path, struct slice text) {
    struct s3_completed *c = arg;
    if (strcmp(path, "CompleteMultipartUploadResult/ETag") == 0)
        return s3_etag_copy(text, c->etag, sizeof c->etag);
    if (strcmp(path, "CompleteMultipartUploadResult/ChecksumCRC32C") == 0)
        return xml_text_copy(text, c->crc32c, sizeof c->crc32c);
    return 0;
}

int s3_completed_parse(struct slice body, struct s3_completed *c) {
    *c = (struct s3_completed){{0}};
    return xml_parse(body, "CompleteMultipartUploadResult", completed_on_element, c);
}

/* A number above max is not plausible. */
static int reply_number_parse(struct slice text, uint64_t max, uint64_t *value) {
    return decimal_parse(text, max, value) ? ERR_INVALID : 0;
}

struct part_list_reader {
    struct s3_part_list *page;
    struct s3_part part;
    size_t cap;
};

static int part_list_add(struct part_list_reader *r) {
    struct s3_part_list *p = r->page;
    if (r->part.number == 0 || (p->count && p->parts[p->count - 1].number >= r->part.number))
        return ERR_INVALID; /* S3 lists them in ascending order */
    if (p->count >= ENTRIES_MAX)
        return ERR_LIMIT;
    if (array_grow(&p->parts, &r->cap, p->count, sizeof *p->parts))
        return ERR_NOMEM;
    p->parts[p->count++] = r->part;
    r->part = (struct s3_part){0};
    return 0;
}

static int part_set_field(struct s3_part *part, const char *name, struct slice text) {
    uint64_t number = 0;
    if (strcmp(name, "ETag") == 0)
        return s3_etag_copy(text, part->etag, sizeof part->etag);
    if (strcmp(name, "ChecksumCRC32C") == 0)
        return xml_text_copy(text, part->crc32c, sizeof part->crc32c);
    if (strcmp(name, "Size") == 0)
        return reply_number_parse(text, INT64_MAX, &part->size);
    if (strcmp(name, "PartNumber") != 0)
        return 0;
    int err = reply_number_parse(text, UINT32_MAX, &number);
    part->number = (uint32_t)number;
    return err;
}

#define PART_PATH "ListPartsResult/Part"
static int part_list_on_element(void *arg, const char *path, struct slice text) {
    struct part_list_reader *r = arg;
    uint64_t number = 0;
    int err = 0;
    if (strcmp(path, PART_PATH) == 0)
        return part_list_add(r);
    if (strncmp(path, PART_PATH "/", sizeof PART_PATH) == 0)
        return part_set_field(&r->part, path + sizeof PART_PATH, text);
    if (strcmp(path, "ListPartsResult/IsTruncated") == 0)
        r->page->truncated = slice_equal(text, slice_of("true"));
    else if (strcmp(path, "ListPartsResult/ChecksumAlgorithm") == 0)
        err = xml_text_copy(text, r->page->algorithm, sizeof r->page->algorithm);
    else if (strcmp(path, "ListPartsResult/ChecksumType") == 0)
        err = xml_text_copy(text, r->page->type, sizeof r->page->type);
    else if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0 && text.len) {
        err = reply_number_parse(text, UINT32_MAX, &number);
        r->page->next = (uint32_t)number;
    }
    return err;
}

int s3_part_list_parse(struct slice body, struct s3_part_list *p) {
    *p = (struct s3_part_list){0};
    struct part_list_reader r = {.page = p};
    int err = xml_parse(body, "ListPartsResult", part_list_on_element, &r);
    if (!err && p->truncated && p->count)
        p->next = p->parts[p->count - 1].number; /* the last part read, whatever the store claims */
    if (err)
        s3_part_list_release(p);
    return err;
}

void s3_part_list_release(struct s3_part_list *p) {
    free(p->parts);
    *p = (struct s3_part_list){0};
}

struct upload_list_reader {
    struct s3_upload_list *page;
    struct s3_upload upload;
    size_t cap;
    bool encoded;
};

static int upload_list_add(struct upload_list_reader *r) {
    struct s3_upload_list *u = r->page;
    if (u->count >= ENTRIES_MAX)
        return ERR_LIMIT;
    if (array_grow(&u->uploads, &r->cap, u->count, sizeof *u->uploads))
        return ERR_NOMEM;
    u->uploads[u->count++] = r->upload;
    r->upload = (struct s3_upload){.key = BUF_INIT};
    return 0;
}

static int buf_set_text(struct buf *out, struct slice text) {
    buf_clear(out);
    return buf_add_slice(out, text);
}

static int upload_set_field(struct s3_upload *u, const char *name, struct slice text) {
    if (strcmp(name, "Key") == 0)
        return buf_set_text(&u->key, text);
    if (strcmp(name, "UploadId") == 0)
        return xml_text_copy(text, u->upload_id, sizeof u->upload_id);
    if (strcmp(name, "ChecksumAlgorithm") == 0)
        return xml_text_copy(text, u->algorithm, sizeof u->algorithm);
    if (strcmp(name, "ChecksumType") == 0)
        return xml_text_copy(text, u->type, sizeof u->type);
    if (strcmp(name, "Initiated") == 0 && rfc3339_parse(text, &u->initiated_us))
        u->initiated_us = 0;
    return 0;
}

#define UPLOAD_PATH "ListMultipartUploadsResult/Upload"
static int upload_list_on_element(void *arg, const char *path, struct slice text) {
    struct upload_list_reader *r = arg;
    if (strcmp(path, UPLOAD_PATH) == 0)
        return upload_list_add(r);
    if (strncmp(path, UPLOAD_PATH "/", sizeof UPLOAD_PATH) == 0)
        return upload_set_field(&r->upload, path + sizeof UPLOAD_PATH, text);
    if (strcmp(path, "ListMultipartUploadsResult/IsTruncated") == 0)
        r->page->truncated = slice_equal(text, slice_of("true"));
    else if (strcmp(path, "ListMultipartUploadsResult/EncodingType") == 0)
        r->encoded = slice_equal(text, slice_of("url"));
    else if (strcmp(path, "ListMultipartUploadsResult/NextKeyMarker") == 0)
        return buf_set_text(&r->page->next_key, text);
    else if (strcmp(path, "ListMultipartUploadsResult/NextUploadIdMarker") == 0)
        return xml_text_copy(text, r->page->next_upload_id, sizeof r->page->next_upload_id);
    return 0;
}

bool s3_upload_has_key(const struct s3_upload *u, struct slice key) {
    struct buf plain = BUF_INIT;
    bool same = slice_equal(buf_slice(&u->key), key) ||
                (percent_decode(&plain, buf_slice(&u->key)) == 0 && slice_equal(buf_slice(&plain), key));
    buf_release(&plain);
    return same;
}

/* Swift announces encoding and does not encode this one. Text that cannot be decoded is kept. */
static int marker_decode(struct buf *key) {
    struct buf plain = BUF_INIT;
    int err = percent_decode(&plain, buf_slice(key));
    if (err) {
        buf_release(&plain);
        return err == ERR_INVALID ? 0 : err;
    }
    buf_release(key);
    *key = plain;
    return 0;
}

int s3_upload_list_parse(struct slice body, struct s3_upload_list *u) {
    *u = (struct s3_upload_list){0};
    struct upload_list_reader r = {.page = u};
    int err = xml_parse(body, "ListMultipartUploadsResult", upload_list_on_element, &r);
    buf_release(&r.upload.key);
    if (!err && r.encoded)
        err = marker_decode(&u->next_key);
    if (err)
        s3_upload_list_release(u);
    return err;
}

void s3_upload_list_release(struct s3_upload_list *u) {
    for (size_t i = 0; i < u->count; i++)
        buf_release(&u->uploads[i].key);
    free(u->uploads);
    buf_release(&u->next_key);
    *u = (struct s3_upload_list){0};
}

struct delete_result_reader {
    struct s3_delete_result *result;
    struct s3_delete_failure failure;
    size_t cap;
};

static int delete_result_add(struct delete_result_reader *r) {
    struct s3_delete_result *d = r->result;
    if (d->count >= ENTRIES_MAX)
        return ERR_LIMIT;
    if (array_grow(&d->failures, &r->cap, d->count, sizeof *d->failures))
        return ERR_NOMEM;
    d->failures[d->count++] = r->failure;
    r->failure = (struct s3_delete_failure){.key = BUF_INIT};
    return 0;
}

#define FAILURE_PATH "DeleteResult/Error"
static int delete_result_on_element(void *arg, const char *path, struct slice text) {
    struct delete_result_reader *r = arg;
    struct s3_error_reply *e = &r->failure.error;
    if (strcmp(path, FAILURE_PATH) == 0)
        return delete_result_add(r);
    if (strcmp(path, FAILURE_PATH "/Key") == 0)
        return buf_set_text(&r->failure.key, text);
    if (strcmp(path, FAILURE_PATH "/Code") == 0)
        xml_text_copy_cut(text, e->code, sizeof e->code);
    else if (strcmp(path, FAILURE_PATH "/Message") == 0)
        xml_text_copy_cut(text, e->message, sizeof e->message);
    return 0;
}

int s3_delete_result_parse(struct slice body, struct s3_delete_result *d) {
    *d = (struct s3_delete_result){0};
    struct delete_result_reader r = {.result = d};
    int err = xml_parse(body, "DeleteResult", delete_result_on_element, &r);
    buf_release(&r.failure.key);
    if (err)
        s3_delete_result_release(d);
    return err;
}

void s3_delete_result_release(struct s3_delete_result *d) {
    for (size_t i = 0; i < d->count; i++)
        buf_release(&d->failures[i].key);
    free(d->failures);
    *d = (struct s3_delete_result){0};
}
