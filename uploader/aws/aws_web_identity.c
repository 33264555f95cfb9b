/*
 * Web identity: STS exchanges a token from a file (of a service account in EKS, for example) for
 * the keys of a role (AssumeRoleWithWebIdentity, AWS STS API reference). The request is not signed;
 * the token authenticates it. The file is read each time, because another program replaces the
 * token.
 */
#include "pure/percent.h"
#include "pure/s3_endpoint.h"
#include "system/clock.h"
#include "uploader/aws/aws_source.h"
#include "uploader/aws/aws_sts.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 10000

struct web_identity {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_call call;
    bool requested;
    struct buf form; /* of the request in flight */
    char *url, *token_file, *role_arn, *session_name;
};

static int form_add_field(struct buf *form, const char *name, struct slice value) {
    int err = buf_addf(form, "%s%s=", form->len ? "&" : "", name);
    if (err)
        return err;
    return percent_encode(form, value, false);
}

static int web_identity_make_form(struct web_identity *w, char *why, size_t why_size) {
    struct buf token = BUF_INIT;
    int err = aws_token_read(w->token_file, &token, why, why_size);
    const struct {
        const char *name;
        struct slice value;
    } fields[] = {
        {"Action", slice_of("AssumeRoleWithWebIdentity")},
        {"Version", slice_of("2011-06-15")},
        {"RoleArn", slice_of(w->role_arn)},
        {"RoleSessionName", slice_of(w->session_name)},
        {"WebIdentityToken", buf_slice(&token)},
    };
    buf_clear(&w->form);
    for (size_t i = 0; !err && i < sizeof fields / sizeof *fields; i++)
        err = form_add_field(&w->form, fields[i].name, fields[i].value);
    if (token.data)
        explicit_bzero(token.data, token.cap);
    buf_release(&token);
    return err;
}

static int web_identity_start_request(struct web_identity *w, char *why, size_t why_size) {
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    int err = web_identity_make_form(w, why, why_size);
    struct http_request r = {.method = "POST",
                             .url = w->url,
                             .headers = headers,
                             .text = buf_slice(&w->form),
                             .response_timeout_ms = TIMEOUT_MS};
    if (err)
        return err;
    return aws_call_start(&w->call, w->http, &r);
}

static void web_identity_end_request(struct web_identity *w) {
    aws_call_release(&w->call, w->http);
    if (w->form.data)
        explicit_bzero(w->form.data, w->form.cap);
    buf_release(&w->form);
    w->requested = false;
}

static int web_identity_step(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why,
                             size_t why_size) {
    struct web_identity *w = (struct web_identity *)s;
    *keys = (struct aws_fresh_keys){0};
    int err = w->requested ? 0 : web_identity_start_request(w, why, why_size);
    w->requested = true;
    if (!err)
        err = aws_call_wait(&w->call, w->http, wait_ms, why, why_size);
    if (err == ERR_AGAIN)
        return err;
    struct aws_sts_error refusal;
    if (err && w->call.ended && !w->call.error && aws_sts_error_parse(buf_slice(&w->call.body), &refusal) == 0)
        snprintf(why, why_size, "is refused by STS: %ld %.60s: %.100s", w->call.status, refusal.code, refusal.message);
    if (!err) {
        err = aws_sts_keys_parse(buf_slice(&w->call.body), keys);
        if (err)
            snprintf(why, why_size, "got an answer from STS that cannot be read");
    }
    web_identity_end_request(w);
    return err;
}

static void web_identity_destroy(struct aws_source *s) {
    struct web_identity *w = (struct web_identity *)s;
    web_identity_end_request(w);
    free(w->url);
    free(w->token_file);
    free(w->role_arn);
    free(w->session_name);
    free(w);
}

static int web_identity_add_url(const struct aws_web_identity *given, struct buf *url) {
    struct s3_url parts;
    const char *region = given->region;
    if (given->endpoint_url && !s3_url_parse(slice_of(given->endpoint_url), &parts)) {
        int err = s3_url_add_normal(url, &parts);
        return err ? err : buf_add_byte(url, '/');
    }
    if (!region || !s3_region_is_valid(slice_of(region)))
        return buf_add_text(url, "https://sts.amazonaws.com/");
    return buf_addf(url, "https://sts.%s.amazonaws.com%s/", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

int aws_web_identity_new(struct aws_source **s, struct http *http, const struct aws_web_identity *given) {
    static const struct aws_source_ops ops = {"web identity", web_identity_step, web_identity_destroy};
    struct web_identity *w = calloc(1, sizeof *w);
    struct buf url = BUF_INIT;
    char generated[48];
    *s = NULL;
    if (!w)
        return ERR_NOMEM;
    *w = (struct web_identity){.base = {&ops}, .http = http};
    snprintf(generated, sizeof generated, "chunklift-%lld", (long long)(clock_real_us() / 1000000));
    w->token_file = strdup(given->token_file);
    w->role_arn = strdup(given->role_arn);
    w->session_name = strdup(given->session_name ? given->session_name : generated);
    int err = web_identity_add_url(given, &url);
    w->url = url.data;
    if (err || !w->token_file || !w->role_arn || !w->session_name) {
        web_identity_destroy(&w->base);
        return ERR_NOMEM;
    }
    *s = &w->base;
    return 0;
}
