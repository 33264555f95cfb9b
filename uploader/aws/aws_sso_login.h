/*
 * The login that `aws sso login` leaves in ~/.aws/sso/cache. Other programs read and replace the
 * file as well. A login of an sso_session can be renewed without the user; the file is locked
 * (flock) while chunklift does that, because the token for a renewal is valid once.
 */
#ifndef CHUNKLIFT_AWS_SSO_LOGIN_H
#define CHUNKLIFT_AWS_SSO_LOGIN_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

struct aws_sso_token {
    char *access_token;
    int64_t expires_us; /* CLOCK_REALTIME */
    /* For a renewal; NULL or 0: not in the file. */
    char *refresh_token, *client_id, *client_secret;
    int64_t registration_expires_us;
};
void aws_sso_token_release(struct aws_sso_token *t); /* overwrites, then frees */

struct aws_sso_login {
    int fd; /* -1: closed */
    struct buf text;
    struct aws_sso_token token;
};

/* Appends the path of a login: its name is that of the session, or the start URL. ERR_NOMEM. */
int aws_sso_login_path(struct buf *path, const char *name) MUST_CHECK;
/* Reads the file, which stays open. ERR_NOT_FOUND: there is none. ERR_INVALID: it is no login.
 * ERR_DENIED, ERR_IO, ERR_LIMIT, ERR_NOMEM. */
int aws_sso_login_open(struct aws_sso_login *l, const char *path) MUST_CHECK;
/* A renewed login can be written. Without that no renewal is asked for: the token for it is valid once, and the user's other
 * programs would lose the login. */
bool aws_sso_login_is_replaceable(const char *path);
/* True: this program may renew the login until it closes it. False: another program renews it, or
 * has done so since it was opened. Where the file system has no such locks, there is no protection. */
bool aws_sso_login_lock(struct aws_sso_login *l, const char *path);
/* Takes the token over, and writes it to the file, whose other members stay. A failure is logged; the token
 * is then known to this program only. */
void aws_sso_login_replace(struct aws_sso_login *l, const char *path, struct aws_sso_token *fresh);
void aws_sso_login_close(struct aws_sso_login *l);

/* --- the documents (aws_json.c) --- */

/* A login. ERR_INVALID: there is no token in it; ERR_NOMEM. */
int aws_sso_token_parse(struct slice json, struct aws_sso_token *t) MUST_CHECK;
/* The reply to a renewal (CreateToken, IAM Identity Center OIDC API reference). Errors as above. */
int aws_sso_renewal_parse(struct slice json, int64_t now_us, struct aws_sso_token *t) MUST_CHECK;
/* Appends the login with another access token, its end, and the token for the next renewal.
 * ERR_INVALID, ERR_NOMEM. */
int aws_sso_login_rewrite(struct slice json, const struct aws_sso_token *fresh, struct buf *out) MUST_CHECK;

#endif
