/*
 * The libcurl options of one request. When libcurl 7.88 signs for S3, it needs this:
 *
 *   - Paths are sent as they are, and redirects are not followed: both would break the signature.
 *   - No header is removed, because a removed header is signed all the same. So "Expect: 100-continue" stays, with a
 *     timeout of 1 ms. For servers that refuse even that, HTTP/1.0 is used, which has no Expect.
 *   - User and password are set separately, because keys may contain a colon.
 *   - Every body has a length.
 */
#include "uploader/http/http_internal.h"
#include <strings.h>

static int request_add_header(struct http_transfer *t, const char *line) {
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    if (!longer)
        return ERR_NOMEM;
    t->headers = longer;
    return 0;
}

static int request_add_session_token(struct http_transfer *t, const char *session_token) {
    struct buf line = BUF_INIT;
    int err = buf_addf(&line, "x-amz-security-token: %s", session_token);
    if (!err)
        err = request_add_header(t, line.data);
    if (line.data)
        explicit_bzero(line.data, line.cap);
    buf_release(&line);
    return err;
}

/* libcurl signs the headers it is given and its own. */
static int request_set_credentials(struct http_transfer *t, const struct http_credentials *c) {
    struct buf provider = BUF_INIT;
    int err = buf_addf(&provider, "aws:amz:%s:s3", c->region);
    if (!err && curl_easy_setopt(t->easy, CURLOPT_AWS_SIGV4, provider.data) != CURLE_OK)
        err = ERR_NOMEM;
    buf_release(&provider);
    if (err)
        return err;
    if (curl_easy_setopt(t->easy, CURLOPT_USERNAME, c->access_key) != CURLE_OK ||
        curl_easy_setopt(t->easy, CURLOPT_PASSWORD, c->secret_key) != CURLE_OK)
        return ERR_NOMEM;
    return c->session_token && *c->session_token ? request_add_session_token(t, c->session_token) : 0;
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
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, r->without_expect ? CURL_HTTP_VERSION_1_0 : CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
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
    for (const char *const *line = r->headers; !err && line && *line; line++)
        err = request_add_header(t, *line);
    if (!err && r->credentials)
        err = request_set_credentials(t, r->credentials);
    if (!err && t->headers && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) != CURLE_OK)
        err = ERR_NOMEM;
    return err;
}
