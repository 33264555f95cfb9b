/*
 * The source of keys (aws_source.h) that a profile of ~/.aws names, and the chain of profiles
 * behind a role. Settings that contradict each other, or that chunklift cannot use, are a problem:
 * the profile is then not used in another way, which could give other rights.
 */
#ifndef CHUNKLIFT_AWS_PROFILE_SOURCE_H
#define CHUNKLIFT_AWS_PROFILE_SOURCE_H

#include "uploader/aws/aws_source.h"

#define AWS_ROLES_MAX 5 /* of a chain */

/* The sources of one program: their STS is that of the program's profile, also in a chain. */
struct aws_program {
    struct http *http;
    const char *profile_option; /* --profile; NULL: none */
    const char *region;         /* --region; NULL: none */
    char *problem;              /* gets one line */
    size_t problem_size;
};

/*
 * The sources in the order of botocore: first a role (role_arn without web_identity_token_file),
 * then web identity or SSO, later the credential_process. *s is NULL when the profile has no such setting,
 * and when there is a problem. ERR_NOMEM.
 */
int aws_profile_role_new(struct aws_source **s, const struct aws_program *p, const char *profile) MUST_CHECK;
int aws_profile_token_new(struct aws_source **s, const struct aws_program *p, const char *profile) MUST_CHECK;
int aws_profile_process_new(struct aws_source **s, const struct aws_program *p, const char *profile) MUST_CHECK;

/* Web identity of the environment; NULL as above. */
int aws_environment_token_new(struct aws_source **s, const struct aws_program *p) MUST_CHECK;

#endif
