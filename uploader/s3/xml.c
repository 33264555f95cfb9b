/*
 * A reader keeps the path of open elements as text ("ListPartsResult/Part/ETag") and the text of the innermost one;
 * at each end it calls leaf(path, text). What an answer consists of is a table of paths.
 */
#include "uploader/s3/xml.h"
#include "pure/array.h"
#include "uploader/aws/aws_source.h"
#include "uploader/aws/aws_time.h"
#include "uploader/s3/url.h"
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 12
#define PATH_MAX_BYTES 256
#define TEXT_MAX 8192 /* bytes in one element: an escaped key has at most 3072 */
#define DOCUMENT_MAX (1 << 20)
#define ENTRIES_MAX 1000 /* parts or uploads of one page, as S3 promises */

struct reader {
    const char *root; /* the element wanted */
    int (*leaf)(void *arg, const char *path, struct slice text);
    void *arg;
    XML_Parser parser;
    char path[PATH_MAX_BYTES];
    size_t path_len;
    unsigned depth;
    struct buf text;
    int err;
};

static void stop(struct reader *r, int err) {
    if (!r->err)
        r->err = err;
    XML_StopParser(r->parser, XML_FALSE);
}

static const char *local_name(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes) {
    (void)attributes;
    struct reader *r = arg;
    name = local_name(name);
    size_t len = strlen(name), slash = r->depth ? 1 : 0;
    if (r->depth >= DEPTH_MAX || r->path_len + slash + len >= sizeof r->path) {
        stop(r, ERR_LIMIT);
        return;
    }
    if (r->depth == 0 && strcmp(name, r->root) != 0) {
        stop(r, ERR_NOT_FOUND);
        return;
    }
    if (slash)
        r->path[r->path_len++] = '/';
    memcpy(r->path + r->path_len, name, len + 1);
    r->path_len += len;
    r->depth++;
    buf_clear(&r->text);
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len) {
    struct reader *r = arg;
    if (r->err)
        return;
    if (r->text.len + (size_t)len > TEXT_MAX) {
        stop(r, ERR_LIMIT);
        return;
    }
    int err = buf_add(&r->text, text, (size_t)len);
    if (err)
        stop(r, err);
}

static void XMLCALL on_end(void *arg, const XML_Char *name) {
    (void)name;
    struct reader *r = arg;
    if (r->err)
        return;
    int err = r->leaf(r->arg, r->path, buf_slice(&r->text));
    if (err) {
        stop(r, err);
        return;
    }
    buf_clear(&r->text);
    char *slash = strrchr(r->path, '/');
    r->path_len = slash ? (size_t)(slash - r->path) : 0;
    r->path[r->path_len] = 0;
    r->depth--;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public,
                               int internal) {
    (void)name, (void)system, (void)public, (void)internal;
    stop(arg, ERR_INVALID);
}

/* A store that is busy sends white space first, sometimes before the XML declaration. */
static struct slice without_leading_space(struct slice s) {
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\n' || *s.ptr == '\r' || *s.ptr == '\t'))
        s = slice_make(s.ptr + 1, s.len - 1);
    return s;
}

static int read_document(struct slice body, const char *root,
                         int (*leaf)(void *arg, const char *path, struct slice text), void *arg) {
    struct reader r = {.root = root, .leaf = leaf, .arg = arg};
    body = without_leading_space(body);
    if (body.len == 0)
        return ERR_INVALID;
    if (body.len > DOCUMENT_MAX)
        return ERR_LIMIT;
    if (!(r.parser = XML_ParserCreate(NULL)))
        return ERR_NOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (XML_Parse(r.parser, body.ptr, (int)body.len, 1) != XML_STATUS_OK && !r.err)
        r.err = XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY ? ERR_NOMEM : ERR_INVALID;
    XML_ParserFree(r.parser);
    buf_release(&r.text);
    return r.err;
}

/* --- values --- */

static int copy_text(struct slice text, char *out, size_t size) {
    if (text.len >= size)
        return ERR_LIMIT;
    if (text.len && memchr(text.ptr, 0, text.len))
        return ERR_INVALID;
    if (text.len)
        memcpy(out, text.ptr, text.len);
    out[text.len] = 0;
    return 0;
}

static void copy_cut(struct slice text, char *out, size_t size) {
    size_t len = text.len < size - 1 ? text.len : size - 1;
    while (len && len < text.len && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--; /* not in the middle of a character */
    if (len)
        memcpy(out, text.ptr, len);
    out[len] = 0;
}

static int parse_number(struct slice text, uint64_t max, uint64_t *value) {
    *value = 0;
    if (text.len == 0 || text.len > 19)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return ERR_INVALID;
        *value = *value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return *value <= max ? 0 : ERR_INVALID;
}

int s3_etag_copy(struct slice etag, char *out, size_t size) {
    if (etag.len >= 2 && memcmp(etag.ptr, "W/", 2) == 0)
        etag = slice_make(etag.ptr + 2, etag.len - 2);
    if (etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"')
        etag = slice_make(etag.ptr + 1, etag.len - 2);
    return copy_text(etag, out, size);
}

int s3_xml_escape_add(struct buf *out, struct slice text) {
    int err = 0;
    for (size_t i = 0; !err && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '&')
            err = buf_add_text(out, "&amp;");
        else if (c == '<')
            err = buf_add_text(out, "&lt;");
        else if (c == '>')
            err = buf_add_text(out, "&gt;");
        else if (c < 0x20 && c != '\t')
            err = ERR_INVALID;
        else
            err = buf_add_byte(out, (char)c);
    }
    return err;
}

/* --- one answer each --- */

static int error_leaf(void *arg, const char *path, struct slice text) {
    struct s3_xml_error *e = arg;
    if (strcmp(path, "Error/Code") == 0)
        copy_cut(text, e->code, sizeof e->code);
    else if (strcmp(path, "Error/Message") == 0)
        copy_cut(text, e->message, sizeof e->message);
    else if (strcmp(path, "Error/Region") == 0)
        copy_cut(text, e->region, sizeof e->region);
    else if (strcmp(path, "Error/ServerTime") == 0)
        copy_cut(text, e->server_time, sizeof e->server_time);
    return 0;
}

int s3_xml_error(struct slice body, struct s3_xml_error *e) {
    *e = (struct s3_xml_error){{0}};
    return read_document(body, "Error", error_leaf, e);
}

static int created_leaf(void *arg, const char *path, struct slice text) {
    struct s3_xml_created *c = arg;
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0)
        return copy_text(text, c->upload_id, sizeof c->upload_id);
    return 0;
}

int s3_xml_created(struct slice body, struct s3_xml_created *c) {
    c->upload_id[0] = 0;
    int err = read_document(body, "InitiateMultipartUploadResult", created_leaf, c);
    return err ? err : c->upload_id[0] ? 0 : ERR_INVALID;
}

static int completed_leaf(void *arg, const char *path, struct slice text) {
    struct s3_xml_completed *c = arg;
    if (strcmp(path, "CompleteMultipartUploadResult/ETag") == 0)
        return s3_etag_copy(text, c->etag, sizeof c->etag);
    if (strcmp(path, "CompleteMultipartUploadResult/ChecksumCRC32C") == 0)
        return copy_text(text, c->crc32c, sizeof c->crc32c);
    return 0;
}

int s3_xml_completed(struct slice body, struct s3_xml_completed *c) {
    *c = (struct s3_xml_completed){{0}};
    return read_document(body, "CompleteMultipartUploadResult", completed_leaf, c);
}

struct parts_reader {
    struct s3_xml_parts *page;
    struct s3_part part;
    size_t cap;
};

static int parts_add(struct parts_reader *r) {
    struct s3_xml_parts *p = r->page;
    if (r->part.number == 0 || (p->count && p->parts[p->count - 1].number >= r->part.number))
        return ERR_INVALID; /* they come ascending */
    if (p->count >= ENTRIES_MAX)
        return ERR_LIMIT;
    if (array_grow(&p->parts, &r->cap, p->count, sizeof *p->parts))
        return ERR_NOMEM;
    p->parts[p->count++] = r->part;
    r->part = (struct s3_part){0};
    return 0;
}

static int part_leaf(struct s3_part *part, const char *name, struct slice text) {
    uint64_t number;
    if (strcmp(name, "ETag") == 0)
        return s3_etag_copy(text, part->etag, sizeof part->etag);
    if (strcmp(name, "ChecksumCRC32C") == 0)
        return copy_text(text, part->crc32c, sizeof part->crc32c);
    if (strcmp(name, "Size") == 0)
        return parse_number(text, INT64_MAX, &part->size);
    if (strcmp(name, "PartNumber") != 0)
        return 0;
    int err = parse_number(text, UINT32_MAX, &number);
    part->number = (uint32_t)number;
    return err;
}

#define PART_PATH "ListPartsResult/Part"
static int parts_leaf(void *arg, const char *path, struct slice text) {
    struct parts_reader *r = arg;
    uint64_t number;
    int err = 0;
    if (strcmp(path, PART_PATH) == 0)
        return parts_add(r);
    if (strncmp(path, PART_PATH "/", sizeof PART_PATH) == 0)
        return part_leaf(&r->part, path + sizeof PART_PATH, text);
    if (strcmp(path, "ListPartsResult/IsTruncated") == 0)
        r->page->truncated = slice_equal(text, slice_of("true"));
    else if (strcmp(path, "ListPartsResult/ChecksumAlgorithm") == 0)
        err = copy_text(text, r->page->algorithm, sizeof r->page->algorithm);
    else if (strcmp(path, "ListPartsResult/ChecksumType") == 0)
        err = copy_text(text, r->page->type, sizeof r->page->type);
    else if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0 && text.len) {
        err = parse_number(text, UINT32_MAX, &number);
        r->page->next = (uint32_t)number;
    }
    return err;
}

int s3_xml_parts(struct slice body, struct s3_xml_parts *p) {
    *p = (struct s3_xml_parts){0};
    struct parts_reader r = {.page = p};
    int err = read_document(body, "ListPartsResult", parts_leaf, &r);
    if (!err && p->truncated && p->count)
        p->next = p->parts[p->count - 1].number; /* what was read counts, not what is claimed */
    if (err)
        s3_xml_parts_release(p);
    return err;
}

void s3_xml_parts_release(struct s3_xml_parts *p) {
    free(p->parts);
    *p = (struct s3_xml_parts){0};
}

struct uploads_reader {
    struct s3_xml_uploads *page;
    struct s3_upload upload;
    size_t cap;
    bool encoded;
};

static int uploads_add(struct uploads_reader *r) {
    struct s3_xml_uploads *u = r->page;
    if (u->count >= ENTRIES_MAX)
        return ERR_LIMIT;
    if (array_grow(&u->uploads, &r->cap, u->count, sizeof *u->uploads))
        return ERR_NOMEM;
    u->uploads[u->count++] = r->upload;
    r->upload = (struct s3_upload){.key = BUF_INIT};
    return 0;
}

static int replace_text(struct buf *out, struct slice text) {
    buf_clear(out);
    return buf_add_slice(out, text);
}

static int upload_leaf(struct s3_upload *u, const char *name, struct slice text) {
    if (strcmp(name, "Key") == 0)
        return replace_text(&u->key, text);
    if (strcmp(name, "UploadId") == 0)
        return copy_text(text, u->upload_id, sizeof u->upload_id);
    if (strcmp(name, "ChecksumAlgorithm") == 0)
        return copy_text(text, u->algorithm, sizeof u->algorithm);
    if (strcmp(name, "ChecksumType") == 0)
        return copy_text(text, u->type, sizeof u->type);
    if (strcmp(name, "Initiated") == 0 && iso8601_parse(text, &u->initiated_us))
        u->initiated_us = 0;
    return 0;
}

#define UPLOAD_PATH "ListMultipartUploadsResult/Upload"
static int uploads_leaf(void *arg, const char *path, struct slice text) {
    struct uploads_reader *r = arg;
    if (strcmp(path, UPLOAD_PATH) == 0)
        return uploads_add(r);
    if (strncmp(path, UPLOAD_PATH "/", sizeof UPLOAD_PATH) == 0)
        return upload_leaf(&r->upload, path + sizeof UPLOAD_PATH, text);
    if (strcmp(path, "ListMultipartUploadsResult/IsTruncated") == 0)
        r->page->truncated = slice_equal(text, slice_of("true"));
    else if (strcmp(path, "ListMultipartUploadsResult/EncodingType") == 0)
        r->encoded = slice_equal(text, slice_of("url"));
    else if (strcmp(path, "ListMultipartUploadsResult/NextKeyMarker") == 0)
        return replace_text(&r->page->next_key, text);
    else if (strcmp(path, "ListMultipartUploadsResult/NextUploadIdMarker") == 0)
        return copy_text(text, r->page->next_upload_id, sizeof r->page->next_upload_id);
    return 0;
}

bool s3_upload_has_key(const struct s3_upload *u, struct slice key) {
    struct buf plain = BUF_INIT;
    bool same = slice_equal(buf_slice(&u->key), key) ||
                (s3_unescape_add(&plain, buf_slice(&u->key)) == 0 && slice_equal(buf_slice(&plain), key));
    buf_release(&plain);
    return same;
}

/* Swift says that it encodes and does not encode this one: what cannot be decoded stays as it is. */
static int decode_marker(struct buf *key) {
    struct buf plain = BUF_INIT;
    int err = s3_unescape_add(&plain, buf_slice(key));
    if (err) {
        buf_release(&plain);
        return err == ERR_INVALID ? 0 : err;
    }
    buf_release(key);
    *key = plain;
    return 0;
}

int s3_xml_uploads(struct slice body, struct s3_xml_uploads *u) {
    *u = (struct s3_xml_uploads){0};
    struct uploads_reader r = {.page = u};
    int err = read_document(body, "ListMultipartUploadsResult", uploads_leaf, &r);
    buf_release(&r.upload.key);
    if (!err && r.encoded)
        err = decode_marker(&u->next_key);
    if (err)
        s3_xml_uploads_release(u);
    return err;
}

void s3_xml_uploads_release(struct s3_xml_uploads *u) {
    for (size_t i = 0; i < u->count; i++)
        buf_release(&u->uploads[i].key);
    free(u->uploads);
    buf_release(&u->next_key);
    *u = (struct s3_xml_uploads){0};
}

/* --- STS --- */

#define STS_KEYS "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"

static int sts_leaf(void *arg, const char *path, struct slice text) {
    struct aws_fresh_keys *k = arg;
    const char *name = path + sizeof STS_KEYS - 1;
    if (strncmp(path, STS_KEYS, sizeof STS_KEYS - 1) != 0)
        return 0;
    if (strcmp(name, "Expiration") == 0)
        return iso8601_parse(text, &k->expires_us);
    char **place = strcmp(name, "AccessKeyId") == 0       ? &k->access_key
                   : strcmp(name, "SecretAccessKey") == 0 ? &k->secret_key
                   : strcmp(name, "SessionToken") == 0    ? &k->session_token
                                                          : NULL;
    if (!place || *place)
        return 0;
    if (text.len == 0 || memchr(text.ptr, '\n', text.len))
        return ERR_INVALID;
    *place = slice_dup(text);
    return *place ? 0 : ERR_NOMEM;
}

int sts_xml_keys(struct slice body, struct aws_fresh_keys *keys) {
    struct aws_fresh_keys k = {0};
    int err = read_document(body, "AssumeRoleWithWebIdentityResponse", sts_leaf, &k);
    if (!err && (!k.access_key || !k.secret_key))
        err = ERR_INVALID;
    if (err)
        aws_fresh_keys_release(&k);
    else
        *keys = k;
    return err;
}

static int sts_error_leaf(void *arg, const char *path, struct slice text) {
    struct s3_xml_error *e = arg;
    if (strcmp(path, "ErrorResponse/Error/Code") == 0)
        copy_cut(text, e->code, sizeof e->code);
    else if (strcmp(path, "ErrorResponse/Error/Message") == 0)
        copy_cut(text, e->message, sizeof e->message);
    return 0;
}

int sts_xml_error(struct slice body, struct s3_xml_error *e) {
    *e = (struct s3_xml_error){{0}};
    return read_document(body, "ErrorResponse", sts_error_leaf, e);
}
