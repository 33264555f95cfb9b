/*
 * Any bytes as a store's answer. The result must be within its bounds and terminated; written again as the store
 * would write it, it reads the same. Seeds: corpus/s3_xml.
 */
#include "pure/check.h"
#include "pure/text.h"
#include "uploader/aws/aws_sts.h"
#include "uploader/http/xml.h"
#include "uploader/s3/error.h"
#include "uploader/s3/replies.h"
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* --- writing --- */

/* False where XML cannot carry it so that it reads the same: line ends and tabs within text are the parser's to fold,
 * and a leading or trailing space is cut. */
static bool add_element(struct buf *out, const char *name, struct slice text) {
    bool ok = utf8_is_valid(text);
    for (size_t i = 0; i < text.len; i++)
        ok = ok && (unsigned char)text.ptr[i] > 0x20 && text.ptr[i] != 0x7f;
    for (size_t i = 0; ok && i + 2 < text.len; i++) /* U+FFFE and U+FFFF are no characters of XML */
        ok = memcmp(text.ptr + i, "\xef\xbf\xbe", 3) != 0 && memcmp(text.ptr + i, "\xef\xbf\xbf", 3) != 0;
    if (!ok)
        return false;
    CHECK(buf_addf(out, "<%s>", name) == 0 && xml_escape_add(out, text) == 0 && buf_addf(out, "</%s>", name) == 0);
    return true;
}

static bool add_text(struct buf *out, const char *name, const char *text) {
    return add_element(out, name, slice_of(text));
}

/* The form of an etag that is written again: one in quotes needs another pair. */
static bool add_etag(struct buf *out, const char *etag) {
    char quoted[300];
    snprintf(quoted, sizeof quoted, "\"%s\"", etag);
    return add_text(out, "ETag", quoted);
}

/* --- the answers --- */

static void check_error(struct slice body) {
    struct s3_error_reply e, again;
    struct buf out = BUF_INIT;
    if (s3_error_reply_parse(body, &e) != 0)
        return;
    CHECK(memchr(e.code, 0, sizeof e.code) && memchr(e.message, 0, sizeof e.message));
    CHECK(memchr(e.region, 0, sizeof e.region) && memchr(e.server_time, 0, sizeof e.server_time));
    CHECK(buf_add_text(&out, "<Error>") == 0);
    bool same = add_text(&out, "Code", e.code);
    same = same && add_text(&out, "Region", e.region) && add_text(&out, "ServerTime", e.server_time);
    CHECK(buf_add_text(&out, "</Error>") == 0);
    if (same) {
        CHECK(s3_error_reply_parse(buf_slice(&out), &again) == 0);
        CHECK(strcmp(e.code, again.code) == 0 && strcmp(e.region, again.region) == 0);
        CHECK(strcmp(e.server_time, again.server_time) == 0);
    }
    buf_release(&out);
}

static void check_created(struct slice body) {
    struct s3_created c, again;
    struct buf out = BUF_INIT;
    if (s3_created_parse(body, &c) != 0)
        return;
    CHECK(c.upload_id[0] && memchr(c.upload_id, 0, sizeof c.upload_id));
    CHECK(buf_add_text(&out, "<InitiateMultipartUploadResult>") == 0);
    bool same = add_text(&out, "UploadId", c.upload_id);
    CHECK(buf_add_text(&out, "</InitiateMultipartUploadResult>") == 0);
    if (same)
        CHECK(s3_created_parse(buf_slice(&out), &again) == 0 && strcmp(c.upload_id, again.upload_id) == 0);
    buf_release(&out);
}

static void check_completed(struct slice body) {
    struct s3_completed c, again;
    struct buf out = BUF_INIT;
    if (s3_completed_parse(body, &c) != 0)
        return;
    CHECK(memchr(c.etag, 0, sizeof c.etag) && memchr(c.crc32c, 0, sizeof c.crc32c));
    CHECK(buf_add_text(&out, "<CompleteMultipartUploadResult>") == 0);
    bool same = add_etag(&out, c.etag) && add_text(&out, "ChecksumCRC32C", c.crc32c);
    CHECK(buf_add_text(&out, "</CompleteMultipartUploadResult>") == 0);
    if (same) {
        CHECK(s3_completed_parse(buf_slice(&out), &again) == 0);
        CHECK(strcmp(c.etag, again.etag) == 0 && strcmp(c.crc32c, again.crc32c) == 0);
    }
    buf_release(&out);
}

static bool add_part(struct buf *out, const struct s3_part *part) {
    CHECK(buf_addf(out, "<Part><PartNumber>%u</PartNumber><Size>%llu</Size>", part->number,
                   (unsigned long long)part->size) == 0);
    bool same = add_etag(out, part->etag) && add_text(out, "ChecksumCRC32C", part->crc32c);
    CHECK(buf_add_text(out, "</Part>") == 0);
    return same;
}

static void compare_parts(struct slice written, const struct s3_part_list *p) {
    struct s3_part_list again;
    CHECK(s3_part_list_parse(written, &again) == 0 && again.count == p->count);
    for (size_t i = 0; i < p->count; i++) {
        const struct s3_part *a = &p->parts[i], *b = &again.parts[i];
        CHECK(a->number == b->number && a->size == b->size);
        CHECK(strcmp(a->etag, b->etag) == 0 && strcmp(a->crc32c, b->crc32c) == 0);
    }
    s3_part_list_release(&again);
}

static void check_parts(struct slice body) {
    struct s3_part_list p;
    struct buf out = BUF_INIT;
    bool same = true;
    if (s3_part_list_parse(body, &p) != 0) {
        CHECK(p.parts == NULL);
        return;
    }
    CHECK(memchr(p.algorithm, 0, sizeof p.algorithm) && memchr(p.type, 0, sizeof p.type));
    CHECK(buf_add_text(&out, "<ListPartsResult><IsTruncated>false</IsTruncated>") == 0);
    for (size_t i = 0; i < p.count; i++) {
        CHECK(p.parts[i].number > 0 && (i == 0 || p.parts[i].number > p.parts[i - 1].number));
        CHECK(p.parts[i].size <= INT64_MAX && memchr(p.parts[i].etag, 0, sizeof p.parts[i].etag));
        same = same && add_part(&out, &p.parts[i]);
    }
    CHECK(buf_add_text(&out, "</ListPartsResult>") == 0);
    if (same)
        compare_parts(buf_slice(&out), &p);
    s3_part_list_release(&p);
    buf_release(&out);
}

static void check_uploads(struct slice body) {
    struct s3_upload_list u, again;
    struct buf out = BUF_INIT;
    bool same = true;
    if (s3_upload_list_parse(body, &u) != 0) {
        CHECK(u.uploads == NULL);
        return;
    }
    CHECK(buf_add_text(&out, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>") == 0);
    for (size_t i = 0; i < u.count; i++) {
        CHECK(memchr(u.uploads[i].upload_id, 0, sizeof u.uploads[i].upload_id));
        CHECK(s3_upload_has_key(&u.uploads[i], buf_slice(&u.uploads[i].key)));
        CHECK(buf_add_text(&out, "<Upload>") == 0);
        same = same && add_element(&out, "Key", buf_slice(&u.uploads[i].key)) &&
               add_text(&out, "UploadId", u.uploads[i].upload_id);
        CHECK(buf_add_text(&out, "</Upload>") == 0);
    }
    CHECK(buf_add_text(&out, "</ListMultipartUploadsResult>") == 0);
    if (same) {
        CHECK(s3_upload_list_parse(buf_slice(&out), &again) == 0 && again.count == u.count);
        for (size_t i = 0; i < u.count; i++)
            CHECK(strcmp(u.uploads[i].upload_id, again.uploads[i].upload_id) == 0 &&
                  slice_equal(buf_slice(&u.uploads[i].key), buf_slice(&again.uploads[i].key)));
        s3_upload_list_release(&again);
    }
    s3_upload_list_release(&u);
    buf_release(&out);
}

static bool add_failure(struct buf *out, const struct s3_delete_failure *f) {
    CHECK(buf_add_text(out, "<Error>") == 0);
    bool same = add_element(out, "Key", buf_slice(&f->key)) && add_text(out, "Code", f->error.code) &&
                add_text(out, "Message", f->error.message);
    CHECK(buf_add_text(out, "</Error>") == 0);
    return same;
}

static void compare_failures(struct slice written, const struct s3_delete_result *d) {
    struct s3_delete_result again;
    CHECK(s3_delete_result_parse(written, &again) == 0 && again.count == d->count);
    for (size_t i = 0; i < d->count; i++) {
        const struct s3_delete_failure *a = &d->failures[i], *b = &again.failures[i];
        CHECK(slice_equal(buf_slice(&a->key), buf_slice(&b->key)));
        CHECK(strcmp(a->error.code, b->error.code) == 0 && strcmp(a->error.message, b->error.message) == 0);
    }
    s3_delete_result_release(&again);
}

/* Each entry has an error in words, and is either final or can pass. */
static void check_entry(const struct s3_delete_failure *f) {
    struct s3_error e;
    CHECK(memchr(f->error.code, 0, sizeof f->error.code) && memchr(f->error.message, 0, sizeof f->error.message));
    s3_error_from_entry(&f->error, &e);
    CHECK(e.text[0] && memchr(e.text, 0, sizeof e.text) && e.class != FAIL_NONE && e.status == 0);
    CHECK(utf8_is_valid(slice_of(e.text)) || strlen(e.text) == sizeof e.text - 1);
}

static void check_deleted(struct slice body) {
    struct s3_delete_result d;
    struct buf out = BUF_INIT;
    bool same = true;
    if (s3_delete_result_parse(body, &d) != 0) {
        CHECK(d.failures == NULL && d.count == 0);
        return;
    }
    CHECK(buf_add_text(&out, "<DeleteResult>") == 0);
    for (size_t i = 0; i < d.count; i++) {
        check_entry(&d.failures[i]);
        same = same && add_failure(&out, &d.failures[i]);
    }
    CHECK(buf_add_text(&out, "</DeleteResult>") == 0);
    if (same)
        compare_failures(buf_slice(&out), &d);
    s3_delete_result_release(&d);
    buf_release(&out);
}

/* A text that is called plain reads the same in XML. */
static int compare_text(void *arg, const char *path, struct slice text) {
    (void)path;
    CHECK(slice_equal(*(const struct slice *)arg, text));
    return 0;
}

static void check_plain(struct slice text) {
    struct buf out = BUF_INIT;
    if (text.len > 4096 || !xml_text_is_plain(text))
        return;
    CHECK(buf_add_text(&out, "<Key>") == 0 && xml_escape_add(&out, text) == 0 && buf_add_text(&out, "</Key>") == 0);
    CHECK(xml_parse(buf_slice(&out), "Key", compare_text, &text) == 0);
    buf_release(&out);
}

static void check_sts(struct slice body, const char *action) {
    struct aws_fresh_keys keys = {0};
    struct aws_sts_error e;
    if (aws_sts_keys_parse(body, action, &keys) == 0)
        CHECK(keys.access_key[0] && keys.secret_key[0] && !strpbrk(keys.secret_key, "\n"));
    else
        CHECK(!keys.access_key && !keys.secret_key && !keys.session_token);
    aws_fresh_keys_release(&keys);
    CHECK(aws_sts_error_parse(body, &e) != 0 || strlen(e.code) < sizeof e.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct slice body = slice_make(bytes, size);
    check_sts(body, "AssumeRole");
    check_sts(body, "AssumeRoleWithWebIdentity");
    check_error(body);
    check_created(body);
    check_completed(body);
    check_parts(body);
    check_uploads(body);
    check_deleted(body);
    check_plain(body);
    return 0;
}
