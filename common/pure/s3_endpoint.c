#include "pure/s3_endpoint.h"
#include "pure/ascii.h"
#include "pure/text.h"
#include <strings.h>

static bool slice_is_made_of(struct slice text, const char *extra) {
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && (!text.ptr[i] || !strchr(extra, text.ptr[i])))
            return false;
    return true;
}

static bool slice_has_byte(struct slice text, char byte) {
    return text.len && memchr(text.ptr, byte, text.len);
}

/* Length of "http://" or "https://"; 0: another scheme or none. */
static size_t http_scheme_length(struct slice url) {
    if (url.len >= 8 && strncasecmp(url.ptr, "https://", 8) == 0)
        return 8;
    return url.len >= 7 && strncasecmp(url.ptr, "http://", 7) == 0 ? 7 : 0;
}

/* HOST, [ADDRESS] or either with :PORT. */
static bool authority_is_valid(struct slice authority) {
    size_t host = authority.len;
    if (authority.len && *authority.ptr == '[') {
        const char *close = memchr(authority.ptr, ']', authority.len);
        host = close ? (size_t)(close - authority.ptr) + 1 : 0;
    } else if (slice_has_byte(authority, ':')) {
        host = (size_t)((const char *)memchr(authority.ptr, ':', authority.len) - authority.ptr);
    }
    struct slice port = slice_make(authority.ptr + host, authority.len - host);
    unsigned long number = 0;
    if (host == 0 || !slice_is_made_of(slice_make(authority.ptr, host), "-._~[]:%"))
        return false;
    if (port.len == 0)
        return true;
    for (size_t i = 1; i < port.len && number <= 65535; i++)
        number = port.ptr[i] >= '0' && port.ptr[i] <= '9' ? number * 10 + (unsigned)(port.ptr[i] - '0') : 65536;
    return *port.ptr == ':' && number > 0 && number <= 65535;
}

const char *s3_url_parse(struct slice url, struct s3_url *parts) {
    size_t scheme = http_scheme_length(url);
    struct slice rest = slice_make(url.ptr + scheme, url.len - scheme);
    *parts = (struct s3_url){.https = scheme == 8};
    if (slice_has_byte(url, '@'))
        return "must not hold a user name or password; name keys in ~/.aws/credentials or the environment";
    if (!scheme)
        return "not a URL; write http://HOST[:PORT] or https://HOST[:PORT]";
    if (url.len > S3_URL_MAX)
        return "longer than 1024 bytes";
    const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    parts->authority = slash ? slice_make(rest.ptr, (size_t)(slash - rest.ptr)) : rest;
    parts->base = slash ? slice_make(slash, rest.len - parts->authority.len) : slice_make("", 0);
    while (parts->base.len && parts->base.ptr[parts->base.len - 1] == '/')
        parts->base.len--;
    if (slice_has_byte(rest, '?') || slice_has_byte(rest, '#'))
        return "must not hold a query ('?') or a fragment ('#')";
    if (!authority_is_valid(parts->authority))
        return "not a host, or not a port from 1 to 65535; write http://HOST[:PORT] or https://HOST[:PORT]";
    return slice_is_made_of(parts->base, "-._~/%") ? NULL : "a character in its path is not allowed in an endpoint URL";
}

bool s3_url_is_private(struct slice url) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    struct s3_url parts;
    if (s3_url_parse(url, &parts))
        return false;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        size_t len = strlen(hosts[i]);
        if (parts.authority.len >= len && strncasecmp(parts.authority.ptr, hosts[i], len) == 0 &&
            (parts.authority.len == len || parts.authority.ptr[len] == ':'))
            return true;
    }
    return parts.https;
}

int s3_url_add_normal(struct buf *out, const struct s3_url *parts) {
    int err = buf_add_text(out, parts->https ? "https://" : "http://");
    for (size_t i = 0; !err && i < parts->authority.len; i++) {
        char c = parts->authority.ptr[i];
        err = buf_add_byte(out, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
    }
    return err ? err : buf_add_slice(out, parts->base);
}

int s3_url_add_shown(struct buf *out, struct slice url) {
    size_t scheme = http_scheme_length(url);
    struct slice rest = slice_make(url.ptr + scheme, url.len - scheme);
    const char *at = rest.len ? memrchr(rest.ptr, '@', rest.len) : NULL;
    int err = text_add_printable(out, slice_make(url.ptr, scheme));
    if (!err && at) {
        size_t secret = (size_t)(at - rest.ptr);
        err = buf_add_text(out, "***");
        rest = slice_make(at, rest.len - secret);
    }
    size_t shown = 0;
    while (shown < rest.len && rest.ptr[shown] != '?' && rest.ptr[shown] != '#')
        shown++;
    if (!err)
        err = text_add_printable(out, slice_make(rest.ptr, shown));
    return !err && shown < rest.len ? buf_add_text(out, "?***") : err;
}

bool s3_region_is_valid(struct slice region) {
    return region.len > 0 && region.len <= S3_REGION_MAX && slice_is_made_of(region, "-_.") &&
           ascii_is_alnum(*region.ptr) && ascii_is_alnum(region.ptr[region.len - 1]);
}

struct slice s3_region_trim(struct slice region) {
    const char *blanks = " \t\r\n";
    while (region.len && *region.ptr && strchr(blanks, *region.ptr))
        region = slice_make(region.ptr + 1, region.len - 1);
    while (region.len && region.ptr[region.len - 1] && strchr(blanks, region.ptr[region.len - 1]))
        region.len--;
    return region;
}
