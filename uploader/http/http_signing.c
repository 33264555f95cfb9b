/* Signs a request (SigV4): its method, host, path, query, and all header lines that the caller gave. */
#include "system/clock.h"
#include "uploader/http/http_internal.h"
#include "uploader/http/http_url.h"
#include "uploader/http/sigv4.h"
#include <strings.h>

#define PAYLOAD_HASH "x-amz-content-sha256:"
#define PAYLOAD_HASH_LEN (sizeof PAYLOAD_HASH - 1)

/* The value of x-amz-content-sha256 among the lines; empty: there is none. */
static struct slice signing_payload_hash(const struct slice *lines, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strncasecmp(lines[i].ptr, PAYLOAD_HASH, PAYLOAD_HASH_LEN) == 0) { /* each line ends with a NUL */
            size_t blanks = strspn(lines[i].ptr + PAYLOAD_HASH_LEN, " ");
            return slice_make(lines[i].ptr + PAYLOAD_HASH_LEN + blanks, lines[i].len - PAYLOAD_HASH_LEN - blanks);
        }
    return (struct slice){NULL, 0};
}

/* host: the value of the Host header. */
static int signing_make(struct http_transfer *t, const struct http_request *r, const struct http_url *url,
                        struct slice host, struct sigv4_result *result) {
    struct slice lines[HTTP_HEADERS_MAX];
    for (size_t i = 0; i < t->line_count; i++)
        lines[i] = http_headers_line(t, i);
    struct sigv4_request s = {
        .method = r->method,
        .host = host,
        .path = url->path,
        .query = url->query,
        .headers = lines,
        .header_count = t->line_count,
        .payload_hash = signing_payload_hash(lines, t->line_count),
        .access_key = r->credentials->access_key,
        .secret_key = r->credentials->secret_key,
        .region = r->credentials->region,
        .service = r->credentials->service ? r->credentials->service : "s3",
        .time_s = clock_real_us() / 1000000,
    };
    return s.payload_hash.len ? sigv4_sign(t->http->signer, &s, result) : ERR_INVALID;
}

int http_sign(struct http_transfer *t, const struct http_request *r) {
    const char *token = r->credentials->session_token;
    struct sigv4_result result;
    struct http_url url;
    struct buf host = BUF_INIT;
    int err = http_url_split(r->url, &url);
    if (!err)
        err = http_url_add_host(&host, &url);
    if (!err && token && *token)
        err = http_headers_add(t, "x-amz-security-token: ", slice_of(token));
    if (!err)
        err = signing_make(t, r, &url, buf_slice(&host), &result);
    if (!err)
        err = http_headers_add(t, "Host: ", buf_slice(&host)); /* libcurl's own may be spelled differently */
    if (!err)
        err = http_headers_add(t, "x-amz-date: ", slice_of(result.date));
    if (!err)
        err = http_headers_add(t, "Authorization: ", result.authorization);
    buf_release(&host);
    return err;
}
