#include "uploader/aws/aws_sso.h"
#include "aws/aws_settings.h"
#include "pure/digest.h"
#include "pure/ids.h"
#include "pure/percent.h"
#include "pure/text.h"
#include "system/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 10000
#define NEW_LOGIN "run 'aws sso login --profile %.100s'"

struct sso {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_call call;
    bool requested;
    char *url, *token_path, *profile;
};

/* --- the token --- */

void aws_sso_token_release(struct aws_sso_token *t) {
    if (t->access_token)
        explicit_bzero(t->access_token, strlen(t->access_token));
    free(t->access_token);
    *t = (struct aws_sso_token){0};
}

/* ~/.aws/sso/cache/SHA1.json; the name is that of the session, or the start URL. */
static int sso_token_path(const struct aws_sso *sso, struct buf *path) {
    const char *home = aws_environment("HOME"), *name = sso->session ? sso->session : sso->start_url;
    struct digest *d;
    uint8_t sum[SHA1_SIZE];
    char hex[SHA1_HEX_SIZE];
    int err = digest_new(&d, DIGEST_SHA1);
    if (err)
        return err;
    err = digest_begin(d);
    if (!err)
        err = digest_add(d, name, strlen(name));
    if (!err)
        err = digest_end(d, sum);
    digest_destroy(&d);
    if (err)
        return err;
    hex_encode(sum, sizeof sum, hex);
    return buf_addf(path, "%s/.aws/sso/cache/%s.json", home ? home : "", hex);
}

static int sso_read_token(const struct sso *s, struct aws_sso_token *token, char *why, size_t why_size) {
    struct buf text = BUF_INIT;
    *token = (struct aws_sso_token){0};
    int err = aws_token_read(s->token_path, &text, why, why_size);
    if (err == ERR_NOT_FOUND) {
        snprintf(why, why_size, "has no login; " NEW_LOGIN, s->profile);
    } else if (!err) {
        err = aws_sso_token_parse(buf_slice(&text), token);
        if (err == ERR_INVALID)
            snprintf(why, why_size, "has a login that cannot be read; " NEW_LOGIN, s->profile);
    }
    if (!err && token->expires_us <= clock_real_us()) {
        snprintf(why, why_size, "has a login that has expired; " NEW_LOGIN, s->profile);
        aws_sso_token_release(token);
        err = ERR_DENIED;
    }
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_release(&text);
    return err;
}

/* --- the request --- */

static int sso_start_request(struct sso *s, char *why, size_t why_size) {
    struct aws_sso_token token;
    struct buf line = BUF_INIT;
    int err = sso_read_token(s, &token, why, why_size);
    if (err)
        return err;
    err = buf_reserve(&line, strlen(token.access_token) + 64); /* growing would leave copies */
    if (!err)
        err = buf_addf(&line, "x-amz-sso_bearer_token: %s", token.access_token);
    const char *const headers[] = {line.data, NULL};
    struct http_request r = {.method = "GET", .url = s->url, .headers = headers, .response_timeout_ms = TIMEOUT_MS};
    if (!err)
        err = aws_call_start(&s->call, s->http, &r);
    if (line.data)
        explicit_bzero(line.data, line.cap);
    buf_release(&line);
    aws_sso_token_release(&token);
    return err;
}

static void sso_explain(const struct sso *s, char *why, size_t why_size) {
    char message[200], details[220];
    if (!s->call.ended || s->call.error) {
        snprintf(details, sizeof details, "%.200s", why);
        snprintf(why, why_size, "needs its portal, which %s", details);
    } else if (s->call.status == 401) {
        snprintf(why, why_size, "has a login that is no longer valid; " NEW_LOGIN, s->profile);
    } else {
        aws_sso_message_parse(buf_slice(&s->call.body), message, sizeof message);
        snprintf(why, why_size, "is refused by its portal: %ld%s%s", s->call.status, message[0] ? " " : "", message);
    }
}

static int sso_step(struct aws_source *base, int wait_ms, struct aws_fresh_keys *keys, char *why, size_t why_size) {
    struct sso *s = (struct sso *)base;
    *keys = (struct aws_fresh_keys){0};
    int err = s->requested ? 0 : sso_start_request(s, why, why_size);
    if (err)
        return err;
    s->requested = true;
    err = aws_call_wait(&s->call, s->http, wait_ms, why, why_size);
    if (err == ERR_AGAIN)
        return err;
    if (err) {
        sso_explain(s, why, why_size);
    } else {
        err = aws_sso_keys_parse(buf_slice(&s->call.body), keys);
        if (err)
            snprintf(why, why_size, "got an answer from its portal that cannot be read");
    }
    aws_call_release(&s->call, s->http);
    s->requested = false;
    return err;
}

static void sso_destroy(struct aws_source *base) {
    struct sso *s = (struct sso *)base;
    aws_call_release(&s->call, s->http);
    free(s->url);
    free(s->token_path);
    free(s->profile);
    free(s);
}

static int sso_add_url(const struct aws_sso *sso, struct buf *url) {
    int err = buf_addf(url, "%sfederation/credentials?account_id=", sso->portal_url);
    if (!err)
        err = percent_encode(url, slice_of(sso->account_id), false);
    if (!err)
        err = buf_add_text(url, "&role_name=");
    return err ? err : percent_encode(url, slice_of(sso->role_name), false);
}

int aws_sso_new(struct aws_source **out, struct http *http, const struct aws_sso *sso) {
    static const struct aws_source_ops ops = {"SSO", sso_step, sso_destroy};
    struct sso *s = calloc(1, sizeof *s);
    struct buf url = BUF_INIT, path = BUF_INIT, profile = BUF_INIT;
    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    *s = (struct sso){.base = {&ops}, .http = http};
    int err = sso_add_url(sso, &url);
    if (!err)
        err = sso_token_path(sso, &path);
    if (!err)
        err = text_add_printable(&profile, slice_of(sso->profile));
    s->url = url.data;
    s->token_path = path.data;
    s->profile = profile.data;
    if (err) {
        sso_destroy(&s->base);
        return err;
    }
    *out = &s->base;
    return 0;
}
