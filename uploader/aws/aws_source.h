/*
 * Sources of credentials that have to be fetched: a program, or an HTTP service. One file for each:
 *
 *   aws_process.c       credential_process
 *   aws_assume_role.c   role_arn: AssumeRole at STS, with the keys of another source
 *   aws_sso.c           sso_session, sso_start_url: the login of `aws sso login` (aws_sso_login.c)
 *   aws_web_identity.c  AWS_WEB_IDENTITY_TOKEN_FILE: AssumeRoleWithWebIdentity at STS
 *   aws_container.c     AWS_CONTAINER_CREDENTIALS_*: the endpoint of ECS and EKS
 *   aws_imds.c          instance metadata of EC2, version 2
 *   aws_keys.c          keys that are written down, for a role
 *
 * aws_profile_source.c makes those that a profile names. aws_credentials.c chooses one and drives
 * it. No call blocks longer than the caller allows. Requests run in the HTTP engine, which the
 * caller drives.
 */
#ifndef CHUNKLIFT_AWS_SOURCE_H
#define CHUNKLIFT_AWS_SOURCE_H

#include "aws/aws_config.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "pure/s3_endpoint.h"
#include "uploader/http/http.h"
#include <stdbool.h>
#include <stdint.h>

struct aws_fresh_keys {
    char *access_key, *secret_key, *session_token; /* session_token may be NULL */
    int64_t expires_us;                            /* CLOCK_REALTIME; 0: never */
};
void aws_fresh_keys_release(struct aws_fresh_keys *k); /* overwrites, then frees */

struct aws_source;
struct aws_source_ops {
    const char *name; /* for messages: "the credential_process", "web identity" */
    /* Starts or continues to fetch; waits up to wait_ms. ERR_AGAIN: not done yet; 0: *keys is set.
     * Another error: it failed, why gets one line without secrets that continues the name ("ended
     * with exit status 1"), and the next step starts again. */
    int (*step)(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why, size_t why_size);
    void (*destroy)(struct aws_source *s); /* cancels a fetch in progress */
};
#define AWS_SOURCE_NAME_SIZE 96
struct aws_source {
    const struct aws_source_ops *ops;
    char name[AWS_SOURCE_NAME_SIZE]; /* "the credential_process of profile p"; empty: that of ops */
    const struct aws_source *from;   /* of a role: the source of the keys that sign its request; else NULL */
};
const char *aws_source_name(const struct aws_source *s);
/* Adds the profile to its name. ERR_NOMEM. */
int aws_source_name_profile(struct aws_source *s, const char *profile) MUST_CHECK;
/* s may be NULL. */
void aws_source_destroy(struct aws_source *s);

/* All constructors: ERR_NOMEM. */
int aws_process_source_new(struct aws_source **s, const char *command) MUST_CHECK;
/* Splits like a POSIX shell, without expansion: quotes and backslashes. *words is NULL-terminated
 * and one block of memory to free(). ERR_INVALID: a quote is not closed, or there is no word.
 * ERR_NOMEM. */
int aws_command_split(const char *command, char ***words) MUST_CHECK;

/* A role at STS. The constructors copy the texts. */
struct aws_sts; /* aws_sts.h */
struct aws_role {
    const char *arn, *session_name; /* session_name NULL: generated */
    const char *external_id;        /* NULL: none */
    unsigned duration_s;            /* 0: as STS decides */
};
int aws_web_identity_new(struct aws_source **s, struct http *http, const struct aws_sts *sts,
                         const struct aws_role *role, const char *token_file) MUST_CHECK;
/* Takes over `from`, also on an error. */
int aws_assume_role_new(struct aws_source **s, struct http *http, const struct aws_sts *sts,
                        const struct aws_role *role, struct aws_source *from) MUST_CHECK;

/* True: the environment names the endpoint of a container agent. */
bool aws_container_is_configured(void);
int aws_container_new(struct aws_source **s, struct http *http) MUST_CHECK;

/* False: AWS_EC2_METADATA_DISABLED is true. */
bool aws_imds_is_enabled(void);
int aws_imds_new(struct aws_source **s, struct http *http) MUST_CHECK;

/* --- shared by the sources (aws_source.c, aws_json.c) --- */

#define AWS_URL_SIZE (S3_URL_MAX + 2)
/* The URL of a service of Amazon in a region, with a slash at the end. ERR_LIMIT. */
int aws_service_url(char url[AWS_URL_SIZE], const char *service, const char *region) MUST_CHECK;
/* The same of an endpoint that a setting names. from: the setting; service: its name for people. ERR_INVALID: problem gets
 * one line. ERR_NOMEM. */
int aws_named_url(char url[AWS_URL_SIZE], const char *service, const char *named, const char *from, char *problem,
                  size_t problem_size) MUST_CHECK;

/* One HTTP request of a source. */
struct aws_call {
    struct http_transfer *transfer; /* NULL: not in flight */
    bool ended;
    int error;
    long status;
    struct buf body;
    char message[128];
};
/* r has method, url, headers, credentials, text and timeout; the other fields are filled in. */
int aws_call_start(struct aws_call *c, struct http *http, struct http_request *r) MUST_CHECK;
/* 0: status and body are set. ERR_AGAIN: no reply yet. ERR_IO: no reply, or a status other than
 * 2xx; why gets one line. */
int aws_call_wait(struct aws_call *c, struct http *http, int wait_ms, char *why, size_t why_size) MUST_CHECK;
void aws_call_release(struct aws_call *c, struct http *http);

/* The JSON of a credential_process, and of container and instance metadata (which calls the session
 * token "Token"). */
int aws_process_parse(struct slice json, struct aws_fresh_keys *r, char *why, size_t why_size) MUST_CHECK;
int aws_metadata_parse(struct slice json, struct aws_fresh_keys *r, char *why, size_t why_size) MUST_CHECK;
#define AWS_JSON_MAX (64u << 10) /* bytes */

/* Appends a token from a file, without trailing white space. ERR_IO, ERR_LIMIT, ERR_INVALID,
 * ERR_NOMEM; why gets one line. */
int aws_token_read(const char *path, struct buf *token, char *why, size_t why_size) MUST_CHECK;

#endif
