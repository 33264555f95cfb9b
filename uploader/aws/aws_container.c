/*
 * The credentials endpoint of a container agent ("Container credential provider", AWS SDKs and
 * Tools reference guide): ECS gives a path at 169.254.170.2, EKS a whole URL and a file with a
 * token. A URL with http:// is accepted only for loopback addresses and the addresses of the
 * agents: the token must not leave the host unencrypted.
 */
#include "aws/aws_settings.h"
#include "pure/s3_endpoint.h"
#include "uploader/aws/aws_source.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 2000

struct container {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_call call;
    bool requested;
};

bool aws_container_is_configured(void) {
    return aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
           aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

/* The host of an authority, without brackets and port. */
static struct slice container_host(struct slice authority) {
    bool brackets = *authority.ptr == '[';
    struct slice host = slice_make(authority.ptr + brackets, authority.len - brackets);
    const char *stop = memchr(host.ptr, brackets ? ']' : ':', host.len);
    return slice_make(host.ptr, stop ? (size_t)(stop - host.ptr) : host.len);
}

static bool container_host_is_local(struct slice host) {
    static const char *const known[] = {"localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (slice_equal(host, slice_of(known[i])))
            return true;
    return host.len > 4 && memcmp(host.ptr, "127.", 4) == 0 && strspn(host.ptr, "0123456789.") >= host.len;
}

static int container_add_url(struct buf *url, char *why, size_t why_size) {
    const char *relative = aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    struct s3_url parts;
    if (relative)
        return buf_addf(url, "http://169.254.170.2%s%s", *relative == '/' ? "" : "/", relative);
    const char *query = strchr(full, '?');
    const char *wrong = s3_url_parse(slice_make(full, query ? (size_t)(query - full) : strlen(full)), &parts);
    if (!wrong && !parts.https && !container_host_is_local(container_host(parts.authority)))
        wrong = "http:// is accepted for addresses of this host only";
    if (!wrong)
        return buf_add_text(url, full);
    snprintf(why, why_size, "cannot be used: AWS_CONTAINER_CREDENTIALS_FULL_URI: %.120s", wrong);
    return ERR_INVALID;
}

static int container_add_authorization(struct buf *line, char *why, size_t why_size) {
    const char *file = aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    int err = file || token ? buf_add_text(line, "Authorization: ") : 0;
    if (!err && file)
        err = aws_token_read(file, line, why, why_size);
    else if (!err && token)
        err = buf_add_text(line, token);
    if (!err && line->len && strpbrk(line->data, "\r\n")) {
        snprintf(why, why_size, "cannot be used: its authorization token has more than one line");
        err = ERR_INVALID;
    }
    return err;
}

static int container_start_request(struct container *c, char *why, size_t why_size) {
    struct buf url = BUF_INIT, line = BUF_INIT;
    int err = container_add_url(&url, why, why_size);
    if (!err)
        err = container_add_authorization(&line, why, why_size);
    const char *const headers[] = {"Accept: application/json", line.data, NULL};
    struct http_request r = {.method = "GET",
                             .url = url.data,
                             .headers = headers,
                             .direct = url.data && strncmp(url.data, "http:", 5) == 0,
                             .response_timeout_ms = TIMEOUT_MS};
    if (!err)
        err = aws_call_start(&c->call, c->http, &r);
    if (line.data)
        explicit_bzero(line.data, line.cap);
    buf_release(&line);
    buf_release(&url);
    return err;
}

static int container_step(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why, size_t why_size) {
    struct container *c = (struct container *)s;
    *keys = (struct aws_fresh_keys){0};
    int err = c->requested ? 0 : container_start_request(c, why, why_size);
    if (err)
        return err;
    c->requested = true;
    err = aws_call_wait(&c->call, c->http, wait_ms, why, why_size);
    if (err == ERR_AGAIN)
        return err;
    c->requested = false;
    if (!err)
        err = aws_metadata_parse(buf_slice(&c->call.body), keys, why, why_size);
    aws_call_release(&c->call, c->http);
    return err;
}

static void container_destroy(struct aws_source *s) {
    struct container *c = (struct container *)s;
    aws_call_release(&c->call, c->http);
    free(c);
}

int aws_container_new(struct aws_source **s, struct http *http) {
    static const struct aws_source_ops ops = {"the container's credentials endpoint", container_step,
                                              container_destroy};
    struct container *c = calloc(1, sizeof *c);
    *s = c ? &c->base : NULL;
    if (!c)
        return ERR_NOMEM;
    *c = (struct container){.base = {&ops}, .http = http};
    return 0;
}
