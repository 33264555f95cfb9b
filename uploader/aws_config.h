/*
 * The AWS CLI's two files: ~/.aws/config ([default], [profile NAME]) and ~/.aws/credentials ([NAME]). Read as the CLI
 * reads them: '#' and ';' begin comments only at the start of a line, an indented line belongs to the key before it
 * (`s3 =` with `addressing_style = path` beneath), CRLF and a byte order mark are taken.
 */
#ifndef CHUNKLIFT_AWS_CONFIG_H
#define CHUNKLIFT_AWS_CONFIG_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

enum aws_key {
    AWS_ACCESS_KEY,
    AWS_SECRET_KEY,
    AWS_SESSION_TOKEN,
    AWS_PROFILE_REGION,
    AWS_CREDENTIAL_PROCESS,
    AWS_ROLE_ARN,
    AWS_WEB_IDENTITY,
    AWS_SSO_SESSION,
    AWS_SSO_START_URL,
    AWS_ADDRESSING_STYLE,
    AWS_KEYS
};
enum aws_file { AWS_FILE_CONFIG, AWS_FILE_CREDENTIALS };

struct aws_profile { /* what one file says about one profile */
    bool found;
    char *value[AWS_KEYS]; /* NULL: not there */
};

#define AWS_FILE_MAX (1u << 20) /* bytes of a file */
#define AWS_LINE_MAX (16u << 10)

/* ERR_NOT_FOUND: no such file; ERR_DENIED, ERR_IO (logged); ERR_LIMIT. A profile that is not there leaves found false
 * and is no error. */
int aws_profile_read(struct aws_profile *p, const char *path, enum aws_file kind, const char *profile) MUST_CHECK;
/* name: what warnings call the text. */
int aws_profile_parse(struct aws_profile *p, struct slice text, enum aws_file kind, const char *profile,
                      const char *name) MUST_CHECK;
void aws_profile_release(struct aws_profile *p); /* overwrites secrets before it frees them */

/* AWS_CONFIG_FILE or ~/.aws/config; AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials. */
int aws_file_path(enum aws_file kind, struct buf *path) MUST_CHECK;

#endif
