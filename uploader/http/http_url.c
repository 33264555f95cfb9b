#include "uploader/http/http_url.h"
#include <stdlib.h>
#include <strings.h>

#define HTTP_PORT 80
#define HTTPS_PORT 443

/* The text up to the first of these bytes. */
static struct slice text_until(const char *text, const char *bytes) {
    return slice_make(text, strcspn(text, bytes));
}

int http_url_split(const char *url, struct http_url *parts) {
    *parts = (struct http_url){.https = strncasecmp(url, "https://", 8) == 0};
    if (!parts->https && strncasecmp(url, "http://", 7) != 0)
        return ERR_INVALID;
    parts->authority = text_until(url + (parts->https ? 8 : 7), "/?");
    parts->path = text_until(parts->authority.ptr + parts->authority.len, "?");
    const char *query = parts->path.ptr + parts->path.len;
    parts->query = slice_of(*query ? query + 1 : query);
    return 0;
}

int http_url_add_host(struct buf *out, const struct http_url *parts) {
    struct slice authority = parts->authority;
    bool is_ipv6 = authority.len && *authority.ptr == '[';
    const char *close = is_ipv6 ? memchr(authority.ptr, ']', authority.len) : NULL;
    size_t host_len = close ? (size_t)(close - authority.ptr) : authority.len;
    const char *zone = close ? memchr(authority.ptr, '%', host_len) : NULL;
    const char *colon = memrchr(authority.ptr, ':', authority.len);
    bool has_port = colon && (!close || colon > close);
    if (has_port && !close)
        host_len = (size_t)(colon - authority.ptr);
    int err = buf_add(out, authority.ptr, zone ? (size_t)(zone - authority.ptr) : host_len);
    if (!err && close)
        err = buf_add_byte(out, ']');
    long port = has_port ? strtol(colon + 1, NULL, 10) : 0; /* the slice ends before '/', '?' or the NUL */
    if (err || port == 0 || port == (parts->https ? HTTPS_PORT : HTTP_PORT))
        return err;
    return buf_addf(out, ":%ld", port);
}
