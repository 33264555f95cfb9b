#include "uploader/aws/aws_source.h"
#include "pure/text.h"
#include "system/file_io.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void secret_release(char **secret) {
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

void aws_fresh_keys_release(struct aws_fresh_keys *k) {
    secret_release(&k->access_key);
    secret_release(&k->secret_key);
    secret_release(&k->session_token);
    k->expires_us = 0;
}

/* --- names --- */

const char *aws_source_name(const struct aws_source *s) {
    return s->name[0] ? s->name : s->ops->name;
}

int aws_source_name_profile(struct aws_source *s, const char *profile) {
    struct buf name = BUF_INIT;
    int err = text_add_printable(&name, slice_of(profile));
    if (!err)
        snprintf(s->name, sizeof s->name, "%s of profile %.48s", s->ops->name, name.data ? name.data : "");
    buf_release(&name);
    return err;
}

void aws_source_destroy(struct aws_source *s) {
    if (s)
        s->ops->destroy(s);
}

/* --- services of Amazon --- */

/* The domains of the partitions ("Partitions" in the AWS SDKs' endpoint rules). */
static const struct {
    const char *region_start, *domain;
} partitions[] = {
    {"cn-", "amazonaws.com.cn"},   {"eusc-", "amazonaws.eu"},      {"us-iso-", "c2s.ic.gov"},
    {"us-isob-", "sc2s.sgov.gov"}, {"eu-isoe-", "cloud.adc-e.uk"}, {"us-isof-", "csp.hci.ic.gov"},
};

int aws_service_url(char url[AWS_URL_SIZE], const char *service, const char *region) {
    const char *domain = "amazonaws.com";
    for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++)
        if (strncmp(region, partitions[i].region_start, strlen(partitions[i].region_start)) == 0)
            domain = partitions[i].domain;
    int len = snprintf(url, AWS_URL_SIZE, "https://%s.%s.%s/", service, region, domain);
    return len < 0 || (size_t)len >= AWS_URL_SIZE ? ERR_LIMIT : 0;
}

int aws_named_url(char url[AWS_URL_SIZE], const char *service, const char *named, const char *from, char *problem,
                  size_t problem_size) {
    struct s3_url parts;
    struct buf text = BUF_INIT;
    const char *wrong = s3_url_parse(slice_of(named), &parts);
    int err = wrong ? ERR_INVALID : s3_url_add_normal(&text, &parts);
    if (wrong) {
        bool known = s3_url_add_shown(&text, slice_of(named)) == 0;
        snprintf(problem, problem_size, "%s %.200s cannot be the endpoint of %s: %s", from, known ? text.data : "",
                 service, wrong);
    }
    if (!err)
        snprintf(url, AWS_URL_SIZE, "%s/", text.data);
    buf_release(&text);
    return err;
}

/* --- one request --- */

static void aws_call_release_body(struct aws_call *c) {
    if (c->body.data)
        explicit_bzero(c->body.data, c->body.cap);
    buf_release(&c->body);
}

static void aws_call_done(void *arg, const struct http_reply *r) {
    struct aws_call *c = arg;
    c->transfer = NULL;
    c->ended = true;
    c->error = r->error ? r->error : buf_add_slice(&c->body, r->body);
    c->status = r->status;
    snprintf(c->message, sizeof c->message, "%.*s", (int)sizeof c->message - 1, r->message);
}

int aws_call_start(struct aws_call *c, struct http *http, struct http_request *r) {
    aws_call_release_body(c);
    c->ended = false;
    r->body_length = r->text.len;
    r->fresh_connection = true;
    r->reply_max = AWS_JSON_MAX;
    r->done = aws_call_done;
    r->arg = c;
    return http_start(http, r, &c->transfer);
}

int aws_call_wait(struct aws_call *c, struct http *http, int wait_ms, char *why, size_t why_size) {
    if (!c->ended && wait_ms > 0)
        http_wait(http, NULL, 0, wait_ms);
    if (!c->ended)
        return ERR_AGAIN;
    if (c->error) {
        struct buf text = BUF_INIT;
        int err = text_add_printable(&text, slice_of(c->message));
        snprintf(why, why_size, "cannot be reached: %.120s", err || !text.data ? err_text(c->error) : text.data);
        buf_release(&text);
        return ERR_IO;
    }
    if (c->status / 100 == 2)
        return 0;
    snprintf(why, why_size, "answers with HTTP status %ld", c->status);
    return ERR_IO;
}

void aws_call_release(struct aws_call *c, struct http *http) {
    if (c->transfer)
        http_cancel(http, c->transfer);
    c->transfer = NULL;
    c->ended = false;
    aws_call_release_body(c);
}

/* --- tokens in files --- */

int aws_token_read(const char *path, struct buf *token, char *why, size_t why_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int err = fd == -1 ? err_from_errno(errno) : buf_reserve(token, 2 * AWS_JSON_MAX); /* growing would leave copies */
    if (!err)
        err = file_read_all(fd, token, AWS_JSON_MAX);
    if (err)
        snprintf(why, why_size, "has a token file that cannot be read: %.100s",
                 err == ERR_LIMIT || err == ERR_NOMEM ? err_text(err) : strerror(errno));
    if (fd != -1)
        close(fd);
    while (!err && token->len && strchr(" \t\r\n", token->data[token->len - 1]))
        token->data[--token->len] = 0;
    if (!err && (token->len == 0 || memchr(token->data, 0, token->len))) {
        snprintf(why, why_size, "has a token file that is empty or contains a NUL");
        err = ERR_INVALID;
    }
    return err;
}
