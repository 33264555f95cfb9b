/*
 * Web identity: STS exchanges a token from a file (of a service account in EKS, for example) for
 * the keys of a role (AssumeRoleWithWebIdentity, AWS STS API reference). The request is not signed;
 * the token authenticates it. The file is read each time, because another program replaces the
 * token.
 */
#include "uploader/aws/aws_sts.h"
#include <stdlib.h>

#define ACTION "AssumeRoleWithWebIdentity"

struct web_identity {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_sts sts;
    struct aws_sts_call call;
    bool requested;
    struct aws_role role;
    char *role_texts, *token_file;
};

static int web_identity_start_request(struct web_identity *w, char *why, size_t why_size) {
    struct buf token = BUF_INIT;
    int err = aws_token_read(w->token_file, &token, why, why_size);
    if (!err)
        err = aws_sts_form_begin(&w->call, ACTION, &w->role, 3 * token.len + 64); /* each byte as %XX */
    if (!err)
        err = aws_sts_form_add(&w->call, "WebIdentityToken", buf_slice(&token));
    if (token.data)
        explicit_bzero(token.data, token.cap);
    buf_release(&token);
    return err ? err : aws_sts_send(&w->call, w->http, &w->sts, NULL);
}

static int web_identity_step(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why,
                             size_t why_size) {
    struct web_identity *w = (struct web_identity *)s;
    *keys = (struct aws_fresh_keys){0};
    int err = w->requested ? 0 : web_identity_start_request(w, why, why_size);
    w->requested = true;
    if (!err)
        err = aws_sts_receive(&w->call, w->http, wait_ms, ACTION, keys, why, why_size);
    if (err == ERR_AGAIN)
        return err;
    aws_sts_call_release(&w->call, w->http);
    w->requested = false;
    return err;
}

static void web_identity_destroy(struct aws_source *s) {
    struct web_identity *w = (struct web_identity *)s;
    aws_sts_call_release(&w->call, w->http);
    free(w->role_texts);
    free(w->token_file);
    free(w);
}

int aws_web_identity_new(struct aws_source **s, struct http *http, const struct aws_sts *sts,
                         const struct aws_role *role, const char *token_file) {
    static const struct aws_source_ops ops = {"web identity", web_identity_step, web_identity_destroy};
    struct web_identity *w = calloc(1, sizeof *w);
    *s = NULL;
    if (!w)
        return ERR_NOMEM;
    *w = (struct web_identity){.base = {&ops}, .http = http, .sts = *sts};
    w->token_file = strdup(token_file);
    if (aws_role_copy(&w->role, &w->role_texts, role) || !w->token_file) {
        web_identity_destroy(&w->base);
        return ERR_NOMEM;
    }
    *s = &w->base;
    return 0;
}
