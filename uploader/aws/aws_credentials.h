/*
 * Credentials of the destination, in botocore's order as far as it goes here: environment (not when a profile was named
 * on the command line), web identity, ~/.aws/credentials, credential_process, ~/.aws/config, a container's endpoint,
 * instance metadata. Profiles that assume a role with other keys, or use SSO, are refused by name.
 *
 * Nothing blocks: what has to be fetched (aws_source.h) is fetched beside the loop. Secrets stay in this object and in
 * the requests signed with them; no text made here holds one.
 */
#ifndef CHUNKLIFT_AWS_CREDENTIALS_H
#define CHUNKLIFT_AWS_CREDENTIALS_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct aws_credentials; /* opaque */

enum aws_state {
    AWS_READY,
    AWS_PENDING, /* they are being fetched */
    AWS_MISSING, /* aws_credentials_problem says why */
};
struct aws_keys {
    const char *access_key, *secret_key, *session_token; /* session_token: NULL or text */
};

/* profile: --profile, or NULL (then AWS_PROFILE, else "default"). Looks at environment and files at once; that nothing
 * is found is no error here. */
struct http; /* uploader/http/http.h; NULL: no source that needs HTTP is used */
int aws_credentials_new(struct aws_credentials **c, const char *profile, struct http *http) MUST_CHECK;
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
/* The store said that those of that generation have expired: true when there are others or they are being made (try
 * again at once). */
bool aws_credentials_expired(struct aws_credentials *c, uint64_t generation);
/* The store refused those of that generation: true when their file holds others by now. */
bool aws_credentials_replaced(struct aws_credentials *c, uint64_t generation);
/* NULL when there never were keys, or they cannot change while the program runs; else where new ones come from, for
 * people. */
const char *aws_credentials_renewed_from(const struct aws_credentials *c);

#endif
