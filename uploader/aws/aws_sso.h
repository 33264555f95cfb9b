/*
 * IAM Identity Center ("SSO"): the portal gives the keys of a role for the token that `aws sso
 * login` left in ~/.aws/sso/cache ("IAM Identity Center credential provider", AWS SDKs and Tools
 * reference guide). The token is read for each request, so a new login counts at once.
 */
#ifndef CHUNKLIFT_AWS_SSO_H
#define CHUNKLIFT_AWS_SSO_H

#include "uploader/aws/aws_source.h"

struct aws_sso {
    const char *profile;             /* for the command that is advised */
    const char *session, *start_url; /* session NULL: the older form, with a start URL in the profile */
    const char *account_id, *role_name;
    const char *portal_url; /* with a slash at the end */
};
/* Copies the texts. ERR_NOMEM. */
int aws_sso_new(struct aws_source **s, struct http *http, const struct aws_sso *sso) MUST_CHECK;

/* --- the documents --- */

struct aws_sso_token { /* a file of the cache */
    char *access_token;
    int64_t expires_us; /* CLOCK_REALTIME */
};
void aws_sso_token_release(struct aws_sso_token *t); /* overwrites, then frees */
/* ERR_INVALID: no such token; ERR_NOMEM. */
int aws_sso_token_parse(struct slice json, struct aws_sso_token *t) MUST_CHECK;
/* The reply of GetRoleCredentials. ERR_INVALID: no keys in it; ERR_NOMEM. */
int aws_sso_keys_parse(struct slice json, struct aws_fresh_keys *keys) MUST_CHECK;
/* The message of an error reply; empty: none. */
void aws_sso_message_parse(struct slice json, char *message, size_t size);

#endif
