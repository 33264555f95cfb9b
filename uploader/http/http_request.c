/*
 * The libcurl options of a handle and of one request, and its header lines. A handle keeps its options from request to
 * request, so http_request_apply sets every option that any request sets.
 *
 *   - Paths are sent as they are, and redirects are not followed: both would break the signature.
 *   - No request has "Expect: 100-continue". A store that refuses a request answers while the body is sent, and libcurl
 *     then stops sending. Waiting for "100 Continue" first would cost every request a round trip.
 *   - Every body has a length.
 */
#include "uploader/http/http_internal.h"
#include <strings.h>

#define DNS_CACHE_S 60L /* libcurl's own value */

/* --- headers --- */

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
    if (!err)
        err = http_headers_add(t, "Content-Type:", slice_of("")); /* that of a form; the caller's own stays */
    if (!err && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, http_headers_list(t)) != CURLE_OK)
        err = ERR_NOMEM;
    return err;
}

/* --- the body and the method --- */

/* True: libcurl sends the body together with the head, in one call. With a byte limit, the body has to be read in pieces. */
static bool request_body_joins_head(const struct http_transfer *t, const struct http_request *r) {
    return !r->read && r->body_length < HTTP_JOINED_BODY && !http_pacing_applies(t);
}

static CURLcode request_set_joined_body(struct http_transfer *t, const struct http_request *r) {
    CURL *e = t->easy;
    t->joined = true;
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_length);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->text.len ? r->text.ptr : "");
    return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

/* Eight buffers of 256 KiB stay in a core's cache between the read and the send. TLS reads its buffer once more, and
 * gains more from fewer calls. */
long http_upload_buffer(const char *url, uint64_t body_length) {
    if (body_length < HTTP_LARGE_BODY)
        return 65536;
    return strncasecmp(url, "https:", 6) == 0 ? 524288 : 262144;
}

/* Setting the size frees libcurl's buffer, so it is set only when it changes. */
static void request_set_buffer(struct http_transfer *t, const struct http_request *r) {
    long bytes = http_upload_buffer(r->url, r->body_length);
    if (bytes != t->upload_buffer_bytes)
        curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, bytes);
    t->upload_buffer_bytes = bytes;
}

/* The body comes from the read callback. */
static CURLcode request_set_read_body(struct http_transfer *t, const struct http_request *r) {
    request_set_buffer(t, r);
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_length);
    return curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static int request_set_method(struct http_transfer *t, const struct http_request *r) {
    CURL *e = t->easy;
    CURLcode rc = CURLE_OK;
    t->joined = false;
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL); /* of the last request; with it, libcurl would not rewind a body */
    curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);      /* ends UPLOAD, NOBODY and POST */
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, NULL);
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    else if (strcmp(r->method, "DELETE") == 0)
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    else if (strcmp(r->method, "GET") != 0) /* PUT and POST alike */
        rc = request_body_joins_head(t, r) ? request_set_joined_body(t, r) : request_set_read_body(t, r);
    return rc == CURLE_OK ? 0 : ERR_NOMEM;
}

/* --- the connection --- */

static int request_set_proxy(struct http_transfer *t, const struct http_request *r) {
    bool plain = strncasecmp(r->url, "http://", 7) == 0;
    const char *proxy = r->direct ? "" : plain ? t->http->upper_case_proxy : NULL; /* NULL: as libcurl finds it */
    return curl_easy_setopt(t->easy, CURLOPT_PROXY, proxy) == CURLE_OK ? 0 : ERR_NOMEM;
}

static void request_set_connection(struct http_transfer *t, const struct http_request *r) {
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, r->no_verify_ssl ? 0L : 1L);
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, r->no_verify_ssl ? 0L : 2L); /* 2: the name is compared */
    curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, r->fresh_connection ? 1L : 0L);
    curl_easy_setopt(t->easy, CURLOPT_DNS_CACHE_TIMEOUT, r->fresh_connection ? 0L : DNS_CACHE_S);
    http_inspect_prepare(t, r->inspect);
    curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 0L); /* http_callbacks.c sets it */
}

/* --- all options --- */

int http_request_prepare(struct http_transfer *t) {
    const struct http *h = t->http;
    CURL *e = t->easy;
    http_callbacks_set(t);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->options.connect_timeout_ms);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    if (curl_easy_setopt(e, CURLOPT_USERAGENT, "chunklift/" CHUNKLIFT_VERSION) != CURLE_OK ||
        (h->ca_file && curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file) != CURLE_OK) ||
        (h->ca_directory && curl_easy_setopt(e, CURLOPT_CAPATH, h->ca_directory) != CURLE_OK))
        return ERR_NOMEM;
    return 0;
}

int http_request_apply(struct http_transfer *t, const struct http_request *r) {
    request_set_connection(t, r);
    if (curl_easy_setopt(t->easy, CURLOPT_URL, r->url) != CURLE_OK)
        return ERR_NOMEM;
    int err = request_set_proxy(t, r);
    if (!err)
        err = request_set_method(t, r);
    return err ? err : request_set_headers(t, r);
}
