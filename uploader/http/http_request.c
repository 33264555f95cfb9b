/*
 * The libcurl options of one request, and its header lines.
 *
 *   - Paths are sent as they are, and redirects are not followed: both would break the signature.
 *   - No request has "Expect: 100-continue". A store that refuses a request answers while the body is sent, and libcurl
 *     then stops sending. Waiting for "100 Continue" first would cost every request a round trip.
 *   - Every body has a length.
 */
#include "uploader/http/http_internal.h"
#include <strings.h>

static int request_set_headers(struct http_transfer *t, const struct http_request *r) {
    int err = 0;
    for (const char *const *line = r->headers; !err && line && *line; line++)
        err = http_headers_add(t, *line, slice_of(""));
    if (!err && r->credentials)
        err = http_sign(t, r);
    if (!err)
        err = http_headers_add(t, "Expect:", slice_of("")); /* a name alone removes libcurl's own header */
    if (!err)
        err = http_headers_add(t, "Accept:", slice_of(""));
    if (!err && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, http_headers_list(t)) != CURLE_OK)
        err = ERR_NOMEM;
    return err;
}

static int request_set_method(struct http_transfer *t, const struct http_request *r) {
    CURL *e = t->easy;
    CURLcode rc = CURLE_OK;
    if (strcmp(r->method, "HEAD") == 0) {
        rc = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (strcmp(r->method, "GET") == 0) {
        rc = curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(r->method, "DELETE") == 0) {
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "DELETE");
    } else { /* PUT and POST alike, so that a body of any length is read by the callback */
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_length);
        curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, r->body_length >= HTTP_LARGE_BODY ? 524288L : 65536L);
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    }
    return rc == CURLE_OK ? 0 : ERR_NOMEM;
}

static void request_set_connection(struct http_transfer *t, const struct http_request *r) {
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)t->http->options.connect_timeout_ms);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    if (r->fresh_connection) {
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    }
}

/* Certificate authorities and the proxy. */
static int request_set_route(struct http_transfer *t, const struct http_request *r) {
    const struct http *h = t->http;
    bool plain = strncasecmp(r->url, "http://", 7) == 0;
    CURLcode rc = CURLE_OK;
    if (h->ca_file)
        rc = curl_easy_setopt(t->easy, CURLOPT_CAINFO, h->ca_file);
    if (!rc && h->ca_directory)
        rc = curl_easy_setopt(t->easy, CURLOPT_CAPATH, h->ca_directory);
    if (!rc && r->direct)
        rc = curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    else if (!rc && plain && h->upper_case_proxy)
        rc = curl_easy_setopt(t->easy, CURLOPT_PROXY, h->upper_case_proxy);
    return rc ? ERR_NOMEM : 0;
}

int http_request_apply(struct http_transfer *t, const struct http_request *r) {
    request_set_connection(t, r);
    http_callbacks_set(t);
    if (curl_easy_setopt(t->easy, CURLOPT_URL, r->url) != CURLE_OK ||
        curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "chunklift/" CHUNKLIFT_VERSION) != CURLE_OK)
        return ERR_NOMEM;
    int err = request_set_route(t, r);
    if (err)
        return err;
    err = request_set_method(t, r);
    return err ? err : request_set_headers(t, r);
}
