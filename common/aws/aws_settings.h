/*
 * What the environment and a profile of ~/.aws say about an S3 store, apart from its keys; in botocore's order:
 * environment first, then the profile. Read by the uploader, and by the producer for the endpoint.
 */
#ifndef CHUNKLIFT_AWS_SETTINGS_H
#define CHUNKLIFT_AWS_SETTINGS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

struct aws_settings {
    char *profile;      /* the one in force; never NULL after aws_settings_read */
    bool profile_named; /* by option or environment: a profile that is missing is an error */
    char *endpoint_url; /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, `services` section, profile; NULL: none */
    char *sts_endpoint_url;
    const char *endpoint_from; /* for messages: where endpoint_url was found */
    char *region;              /* AWS_REGION, AWS_DEFAULT_REGION, profile; without blanks around it; NULL: none */
    const char *region_from;
    char *ca_bundle; /* AWS_CA_BUNDLE, profile; NULL: none */
    const char *ca_bundle_from;
    char *addressing_style;
    bool checksums_when_required; /* AWS_REQUEST_CHECKSUM_CALCULATION, profile: only where a request requires them */
    /* One line each, empty: nothing is wrong. */
    char problem[640];          /* the profile cannot be used */
    char endpoint_problem[640]; /* the same where no --endpoint-url is given */
};

/* profile: the option --profile, or NULL (then AWS_PROFILE, else "default"). ERR_NOMEM only; what is wrong with the
 * configuration itself is in the two problems. */
int aws_settings_read(struct aws_settings *s, const char *profile) MUST_CHECK;
void aws_settings_release(struct aws_settings *s);

/* --profile, AWS_PROFILE, AWS_DEFAULT_PROFILE, "default"; *named: it is one of the first three. */
const char *aws_profile_in_force(const char *option, bool *named);

/* The S3 endpoint in force in its normal form (s3_url_add_normal) in place of what *url held: option, else
 * aws_settings, else Amazon. ERR_USAGE, logged without any password: it is not valid, or the configuration is not. */
int aws_endpoint_settle(const char *option, const char *profile, struct buf *url) MUST_CHECK;

/* A variable of the environment; NULL when it is missing or empty. */
const char *aws_environment(const char *name);

#endif
