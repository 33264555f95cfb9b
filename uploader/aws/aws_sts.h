/*
 * The Security Token Service (AWS STS API reference): its endpoint, a request, and the XML
 * documents of its replies.
 */
#ifndef CHUNKLIFT_AWS_STS_H
#define CHUNKLIFT_AWS_STS_H

#include "aws/aws_settings.h"
#include "uploader/aws/aws_source.h"

struct aws_sts {
    char url[AWS_URL_SIZE];         /* with a slash at the end */
    char region[S3_REGION_MAX + 1]; /* that requests are signed for */
};

/* The STS of the settings: AWS_ENDPOINT_URL_STS and the others, else Amazon's of the region, which
 * is the region of the settings unless the caller has one (NULL: none). ERR_INVALID: a setting is
 * not valid; problem gets one line. */
int aws_sts_choose(struct aws_sts *sts, const struct aws_settings *aws, const char *region, char *problem,
                   size_t problem_size) MUST_CHECK;

/* A request, and the buffer of its form, which is overwritten when it ends. */
struct aws_sts_call {
    struct aws_call call;
    struct buf form;
};

/* Starts the form of an action with the role's fields. room: for fields to come, in bytes.
 * ERR_NOMEM. */
int aws_sts_form_begin(struct aws_sts_call *c, const char *action, const struct aws_role *role, size_t room) MUST_CHECK;
int aws_sts_form_add(struct aws_sts_call *c, const char *name, struct slice value) MUST_CHECK;
/* Sends the form, signed with the keys unless they are NULL. They are not used after the call. */
int aws_sts_send(struct aws_sts_call *c, struct http *http, const struct aws_sts *sts,
                 const struct aws_fresh_keys *keys) MUST_CHECK;
/* Waits up to wait_ms for the reply. 0: *keys is set. ERR_AGAIN: no reply yet. Another error: why
 * gets one line, as of aws_source_ops. */
int aws_sts_receive(struct aws_sts_call *c, struct http *http, int wait_ms, const char *action,
                    struct aws_fresh_keys *keys, char *why, size_t why_size) MUST_CHECK;
void aws_sts_call_release(struct aws_sts_call *c, struct http *http);

/* Copies the texts of a role to a block that one free() releases; session_name is generated if
 * there is none. ERR_NOMEM. */
int aws_role_copy(struct aws_role *to, char **block, const struct aws_role *from) MUST_CHECK;

/* --- the documents --- */

/* <ACTIONResponse>. Errors as of xml_parse(); ERR_INVALID also for missing keys. On error *keys is
 * unchanged. */
int aws_sts_keys_parse(struct slice body, const char *action, struct aws_fresh_keys *keys) MUST_CHECK;

struct aws_sts_error { /* <ErrorResponse>, or the <Error> of Ceph */
    char code[64], message[384];
};
int aws_sts_error_parse(struct slice body, struct aws_sts_error *e) MUST_CHECK;

#endif
