#include "uploader/s3/url.h"
#include "pure/check.h"
#include "pure/dest.h"
#include "pure/s3_endpoint.h"
#include "pure/text.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum s3_addressing s3_addressing_from_text(const char *text) {
    if (text && strcasecmp(text, "path") == 0)
        return S3_ADDRESSING_PATH;
    if (text && strcasecmp(text, "virtual") == 0)
        return S3_ADDRESSING_VIRTUAL;
    return S3_ADDRESSING_AUTO;
}

static bool is_unreserved(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

int s3_escape_add(struct buf *out, struct slice text, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    int err = buf_reserve(out, text.len * 3 + 1);
    for (size_t i = 0; !err && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_unreserved(c) || (keep_slash && c == '/')) {
            err = buf_add_byte(out, (char)c);
        } else {
            char code[3] = {'%', digits[c >> 4], digits[c & 15]};
            err = buf_add(out, code, sizeof code);
        }
    }
    return err;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int s3_unescape_add(struct buf *out, struct slice text) {
    int err = 0;
    for (size_t i = 0; !err && i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        }
        err = buf_add_byte(out, c);
    }
    return err;
}

static bool ends_with(struct slice text, const char *end) {
    size_t len = strlen(end);
    return text.len >= len && strncasecmp(text.ptr + text.len - len, end, len) == 0;
}

static struct slice without_port(struct slice authority) {
    const char *colon = authority.len && authority.ptr[0] != '[' ? memchr(authority.ptr, ':', authority.len) : NULL;
    return colon ? slice_make(authority.ptr, (size_t)(colon - authority.ptr)) : authority;
}

/* Digits and dots only, or in brackets: no name to put a bucket in front of. */
static bool is_address(struct slice authority) {
    struct slice host = without_port(authority);
    if (host.len == 0 || host.ptr[0] == '[')
        return true;
    for (size_t i = 0; i < host.len; i++)
        if (!isdigit((unsigned char)host.ptr[i]) && host.ptr[i] != '.')
            return false;
    return true;
}

static bool is_amazon(struct slice authority) {
    struct slice host = without_port(authority);
    return ends_with(host, ".amazonaws.com") || ends_with(host, ".amazonaws.com.cn");
}

/* A bucket that can be one label of a host name; with dots it would not match a wildcard certificate. */
static bool is_dns_safe(struct slice bucket, bool dots) {
    if (bucket.len < 3 || bucket.len > 63 || bucket.ptr[0] == '-' || bucket.ptr[bucket.len - 1] == '-')
        return false;
    for (size_t i = 0; i < bucket.len; i++) {
        char c = bucket.ptr[i];
        bool inner = i > 0 && i + 1 < bucket.len && bucket.ptr[i - 1] != '.';
        if (!(c >= 'a' && c <= 'z') && !isdigit((unsigned char)c) && c != '-' && !(dots && c == '.' && inner))
            return false;
    }
    return true;
}

static bool use_virtual_host(const struct s3_place *p, enum s3_addressing style) {
    if (style == S3_ADDRESSING_PATH || is_address(p->authority))
        return false;
    if (style == S3_ADDRESSING_AUTO && !is_amazon(p->authority))
        return false;
    return is_dns_safe(p->bucket, style == S3_ADDRESSING_VIRTUAL && !p->https);
}

static bool is_plain(struct slice text, const char *extra) {
    for (size_t i = 0; i < text.len; i++)
        if (!is_unreserved((unsigned char)text.ptr[i]) && (!text.ptr[i] || !strchr(extra, text.ptr[i])))
            return false;
    return true;
}

static int explain(char *why, size_t why_size, const char *text, struct slice name) {
    struct buf shown = BUF_INIT;
    if (text_add_printable(&shown, name) == 0)
        snprintf(why, why_size, "%s: %.200s", text, shown.data ? shown.data : "");
    else
        snprintf(why, why_size, "%s", text);
    buf_release(&shown);
    return ERR_INVALID;
}

int s3_place_init(struct s3_place *p, const struct target *t, enum s3_addressing style, bool need_key, char *why,
                  size_t why_size) {
    struct dest dest;
    *p = (struct s3_place){.endpoint = t->endpoint};
    if (dest_parse(t->dest, &dest) || dest.scheme != DEST_S3 || dest.bucket.len == 0)
        return explain(why, why_size, "not an S3 destination", t->dest);
    p->bucket = dest.bucket;
    p->key = dest.key;
    if (!is_plain(p->bucket, ""))
        return explain(why, why_size, "not a bucket's name", p->bucket);
    if (need_key && p->key.len == 0)
        return explain(why, why_size, "no key after the bucket", t->dest);
    if (p->key.len > S3_KEY_MAX)
        return explain(why, why_size, "the key is longer than 1024 bytes", p->key);
    if (!utf8_is_valid(p->key))
        return explain(why, why_size, "the name is not UTF-8, which S3 keys must be", p->key);
    if (p->endpoint.len == 0)
        p->endpoint = slice_of(S3_DEFAULT_ENDPOINT);
    struct s3_url url;
    const char *wrong = s3_url_parse(p->endpoint, &url);
    if (wrong) {
        snprintf(why, why_size, "the endpoint URL: %s", wrong);
        return ERR_INVALID;
    }
    p->https = url.https;
    p->authority = url.authority;
    p->base = url.base;
    p->standard_endpoint = slice_equal(p->endpoint, slice_of(S3_DEFAULT_ENDPOINT));
    p->virtual_host = use_virtual_host(p, style);
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct s3_param *)a)->name, ((const struct s3_param *)b)->name);
}

static int add_query(const struct s3_param *params, size_t count, struct buf *url) {
    struct s3_param sorted[S3_PARAMS_MAX];
    CHECK(count <= S3_PARAMS_MAX);
    if (count == 0)
        return 0;
    memcpy(sorted, params, count * sizeof *params);
    qsort(sorted, count, sizeof *sorted, by_name);
    int err = 0;
    for (size_t i = 0; !err && i < count; i++) {
        err = buf_add_byte(url, i ? '&' : '?');
        if (!err)
            err = s3_escape_add(url, slice_of(sorted[i].name), false);
        if (!err)
            err = buf_add_byte(url, '='); /* also without a value: the signer wants "uploads=" */
        if (!err)
            err = s3_escape_add(url, sorted[i].value, false);
    }
    return err;
}

static int add_host(const struct s3_place *p, const char *region, struct buf *url) {
    int err = buf_add_text(url, p->https ? "https://" : "http://");
    if (!err && p->virtual_host)
        err = buf_add_slice(url, p->bucket);
    if (!err && p->virtual_host)
        err = buf_add_byte(url, '.');
    if (err)
        return err;
    if (p->standard_endpoint)
        return buf_addf(url, "s3.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return buf_add_slice(url, p->authority);
}

int s3_place_url(const struct s3_place *p, const char *region, bool with_key, const struct s3_param *params,
                 size_t count, struct buf *url) {
    int err = add_host(p, region, url);
    if (!err)
        err = buf_add_slice(url, p->base);
    if (!err && !p->virtual_host)
        err = buf_add_byte(url, '/');
    if (!err && !p->virtual_host)
        err = s3_escape_add(url, p->bucket, false);
    if (!err && (with_key || p->virtual_host))
        err = buf_add_byte(url, '/');
    if (!err && with_key)
        err = s3_escape_add(url, p->key, true);
    if (!err)
        err = add_query(params, count, url);
    return err;
}
