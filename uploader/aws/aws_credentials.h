/*
 * Credentials of the destination. The sources, in the order of botocore: environment (unless
 * --profile is given), the role of the profile, web identity, SSO, ~/.aws/credentials,
 * credential_process, ~/.aws/config, the endpoint of a container agent, instance metadata. The first
 * one that is configured is used; if it fails, no other one replaces it, because that could have
 * other rights.
 *
 * Nothing blocks: sources that have to be fetched (aws_source.h) run beside the loop. Secrets stay
 * in this object and in the requests signed with them. No text produced here contains one.
 */
#ifndef CHUNKLIFT_AWS_CREDENTIALS_H
#define CHUNKLIFT_AWS_CREDENTIALS_H

#include "pure/err.h"
#include "uploader/aws/aws_keys.h"
#include <stdbool.h>
#include <stdint.h>

struct aws_credentials; /* opaque */

enum aws_state {
    AWS_READY,
    AWS_PENDING, /* a fetch is in progress */
    AWS_MISSING, /* see aws_credentials_problem */
};
/* profile: --profile, or NULL (then AWS_PROFILE, else "default"). region: --region, or NULL (then
 * that of the settings). Reads environment and files. Missing credentials are no error here.
 * ERR_NOMEM. */
int aws_credentials_new(struct aws_credentials **c, const char *profile, const char *region,
                        struct http *http) MUST_CHECK;
void aws_credentials_destroy(struct aws_credentials **c);

/* Starts and continues fetches; waits up to wait_ms while there are no usable keys. Keys are
 * refreshed five minutes before they expire. With AWS_MISSING the files are read again every few
 * seconds. */
enum aws_state aws_credentials_step(struct aws_credentials *c, int wait_ms);
/* CHECKs AWS_READY; valid until the next step; session_token: NULL or text. */
struct aws_keys aws_credentials_keys(const struct aws_credentials *c);
/* One line, no secrets. */
const char *aws_credentials_problem(const struct aws_credentials *c);

/* Usable keys for people: their source, and no secret. */
struct aws_credentials_facts {
    char source[400];   /* "from the environment" */
    char key_start[5];  /* of the access key id, four characters at most */
    bool has_token;     /* a session token */
    int64_t expires_us; /* CLOCK_REALTIME; 0: not known, or never */
};
/* CHECKs AWS_READY. */
void aws_credentials_describe(const struct aws_credentials *c, struct aws_credentials_facts *f);

/* Incremented with every change of the keys. */
uint64_t aws_credentials_generation(const struct aws_credentials *c);
/* The store reported the keys of that generation as expired. True: there are other keys, or a fetch
 * starts; retry at once. */
bool aws_credentials_expired(struct aws_credentials *c, uint64_t generation);
/* The store refused the keys of that generation. True: their file has other keys now. */
bool aws_credentials_replaced(struct aws_credentials *c, uint64_t generation);
/* The source of renewed keys, for messages. NULL: there never were keys, or they cannot change
 * while the program runs. */
const char *aws_credentials_renewal_source(const struct aws_credentials *c);

#endif
