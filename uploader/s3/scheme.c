/*
 * An endpoint that was written with http:// and speaks TLS, or the other way round. The failure itself does not tell: a
 * reset, an alert taken for HTTP/0.9, a 400 of the TLS library, or a handshake that fails. So the first such failure of
 * an endpoint that has never answered is followed by one unsigned request with the other scheme, beside the retries; if
 * that works, what comes next for the endpoint fails at once and says so.
 */
#include "pure/check.h"
#include "system/log.h"
#include "uploader/s3/s3_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define PROBE_TIMEOUT_MS 5000

static bool is_https(struct slice endpoint) {
    struct s3_url url;
    return !s3_url_parse(endpoint, &url) && url.https;
}

static bool is_suspicious(bool https, const struct http_reply *r, const struct s3_error *e) {
    if (https)
        return r->tls_failed;
    if (!r->error)
        return r->status == 400 && !e->code[0];
    return r->connected && (r->error == ERR_IO || r->error == ERR_INVALID);
}

/* The server answered in the other scheme. A TLS server may answer 400 to plain HTTP. */
static bool is_proof(bool https, const struct http_reply *r) {
    if (https)
        return !r->error && r->status != 400;
    return !r->error || r->connected || r->error == ERR_DENIED;
}

static void probe_done(void *arg, const struct http_reply *r) {
    struct s3 *s3 = arg;
    struct slice endpoint = slice_of(s3->probed);
    s3->probe = NULL;
    if (is_proof(is_https(endpoint), r))
        s3_memory_endpoint(s3->memory, endpoint)->scheme = S3_NO;
}

static int start_probe(struct s3 *s3, struct slice endpoint) {
    struct s3_url url;
    struct buf text = BUF_INIT;
    free(s3->probed);
    s3->probed = slice_dup(endpoint);
    if (!s3->probed || s3_url_parse(endpoint, &url))
        return ERR_NOMEM;
    int err = buf_addf(&text, "%s%.*s/", url.https ? "http://" : "https://", (int)url.authority.len, url.authority.ptr);
    struct http_request r = {.method = "GET",
                             .url = text.data,
                             .response_timeout_ms = PROBE_TIMEOUT_MS,
                             .fresh_connection = true,
                             .done = probe_done,
                             .arg = s3};
    if (!err)
        err = http_start(s3->http, &r, &s3->probe);
    buf_release(&text);
    return err;
}

void s3_scheme_look(struct s3_op *op, const struct http_reply *r, struct s3_error *e) {
    struct s3 *s3 = op->s3;
    struct s3_endpoint *known = s3_memory_endpoint(s3->memory, op->place.endpoint);
    bool suspicious = e && is_suspicious(op->place.https, r, e);
    if (known->scheme == S3_UNKNOWN && !r->error && !suspicious)
        known->scheme = S3_YES;
    if (known->scheme != S3_UNKNOWN || !suspicious)
        return;
    bool probed = s3->probed && slice_equal(slice_of(s3->probed), op->place.endpoint);
    if (!s3->probe && !probed && start_probe(s3, op->place.endpoint))
        return;
    if (s3->probe) /* once more, then the answer is there */
        e->transient = true;
}

bool s3_scheme_is_wrong(const struct s3_op *op, char *why, size_t why_size) {
    const struct s3_place *p = &op->place;
    if (s3_memory_endpoint(op->s3->memory, p->endpoint)->scheme != S3_NO)
        return false;
    int len = (int)(p->authority.len < 200 ? p->authority.len : 200);
    snprintf(why, why_size, "%.*s %s; write the endpoint URL with %s", len, p->authority.ptr,
             p->https ? "does not speak TLS" : "speaks TLS", p->https ? "http://" : "https://");
    return true;
}
