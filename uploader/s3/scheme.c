#include "uploader/s3/scheme.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define PROBE_TIMEOUT_MS 5000

static bool scheme_is_https(struct slice endpoint) {
    struct s3_url url;
    return !s3_url_parse(endpoint, &url) && url.https;
}

/* A wrong scheme may explain this error. */
static bool scheme_may_be_wrong(bool https, const struct http_reply *r, const struct s3_error *e) {
    if (https)
        return r->tls_failed;
    if (!r->error)
        return r->status == 400 && !e->code[0];
    return r->connected && (r->error == ERR_IO || r->error == ERR_INVALID);
}

/* The server answered in the other scheme. A TLS server may answer 400 to plain HTTP. */
static bool scheme_reply_proves(bool https, const struct http_reply *r) {
    if (https)
        return !r->error && r->status != 400;
    return !r->error || r->connected || r->error == ERR_DENIED;
}

static void scheme_probe_done(void *arg, const struct http_reply *r) {
    struct s3 *s3 = arg;
    struct slice endpoint = slice_of(s3->scheme_probed);
    s3->scheme_probe = NULL;
    if (scheme_reply_proves(scheme_is_https(endpoint), r))
        s3_capabilities_endpoint(s3->capabilities, endpoint)->scheme = S3_NO;
}

static int scheme_start_probe(struct s3 *s3, struct slice endpoint) {
    struct s3_url url;
    struct buf text = BUF_INIT;
    free(s3->scheme_probed);
    s3->scheme_probed = slice_dup(endpoint);
    if (!s3->scheme_probed || s3_url_parse(endpoint, &url))
        return ERR_NOMEM;
    int err = buf_addf(&text, "%s%.*s/", url.https ? "http://" : "https://", (int)url.authority.len, url.authority.ptr);
    struct http_request r = {.method = "GET",
                             .url = text.data,
                             .response_timeout_ms = PROBE_TIMEOUT_MS,
                             .fresh_connection = true,
                             .no_verify_ssl = s3->no_verify_ssl,
                             .done = scheme_probe_done,
                             .arg = s3};
    if (!err)
        err = http_start(s3->http, &r, &s3->scheme_probe);
    buf_release(&text);
    return err;
}

void s3_scheme_take_reply(struct s3_op *op, const struct http_reply *r, struct s3_error *e) {
    struct s3 *s3 = op->s3;
    struct s3_endpoint *endpoint = s3_op_endpoint(op);
    bool suspicious = e && scheme_may_be_wrong(op->url.https, r, e);
    if (endpoint->scheme == S3_UNKNOWN && !r->error && !suspicious)
        endpoint->scheme = S3_YES;
    if (endpoint->scheme != S3_UNKNOWN || !suspicious)
        return;
    bool probed = s3->scheme_probed && slice_equal(slice_of(s3->scheme_probed), op->url.endpoint);
    if (!s3->scheme_probe && !probed && scheme_start_probe(s3, op->url.endpoint))
        return;
    if (s3->scheme_probe) /* the probe is answered before the next attempt */
        e->transient = true;
}

bool s3_scheme_is_wrong(const struct s3_op *op, char *why, size_t why_size) {
    const struct s3_object_url *u = &op->url;
    if (s3_op_endpoint(op)->scheme != S3_NO)
        return false;
    int len = (int)MIN(u->authority.len, 200);
    snprintf(why, why_size, "%.*s %s; write the endpoint URL with %s", len, u->authority.ptr,
             u->https ? "does not speak TLS" : "speaks TLS", u->https ? "http://" : "https://");
    return true;
}
