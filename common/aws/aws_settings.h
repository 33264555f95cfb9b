/*
 * Settings of an S3 store from the environment and a profile of ~/.aws, except its keys. The order
 * is botocore's: first the environment, then the profile. The uploader reads all of them, the
 * producer only the endpoint.
 */
#ifndef CHUNKLIFT_AWS_SETTINGS_H
#define CHUNKLIFT_AWS_SETTINGS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

struct aws_settings {
    char *profile;          /* its name; never NULL after aws_settings_read */
    bool profile_named;     /* by option or environment: a missing profile is an error */
    char *endpoint_url;     /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, `services` section, profile; NULL: none */
    char *sts_endpoint_url; /* AWS_ENDPOINT_URL_STS, then as endpoint_url; NULL: none */
    const char *sts_endpoint_from;
    char *sts_regional_endpoints; /* AWS_STS_REGIONAL_ENDPOINTS, profile; NULL: none */
    const char *sts_regional_from;
    char *sso_endpoint_url; /* AWS_ENDPOINT_URL_SSO, then as endpoint_url; NULL: none */
    const char *sso_endpoint_from;
    char *sso_oidc_endpoint_url; /* AWS_ENDPOINT_URL_SSO_OIDC, the same */
    const char *sso_oidc_endpoint_from;
    const char *endpoint_from; /* the origin of endpoint_url, for messages */
    char *region;              /* AWS_REGION, AWS_DEFAULT_REGION, profile; trimmed; NULL: none */
    const char *region_from;
    char *ca_bundle; /* AWS_CA_BUNDLE, profile; NULL: none */
    const char *ca_bundle_from;
    char *addressing_style;
    bool checksums_when_required; /* AWS_REQUEST_CHECKSUM_CALCULATION, profile: only where a request requires them */
    /* One line each; empty: no problem. */
    char problem[640];          /* the profile cannot be used */
    char endpoint_problem[640]; /* the profile cannot be used without --endpoint-url */
};

/* profile: the option --profile, or NULL (then AWS_PROFILE, else "default"). ERR_NOMEM only; errors
 * of the configuration are in the two problems. */
int aws_settings_read(struct aws_settings *s, const char *profile) MUST_CHECK;
void aws_settings_release(struct aws_settings *s);

/* The name of the profile: --profile, AWS_PROFILE, AWS_DEFAULT_PROFILE, or "default". *named: one
 * of the first three. */
const char *aws_profile_name(const char *option, bool *named);

/* Sets *url to the S3 endpoint in its normal form (s3_url_add_normal): option, else aws_settings,
 * else Amazon. ERR_USAGE: the endpoint or the configuration is not valid; logged without passwords.
 * ERR_NOMEM. */
int aws_endpoint_choose(const char *option, const char *profile, struct buf *url) MUST_CHECK;

/* A variable of the environment; NULL: missing or empty. */
const char *aws_environment(const char *name);

#endif
