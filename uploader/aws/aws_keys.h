/*
 * Keys that are written down: in the environment, or in a profile of ~/.aws. As sources
 * (aws_source.h) they sign the request for a role. They are read again for each such request, so
 * that a changed file counts, and no secret is kept between two requests.
 */
#ifndef CHUNKLIFT_AWS_KEYS_H
#define CHUNKLIFT_AWS_KEYS_H

#include "uploader/aws/aws_source.h"

struct aws_keys {
    const char *access_key, *secret_key, *session_token; /* NULL: none */
};

struct aws_keys aws_environment_keys(void);
/* Those of one file; valid as long as p. */
struct aws_keys aws_profile_keys(const struct aws_profile *p);

/* ERR_NOMEM. */
int aws_environment_keys_new(struct aws_source **s) MUST_CHECK;
int aws_profile_keys_new(struct aws_source **s, const char *profile, enum aws_file file) MUST_CHECK;

#endif
