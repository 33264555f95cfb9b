#include "uploader/aws/aws_sso.h"
#include "pure/percent.h"
#include "pure/text.h"
#include "system/clock.h"
#include "uploader/aws/aws_sso_login.h"
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 10000
#define RENEW_BEFORE_US ((int64_t)15 * 60 * 1000000)
#define OTHER_RENEWAL_MS 15000 /* by another program */
#define NEW_LOGIN "run 'aws sso login --profile %.100s'"

enum sso_request { SSO_NONE, SSO_RENEWAL, SSO_KEYS };

struct sso {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_call call;
    enum sso_request request;   /* in flight */
    struct aws_sso_login login; /* open until the request for keys is sent */
    struct buf form;            /* of a renewal */
    uint64_t other_since_ms;    /* another program renews the login; 0: none does */
    char *keys_url, *renewal_url, *login_path, *profile;
};

static void sso_end_request(struct sso *s) {
    aws_call_release(&s->call, s->http);
    if (s->form.data)
        explicit_bzero(s->form.data, s->form.cap);
    buf_release(&s->form);
    s->request = SSO_NONE;
}

/* --- the request for keys --- */

static int sso_request_keys(struct sso *s) {
    struct buf line = BUF_INIT;
    int err = buf_reserve(&line, strlen(s->login.token.access_token) + 64); /* growing would leave copies */
    if (!err)
        err = buf_addf(&line, "x-amz-sso_bearer_token: %s", s->login.token.access_token);
    const char *const headers[] = {line.data, NULL};
    struct http_request r = {
        .method = "GET", .url = s->keys_url, .headers = headers, .response_timeout_ms = TIMEOUT_MS};
    if (!err)
        err = aws_call_start(&s->call, s->http, &r);
    if (line.data)
        explicit_bzero(line.data, line.cap);
    buf_release(&line);
    aws_sso_login_close(&s->login);
    if (!err)
        s->request = SSO_KEYS;
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

static int sso_take_keys(struct sso *s, int err, struct aws_fresh_keys *keys, char *why, size_t why_size) {
    if (err) {
        sso_explain(s, why, why_size);
        return err;
    }
    err = aws_sso_keys_parse(buf_slice(&s->call.body), keys);
    if (err)
        snprintf(why, why_size, "got an answer from its portal that cannot be read");
    return err;
}

/* --- the renewal of the login --- */

static bool sso_can_renew(const struct sso *s, int64_t now_us) {
    const struct aws_sso_token *t = &s->login.token;
    return s->renewal_url && t->refresh_token && t->client_id && t->client_secret &&
           t->registration_expires_us > now_us && aws_sso_login_is_replaceable(s->login_path);
}

static int sso_form_add(struct buf *form, const char *name, const char *value) {
    int err = buf_addf(form, "%c\"%s\":", form->len ? ',' : '{', name);
    return err ? err : json_add_string(form, slice_of(value));
}

static int sso_request_renewal(struct sso *s) {
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct aws_sso_token *t = &s->login.token;
    int err = buf_reserve(&s->form, 2 * AWS_JSON_MAX); /* growing would leave copies */
    if (!err)
        err = sso_form_add(&s->form, "grantType", "refresh_token");
    if (!err)
        err = sso_form_add(&s->form, "clientId", t->client_id);
    if (!err)
        err = sso_form_add(&s->form, "clientSecret", t->client_secret);
    if (!err)
        err = sso_form_add(&s->form, "refreshToken", t->refresh_token);
    if (!err)
        err = buf_add_byte(&s->form, '}');
    struct http_request r = {.method = "POST",
                             .url = s->renewal_url,
                             .headers = headers,
                             .text = buf_slice(&s->form),
                             .response_timeout_ms = TIMEOUT_MS};
    if (!err)
        err = aws_call_start(&s->call, s->http, &r);
    if (!err)
        s->request = SSO_RENEWAL;
    return err;
}

/* The present login is used as long as it is valid, whatever became of the renewal. */
static int sso_take_renewal(struct sso *s, int err, char *why, size_t why_size) {
    struct aws_sso_token fresh = {0};
    char message[120] = "";
    int64_t now_us = clock_real_us();
    if (s->call.error)
        snprintf(message, sizeof message, "%s", why);
    else if (err)
        aws_sso_message_parse(buf_slice(&s->call.body), message, sizeof message);
    if (!err)
        err = aws_sso_renewal_parse(buf_slice(&s->call.body), now_us, &fresh);
    if (!err)
        aws_sso_login_replace(&s->login, s->login_path, &fresh);
    sso_end_request(s);
    if (s->login.token.expires_us > now_us) {
        err = sso_request_keys(s);
        return err ? err : ERR_AGAIN;
    }
    snprintf(why, why_size, "has a login that has expired and is not renewed%s%s; " NEW_LOGIN, message[0] ? ": " : "",
             message, s->profile);
    return ERR_DENIED;
}

/* ERR_AGAIN: the login is read again with the next step. */
static int sso_wait_for_other(struct sso *s, int wait_ms, char *why, size_t why_size) {
    uint64_t now_ms = clock_ms();
    s->other_since_ms = s->other_since_ms ? s->other_since_ms : now_ms;
    if (now_ms - s->other_since_ms >= OTHER_RENEWAL_MS) {
        snprintf(why, why_size, "has a login that another program has locked for %d s", OTHER_RENEWAL_MS / 1000);
        return ERR_DENIED;
    }
    aws_sso_login_close(&s->login);
    if (wait_ms > 0)
        http_wait(s->http, NULL, 0, wait_ms);
    return ERR_AGAIN;
}

/* --- the source --- */

static int sso_open_login(struct sso *s, char *why, size_t why_size) {
    int err = aws_sso_login_open(&s->login, s->login_path);
    if (err == ERR_NOT_FOUND)
        snprintf(why, why_size, "has no login; " NEW_LOGIN, s->profile);
    else if (err)
        snprintf(why, why_size, "has a login that cannot be read; " NEW_LOGIN, s->profile);
    return err;
}

/* 0: a request is in flight. */
static int sso_begin(struct sso *s, int wait_ms, char *why, size_t why_size) {
    int64_t now_us = clock_real_us();
    int err = sso_open_login(s, why, why_size);
    if (err)
        return err;
    bool over = s->login.token.expires_us <= now_us;
    if (s->login.token.expires_us - RENEW_BEFORE_US <= now_us && sso_can_renew(s, now_us)) {
        if (aws_sso_login_lock(&s->login, s->login_path))
            return sso_request_renewal(s);
        if (over)
            return sso_wait_for_other(s, wait_ms, why, why_size);
    }
    if (!over)
        return sso_request_keys(s);
    snprintf(why, why_size, "has a login that has expired; " NEW_LOGIN, s->profile);
    return ERR_DENIED;
}

static void sso_reset(struct sso *s) {
    sso_end_request(s);
    aws_sso_login_close(&s->login);
    s->other_since_ms = 0;
}

static int sso_step(struct aws_source *base, int wait_ms, struct aws_fresh_keys *keys, char *why, size_t why_size) {
    struct sso *s = (struct sso *)base;
    *keys = (struct aws_fresh_keys){0};
    int err = 0;
    if (s->request == SSO_NONE) {
        err = sso_begin(s, wait_ms, why, why_size);
        if (!err)
            return ERR_AGAIN;
    } else {
        err = aws_call_wait(&s->call, s->http, wait_ms, why, why_size);
        if (err == ERR_AGAIN)
            return err;
        err = s->request == SSO_RENEWAL ? sso_take_renewal(s, err, why, why_size)
                                        : sso_take_keys(s, err, keys, why, why_size);
    }
    if (err != ERR_AGAIN)
        sso_reset(s);
    return err;
}

static void sso_destroy(struct aws_source *base) {
    struct sso *s = (struct sso *)base;
    sso_reset(s);
    free(s->keys_url);
    free(s->renewal_url);
    free(s->login_path);
    free(s->profile);
    free(s);
}

static int sso_add_keys_url(const struct aws_sso *sso, struct buf *url) {
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
    struct buf keys_url = BUF_INIT, renewal_url = BUF_INIT, path = BUF_INIT, profile = BUF_INIT;
    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    *s = (struct sso){.base = {&ops}, .http = http, .login = {.fd = -1}};
    int err = sso_add_keys_url(sso, &keys_url);
    if (!err && sso->session)
        err = buf_addf(&renewal_url, "%stoken", sso->oidc_url);
    if (!err)
        err = aws_sso_login_path(&path, sso->session ? sso->session : sso->start_url);
    if (!err)
        err = text_add_printable(&profile, slice_of(sso->profile));
    s->keys_url = keys_url.data;
    s->renewal_url = renewal_url.data;
    s->login_path = path.data;
    s->profile = profile.data;
    if (err) {
        sso_destroy(&s->base);
        return err;
    }
    *out = &s->base;
    return 0;
}
