/*
 * Any bytes as endpoint, destination and region of an S3 upload, and the URL made of them. Input: options (one byte),
 * then endpoint, destination, region and a parameter's value, each ending with a newline. The valid bytes of a URL, and
 * that it leads to that bucket and key and no other place, is judged here from the URL's own bytes. Seeds:
 * corpus/s3_url.
 */
#include "pure/check.h"
#include "pure/dest.h"
#include "pure/percent.h"
#include "pure/text.h"
#include "uploader/s3/url.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct slice take_line(struct slice *rest) {
    const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    struct slice line = slice_make(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    size_t used = line.len + (end != NULL);
    *rest = slice_make(rest->ptr + used, rest->len - used);
    return line;
}

static void check_escape(struct slice text) {
    for (int keep_slash = 0; keep_slash < 2; keep_slash++) {
        struct buf there = BUF_INIT, back = BUF_INIT;
        CHECK(percent_encode(&there, text, keep_slash) == 0);
        for (size_t i = 0; i < there.len; i++)
            CHECK(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%", there.data[i]) ||
                  (keep_slash && there.data[i] == '/'));
        CHECK(percent_decode(&back, buf_slice(&there)) == 0 && slice_equal(buf_slice(&back), text));
        buf_release(&there);
        buf_release(&back);
    }
    struct buf plain = BUF_INIT;
    if (percent_decode(&plain, text) == 0)
        CHECK(plain.len <= text.len);
    buf_release(&plain);
}

/* scheme://authority path ? query, taken apart again. */
struct parts {
    struct slice scheme, authority, path, query;
};

static struct parts take_apart(const struct buf *url) {
    struct parts p = {{0}};
    const char *colon = strstr(url->data, "://");
    CHECK(colon && strlen(url->data) == url->len);
    p.scheme = slice_make(url->data, (size_t)(colon - url->data));
    const char *at = colon + 3, *slash = strchr(at, '/');
    CHECK(slash);
    p.authority = slice_make(at, (size_t)(slash - at));
    const char *mark = strchr(slash, '?');
    size_t len = mark ? (size_t)(mark - slash) : strlen(slash);
    p.path = slice_make(slash, len);
    if (mark)
        p.query = slice_of(mark + 1);
    return p;
}

static bool starts_with(struct slice text, struct slice start) {
    return text.len >= start.len && (!start.len || memcmp(text.ptr, start.ptr, start.len) == 0);
}

/* The path is the endpoint's own, then the bucket unless it is in the host, then the key. */
static void check_path(const struct s3_object_url *p, struct slice path, bool with_key) {
    struct buf wanted = BUF_INIT, got = BUF_INIT;
    CHECK(starts_with(path, p->base));
    path = slice_make(path.ptr + p->base.len, path.len - p->base.len);
    CHECK(buf_add_byte(&wanted, '/') == 0);
    if (!p->virtual_host)
        CHECK(buf_add_slice(&wanted, p->bucket) == 0);
    if (!p->virtual_host && with_key)
        CHECK(buf_add_byte(&wanted, '/') == 0);
    if (with_key)
        CHECK(buf_add_slice(&wanted, p->key) == 0);
    CHECK(percent_decode(&got, path) == 0 && slice_equal(buf_slice(&wanted), buf_slice(&got)));
    buf_release(&wanted);
    buf_release(&got);
}

static void check_authority(const struct s3_object_url *p, struct slice authority, const char *region) {
    struct buf wanted = BUF_INIT;
    if (p->virtual_host)
        CHECK(buf_add_slice(&wanted, p->bucket) == 0 && buf_add_byte(&wanted, '.') == 0);
    if (p->standard_endpoint)
        CHECK(buf_addf(&wanted, "s3.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "") == 0);
    else
        CHECK(buf_add_slice(&wanted, p->authority) == 0);
    CHECK(slice_equal(authority, buf_slice(&wanted)));
    for (size_t i = 0; i < authority.len; i++)
        CHECK(!strchr("/@?#\\ \r\n\t", authority.ptr[i]));
    buf_release(&wanted);
}

static void check_url(const struct s3_object_url *p, const char *region, struct slice value, bool with_key) {
    struct s3_param params[] = {{"uploadId", value}, {"partNumber", slice_of("7")}};
    struct buf url = BUF_INIT, back = BUF_INIT;
    CHECK(s3_object_url_format(p, region, with_key, params, 2, &url) == 0);
    for (size_t i = 0; i < url.len; i++)
        CHECK((unsigned char)url.data[i] > 0x20 && (unsigned char)url.data[i] < 0x7f);
    struct parts parts = take_apart(&url);
    CHECK(slice_equal(parts.scheme, slice_of(p->https ? "https" : "http")));
    check_authority(p, parts.authority, region);
    check_path(p, parts.path, with_key);
    static const char first[] = "partNumber=7&uploadId=";
    CHECK(starts_with(parts.query, slice_of(first)));
    parts.query = slice_make(parts.query.ptr + strlen(first), parts.query.len - strlen(first));
    CHECK(!memchr(parts.query.ptr, '&', parts.query.len));
    CHECK(percent_decode(&back, parts.query) == 0 && slice_equal(back.data ? buf_slice(&back) : value, value));
    buf_release(&url);
    buf_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size == 0)
        return 0;
    struct slice rest = slice_make(bytes + 1, size - 1);
    struct target t = {.endpoint = take_line(&rest), .dest = take_line(&rest)};
    struct slice region = take_line(&rest), value = take_line(&rest);
    struct s3_object_url p;
    struct dest d;
    char why[300] = "", region_text[S3_REGION_MAX + 1] = S3_DEFAULT_REGION;
    bool need_key = bytes[0] & 4;
    check_escape(t.dest);
    check_escape(value);
    if (s3_region_is_valid(region))
        snprintf(region_text, sizeof region_text, "%.*s", (int)region.len, region.ptr);
    int err = s3_object_url_init(&p, &t, (enum s3_addressing)(bytes[0] % 3), need_key, why, sizeof why);
    if (err) {
        CHECK(err == ERR_INVALID && why[0] && strlen(why) < sizeof why);
        return 0;
    }
    CHECK(dest_parse(t.dest, &d) == 0 && slice_equal(d.bucket, p.bucket) && slice_equal(d.key, p.key));
    CHECK(!need_key || p.key.len > 0);
    check_url(&p, region_text, value, p.key.len > 0);
    check_url(&p, region_text, value, false);
    return 0;
}
