/*
 * Where keys come from that have to be fetched: a program, or a service asked over HTTP. One file for each:
 *
 *   aws_process.c       credential_process
 *   aws_web_identity.c  AWS_WEB_IDENTITY_TOKEN_FILE: AssumeRoleWithWebIdentity at STS
 *   aws_container.c     AWS_CONTAINER_CREDENTIALS_*: the endpoint of ECS and EKS
 *   aws_imds.c          instance metadata of EC2, version 2
 *
 * aws_credentials.c chooses one, and says when it is to fetch. Nothing blocks longer than the caller allows; requests
 * run in the HTTP engine, which the caller drives.
 */
#ifndef CHUNKLIFT_AWS_SOURCE_H
#define CHUNKLIFT_AWS_SOURCE_H

#include "aws/aws_config.h"
#include "pure/buf.h"
#include "pure/err.h"
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
    /* Begins to fetch if nothing is under way, else goes on. ERR_AGAIN while it lasts, after having waited up to
     * wait_ms; 0 with the keys; any other error: it failed, why gets one line without secrets, and the next step begins
     * again. */
    int (*step)(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why, size_t why_size);
    void (*destroy)(struct aws_source *s); /* ends what is under way */
};
struct aws_source {
    const struct aws_source_ops *ops;
};

/* All of these: ERR_NOMEM. http may be NULL where a source that needs it is never stepped. */
int aws_process_source_new(struct aws_source **s, const char *command) MUST_CHECK;

struct aws_web_identity {
    const char *token_file, *role_arn, *session_name; /* session_name NULL: made up */
    const char *endpoint_url;                         /* of STS; NULL: the region's */
    const char *region;                               /* NULL: the default one */
};
int aws_web_identity_new(struct aws_source **s, struct http *http, const struct aws_web_identity *w) MUST_CHECK;

/* True when the environment names a container's endpoint. */
bool aws_container_is_named(void);
int aws_container_new(struct aws_source **s, struct http *http) MUST_CHECK;

/* False when AWS_EC2_METADATA_DISABLED is true. */
bool aws_imds_is_allowed(void);
int aws_imds_new(struct aws_source **s, struct http *http) MUST_CHECK;

/* --- what sources share (aws_source.c) --- */

/* One HTTP request of a source. */
struct aws_call {
    struct http_transfer *transfer; /* NULL: none is under way */
    bool ended;
    int error;
    long status;
    struct buf body;
    char message[128];
};
/* r: method, url, headers, text, timeout; the rest is filled in. */
int aws_call_start(struct aws_call *c, struct http *http, struct http_request *r) MUST_CHECK;
/* ERR_AGAIN; 0: status and body are there; ERR_IO: no reply, or one that is not 2xx, and why says so. */
int aws_call_wait(struct aws_call *c, struct http *http, int wait_ms, char *why, size_t why_size) MUST_CHECK;
void aws_call_release(struct aws_call *c, struct http *http);

/* The JSON of a credential_process, and of container and instance metadata (which calls the session token "Token"). */
int aws_process_parse(struct slice json, struct aws_fresh_keys *r, char *why, size_t why_size) MUST_CHECK;
int aws_metadata_parse(struct slice json, struct aws_fresh_keys *r, char *why, size_t why_size) MUST_CHECK;
#define AWS_JSON_MAX (64u << 10) /* bytes */

/* A small file, without white space at its end: a token. ERR_NOT_FOUND and the like; why says. */
int aws_token_read(const char *path, struct buf *token, char *why, size_t why_size) MUST_CHECK;

#endif
