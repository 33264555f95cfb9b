/* The XML documents of STS replies (AssumeRoleWithWebIdentity, AWS STS API reference). */
#ifndef CHUNKLIFT_AWS_STS_H
#define CHUNKLIFT_AWS_STS_H

#include "uploader/aws/aws_source.h"

/* <AssumeRoleWithWebIdentityResponse>. Errors as of xml_parse(); ERR_INVALID also for missing keys.
 * On error *keys is unchanged. */
int aws_sts_keys_parse(struct slice body, struct aws_fresh_keys *keys) MUST_CHECK;

struct aws_sts_error { /* <ErrorResponse> */
    char code[64], message[384];
};
int aws_sts_error_parse(struct slice body, struct aws_sts_error *e) MUST_CHECK;

#endif
