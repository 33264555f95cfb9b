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
    const char *end = authority.ptr + authority.len; /* '/', '?' or the NUL */
    const char *close = *authority.ptr == '[' ? memchr(authority.ptr, ']', authority.len) : NULL; /* IPv6 */
    const char *tail = close ? close : authority.ptr;
    const char *colon = memrchr(tail, ':', (size_t)(end - tail));
    const char *host_end = close ? close : colon ? colon : end;
    const char *zone = close ? memchr(authority.ptr, '%', (size_t)(close - authority.ptr)) : NULL;
    int err = buf_add(out, authority.ptr, (size_t)((zone ? zone : host_end) - authority.ptr));
    if (!err && close)
        err = buf_add_byte(out, ']');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (err || port == 0 || port == (parts->https ? HTTPS_PORT : HTTP_PORT))
        return err;
    return buf_addf(out, ":%ld", port);
}
