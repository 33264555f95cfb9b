/*
 * IAM Identity Center ("SSO"): the portal gives the keys of a role for the access token of a login
 * ("IAM Identity Center credential provider", AWS SDKs and Tools reference guide). The login is read
 * for each request, so a new one counts at once. That of an sso_session is renewed 15 minutes before
 * its end, as botocore does it.
 */
#ifndef CHUNKLIFT_AWS_SSO_H
#define CHUNKLIFT_AWS_SSO_H

#include "uploader/aws/aws_source.h"

struct aws_sso {
    const char *profile;             /* for the command that is advised */
    const char *session, *start_url; /* session NULL: the older form, with a start URL in the profile */
    const char *account_id, *role_name;
    const char *portal_url, *oidc_url; /* with a slash at the end */
};
/* Copies the texts. ERR_NOMEM; ERR_DENIED: the library forbids SHA-1. */
int aws_sso_new(struct aws_source **s, struct http *http, const struct aws_sso *sso) MUST_CHECK;

/* --- the documents (aws_json.c) --- */

/* The reply of GetRoleCredentials. ERR_INVALID: no keys in it; ERR_NOMEM. */
int aws_sso_keys_parse(struct slice json, struct aws_fresh_keys *keys) MUST_CHECK;
/* The message of an error reply, printable; empty: none. */
void aws_sso_message_parse(struct slice json, char *message, size_t size);

#endif
