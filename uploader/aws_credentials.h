/*
 * Credentials of the destination, in botocore's order as far as it goes here: environment (not when a profile was named
 * on the command line), ~/.aws/credentials, credential_process, ~/.aws/config. Profiles that assume a role, or use web
 * identity or SSO, are refused by name; container and instance metadata are not asked.
 *
 * Nothing blocks: a credential_process runs beside the loop. Secrets stay in this object and in the requests signed
 * with them; no text made here holds one.
 */
#ifndef CHUNKLIFT_AWS_CREDENTIALS_H
#define CHUNKLIFT_AWS_CREDENTIALS_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct aws_credentials; /* opaque */

enum aws_state {
    AWS_READY,
    AWS_PENDING, /* a credential_process is to run or runs */
    AWS_MISSING, /* aws_credentials_problem says why */
};
struct aws_keys {
    const char *access_key, *secret_key, *session_token; /* session_token: NULL or text */
};

/* profile: --profile, or NULL (then AWS_PROFILE, else "default"). Looks at environment and files at once; that nothing
 * is found is no error here. */
int aws_credentials_new(struct aws_credentials **c, const char *profile) MUST_CHECK;
void aws_credentials_destroy(struct aws_credentials **c);

/* Drives what is under way: starts, polls (waiting up to wait_ms while nothing usable is there), refreshes five minutes
 * before the end. AWS_MISSING looks at the files again every few seconds. */
enum aws_state aws_credentials_step(struct aws_credentials *c, int wait_ms);
/* CHECKs AWS_READY; valid until the next step. */
struct aws_keys aws_credentials_keys(const struct aws_credentials *c);
/* One line, no secrets. */
const char *aws_credentials_problem(const struct aws_credentials *c);

/* Counts up with every change of the keys. */
uint64_t aws_credentials_generation(const struct aws_credentials *c);
/* The store said that those of that generation have expired: true when there are or may soon be others (try again). */
bool aws_credentials_expired(struct aws_credentials *c, uint64_t generation);

#endif
