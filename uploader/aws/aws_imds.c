/*
 * Instance metadata of EC2, version 2 ("Use IMDSv2", EC2 user guide), in three requests: a session
 * token, the name of the role of the instance, the keys of the role. Version 1, which needs no
 * token, is not used. Requests bypass proxies and have a timeout of one second each: most hosts
 * have no such service.
 */
#include "aws/aws_settings.h"
#include "pure/s3_endpoint.h"
#include "uploader/aws/aws_source.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define TIMEOUT_MS 1000
#define DEFAULT_ENDPOINT "http://169.254.169.254"
#define ROLES "/latest/meta-data/iam/security-credentials/"
#define NAME_MAX_BYTES 512

enum step { STEP_NONE, STEP_TOKEN, STEP_ROLE, STEP_KEYS };

struct imds {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_call call;
    enum step step; /* the request in flight */
    struct buf token, role;
};

bool aws_imds_is_enabled(void) {
    const char *disabled = aws_environment("AWS_EC2_METADATA_DISABLED");
    return !disabled || strcasecmp(disabled, "true") != 0;
}

static const char *imds_endpoint(void) {
    const char *named = aws_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    struct s3_url parts;
    return named && !s3_url_parse(slice_of(named), &parts) ? named : DEFAULT_ENDPOINT;
}

static int imds_start_request(struct imds *i, enum step step) {
    struct buf url = BUF_INIT, header = BUF_INIT;
    const char *base = imds_endpoint();
    size_t len = strlen(base);
    while (len && base[len - 1] == '/')
        len--;
    int err = buf_addf(&url, "%.*s%s%s", (int)len, base, step == STEP_TOKEN ? "/latest/api/token" : ROLES,
                       step == STEP_KEYS ? i->role.data : "");
    if (!err && step == STEP_TOKEN)
        err = buf_add_text(&header, "x-aws-ec2-metadata-token-ttl-seconds: 21600");
    else if (!err)
        err = buf_addf(&header, "x-aws-ec2-metadata-token: %s", i->token.data);
    const char *const headers[] = {header.data, NULL};
    struct http_request r = {.method = step == STEP_TOKEN ? "PUT" : "GET",
                             .url = url.data,
                             .headers = headers,
                             .direct = true,
                             .response_timeout_ms = TIMEOUT_MS};
    if (!err)
        err = aws_call_start(&i->call, i->http, &r);
    if (!err)
        i->step = step;
    buf_release(&url);
    buf_release(&header);
    return err;
}

/* Copies the first line of the reply, a token or a name, to out. */
static int imds_take_line(struct imds *i, struct buf *out, char *why, size_t why_size) {
    struct slice text = buf_slice(&i->call.body);
    const char *eol = text.len ? memchr(text.ptr, '\n', text.len) : NULL;
    if (eol)
        text.len = (size_t)(eol - text.ptr);
    buf_clear(out);
    bool plain = text.len > 0;
    for (size_t at = 0; at < text.len; at++)
        plain = plain && text.ptr[at] > ' ' && text.ptr[at] < 127;
    if (plain && text.len <= NAME_MAX_BYTES)
        return buf_add_slice(out, text);
    snprintf(why, why_size, i->step == STEP_ROLE ? "names no role of this instance" : "gives no session token");
    return ERR_INVALID;
}

static int imds_continue(struct imds *i, struct aws_fresh_keys *keys, char *why, size_t why_size) {
    int err = 0;
    switch (i->step) {
    case STEP_NONE:
        err = imds_start_request(i, STEP_TOKEN);
        return err ? err : ERR_AGAIN;
    case STEP_TOKEN:
        err = imds_take_line(i, &i->token, why, why_size);
        if (!err)
            err = imds_start_request(i, STEP_ROLE);
        return err ? err : ERR_AGAIN;
    case STEP_ROLE:
        err = imds_take_line(i, &i->role, why, why_size);
        if (!err)
            err = imds_start_request(i, STEP_KEYS);
        return err ? err : ERR_AGAIN;
    case STEP_KEYS:
        break;
    }
    return aws_metadata_parse(buf_slice(&i->call.body), keys, why, why_size);
}

static void imds_reset(struct imds *i) {
    aws_call_release(&i->call, i->http);
    if (i->token.data)
        explicit_bzero(i->token.data, i->token.cap);
    buf_release(&i->token);
    i->step = STEP_NONE;
}

static int imds_step(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why, size_t why_size) {
    struct imds *i = (struct imds *)s;
    *keys = (struct aws_fresh_keys){0};
    int err = i->step == STEP_NONE ? 0 : aws_call_wait(&i->call, i->http, wait_ms, why, why_size);
    if (!err)
        err = imds_continue(i, keys, why, why_size);
    if (err != ERR_AGAIN)
        imds_reset(i);
    return err;
}

static void imds_destroy(struct aws_source *s) {
    struct imds *i = (struct imds *)s;
    imds_reset(i);
    buf_release(&i->role);
    free(i);
}

int aws_imds_new(struct aws_source **s, struct http *http) {
    static const struct aws_source_ops ops = {"the instance metadata service", imds_step, imds_destroy};
    struct imds *i = calloc(1, sizeof *i);
    *s = i ? &i->base : NULL;
    if (!i)
        return ERR_NOMEM;
    *i = (struct imds){.base = {&ops}, .http = http};
    return 0;
}
