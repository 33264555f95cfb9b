#include "uploader/s3/url.h"
#include "pure/check.h"
#include "pure/dest.h"
#include "pure/percent.h"
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

static bool text_ends_with(struct slice text, const char *end) {
    size_t len = strlen(end);
    return text.len >= len && strncasecmp(text.ptr + text.len - len, end, len) == 0;
}

static struct slice authority_host(struct slice authority) {
    const char *colon = authority.ptr[0] != '[' ? memchr(authority.ptr, ':', authority.len) : NULL;
    return colon ? slice_make(authority.ptr, (size_t)(colon - authority.ptr)) : authority;
}

/* An IP address: digits and dots, or in brackets. A bucket cannot be put before it. */
static bool authority_is_address(struct slice authority) {
    struct slice host = authority_host(authority);
    if (host.ptr[0] == '[')
        return true;
    for (size_t i = 0; i < host.len; i++)
        if (!isdigit((unsigned char)host.ptr[i]) && host.ptr[i] != '.')
            return false;
    return true;
}

static bool authority_is_amazon(struct slice authority) {
    struct slice host = authority_host(authority);
    return text_ends_with(host, ".amazonaws.com") || text_ends_with(host, ".amazonaws.com.cn");
}

/* The bucket can be a label of a host name. One with dots does not match a wildcard certificate. */
static bool bucket_fits_in_host(struct slice bucket, bool dots) {
    char last = bucket.ptr[bucket.len - 1]; /* the first is a letter or digit, see dest.h */
    if (bucket.len > 63 || last == '-' || last == '.' || memmem(bucket.ptr, bucket.len, "..", 2))
        return false;
    for (size_t i = 0; i < bucket.len; i++) {
        char c = bucket.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !isdigit((unsigned char)c) && c != '-' && !(dots && c == '.'))
            return false;
    }
    return true;
}

static bool url_uses_virtual_host(const struct s3_object_url *u, enum s3_addressing style) {
    if (style == S3_ADDRESSING_PATH || authority_is_address(u->authority))
        return false;
    if (style == S3_ADDRESSING_AUTO && !authority_is_amazon(u->authority))
        return false;
    return bucket_fits_in_host(u->bucket, style == S3_ADDRESSING_VIRTUAL && !u->https);
}

static int url_explain(char *why, size_t why_size, const char *text, struct slice name) {
    struct buf shown = BUF_INIT;
    if (text_add_printable(&shown, name) == 0)
        snprintf(why, why_size, "%s: %.200s", text, shown.data ? shown.data : "");
    else
        snprintf(why, why_size, "%s", text);
    buf_release(&shown);
    return ERR_INVALID;
}

int s3_object_url_init(struct s3_object_url *u, const struct target *t, enum s3_addressing style, bool need_key,
                       char *why, size_t why_size) {
    struct dest dest;
    *u = (struct s3_object_url){.endpoint = t->endpoint};
    if (dest_parse(t->dest, &dest) || dest.scheme != DEST_S3)
        return url_explain(why, why_size, "not an S3 destination", t->dest);
    u->bucket = dest.bucket;
    u->key = dest.key;
    if (need_key && u->key.len == 0)
        return url_explain(why, why_size, "no key after the bucket", t->dest);
    if (u->key.len > S3_KEY_MAX)
        return url_explain(why, why_size, "the key is longer than 1024 bytes", u->key);
    if (!utf8_is_valid(u->key))
        return url_explain(why, why_size, "the name is not UTF-8, which S3 keys must be", u->key);
    if (u->endpoint.len == 0)
        u->endpoint = slice_of(S3_DEFAULT_ENDPOINT);
    struct s3_url url;
    const char *wrong = s3_url_parse(u->endpoint, &url);
    if (wrong) {
        snprintf(why, why_size, "the endpoint URL: %s", wrong);
        return ERR_INVALID;
    }
    u->https = url.https;
    u->authority = url.authority;
    u->base = url.base;
    u->standard_endpoint = slice_equal(u->endpoint, slice_of(S3_DEFAULT_ENDPOINT));
    u->virtual_host = url_uses_virtual_host(u, style);
    return 0;
}

static int param_compare_names(const void *a, const void *b) {
    return strcmp(((const struct s3_param *)a)->name, ((const struct s3_param *)b)->name);
}

static int url_add_param(const struct s3_param *param, char separator, struct buf *url) {
    int err = buf_add_byte(url, separator);
    if (err)
        return err;
    err = percent_encode(url, slice_of(param->name), false);
    if (err)
        return err;
    err = buf_add_byte(url, '='); /* also without a value: the signature is over "uploads=" */
    if (err)
        return err;
    return percent_encode(url, param->value, false);
}

static int url_add_query(const struct s3_param *params, size_t count, struct buf *url) {
    struct s3_param sorted[S3_PARAMS_MAX];
    CHECK(count <= S3_PARAMS_MAX);
    if (count == 0)
        return 0;
    memcpy(sorted, params, count * sizeof *params);
    qsort(sorted, count, sizeof *sorted, param_compare_names);
    for (size_t i = 0; i < count; i++) {
        int err = url_add_param(&sorted[i], i ? '&' : '?', url);
        if (err)
            return err;
    }
    return 0;
}

static int url_add_host(const struct s3_object_url *u, const char *region, struct buf *url) {
    int err = buf_add_text(url, u->https ? "https://" : "http://");
    if (!err && u->virtual_host)
        err = buf_addf(url, "%.*s.", (int)u->bucket.len, u->bucket.ptr);
    if (err)
        return err;
    if (u->standard_endpoint)
        return buf_addf(url, "s3.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return buf_add_slice(url, u->authority);
}

int s3_object_url_format(const struct s3_object_url *u, const char *region, bool with_key,
                         const struct s3_param *params, size_t count, struct buf *url) {
    int err = url_add_host(u, region, url);
    if (!err)
        err = buf_add_slice(url, u->base);
    if (!err && !u->virtual_host)
        err = buf_add_byte(url, '/');
    if (!err && !u->virtual_host)
        err = percent_encode(url, u->bucket, false);
    if (!err && (with_key || u->virtual_host))
        err = buf_add_byte(url, '/');
    if (!err && with_key)
        err = percent_encode(url, u->key, true);
    if (!err)
        err = url_add_query(params, count, url);
    return err;
}
