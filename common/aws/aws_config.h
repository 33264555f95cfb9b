/*
 * The two files of the AWS CLI: ~/.aws/config ([default], [profile NAME], [services NAME],
 * [sso-session NAME]) and ~/.aws/credentials ([NAME]). Lines are read as botocore reads them, with Python's configparser:
 *   - '#' and ';' begin a comment only as the first character of a line;
 *   - CRLF and a byte order mark are accepted;
 *   - a line that is indented deeper than the key before it continues the value of that key
 *     (`s3 =`, then `addressing_style = path` in the next line); any other line is a key or a
 *     section, at any indentation;
 *   - names of keys are compared without regard to case.
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
    AWS_SECURITY_TOKEN, /* older name of the session token */
    AWS_PROFILE_REGION,
    AWS_CREDENTIAL_PROCESS,
    AWS_ROLE_ARN,
    AWS_ROLE_SESSION_NAME,
    AWS_SOURCE_PROFILE,
    AWS_CREDENTIAL_SOURCE,
    AWS_EXTERNAL_ID,
    AWS_DURATION_SECONDS,
    AWS_MFA_SERIAL,
    AWS_STS_REGIONAL_ENDPOINTS,
    AWS_WEB_IDENTITY,
    AWS_SSO_SESSION,
    AWS_SSO_START_URL,
    AWS_SSO_REGION,
    AWS_SSO_ACCOUNT_ID,
    AWS_SSO_ROLE_NAME,
    AWS_LOGIN_SESSION,
    AWS_CA_FILE,
    AWS_ENDPOINT_URL,
    AWS_IGNORE_ENDPOINT_URLS,
    AWS_CHECKSUM_CALCULATION,
    AWS_SERVICES,         /* name of the [services NAME] section */
    AWS_ADDRESSING_STYLE, /* in the block `s3 =` */
    AWS_S3_ENDPOINT_URL,  /* in the block `s3 =`; valid in a [services NAME] section only */
    AWS_STS_ENDPOINT_URL, /* in the block `sts =`; valid there only */
    AWS_SSO_ENDPOINT_URL, /* in the block `sso =`; valid there only */
    AWS_SSO_OIDC_ENDPOINT_URL,
    AWS_KEYS
};
/* The sections that are read: profiles of ~/.aws/config; profiles of ~/.aws/credentials; [services
 * NAME] and [sso-session NAME] of ~/.aws/config. */
enum aws_file { AWS_FILE_CONFIG, AWS_FILE_CREDENTIALS, AWS_FILE_SERVICES, AWS_FILE_SSO_SESSIONS };

struct aws_profile { /* the values of one profile in one file */
    bool found;
    char *value[AWS_KEYS]; /* NULL: not in the file */
};

#define AWS_FILE_MAX (1u << 20) /* bytes of a file */
#define AWS_LINE_MAX (16u << 10)

/* ERR_NOT_FOUND: no such file; ERR_DENIED, ERR_IO (logged); ERR_LIMIT; ERR_NOMEM. A missing profile
 * is no error: found is false. The caller releases *p. */
int aws_profile_read(struct aws_profile *p, const char *path, enum aws_file kind, const char *profile) MUST_CHECK;
/* The same from memory. name: of the text, for warnings. */
int aws_profile_parse(struct aws_profile *p, struct slice text, enum aws_file kind, const char *profile,
                      const char *name) MUST_CHECK;
void aws_profile_release(struct aws_profile *p); /* overwrites secrets before it frees them */

/* AWS_CONFIG_FILE or ~/.aws/config; AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials. */
int aws_file_path(enum aws_file kind, struct buf *path) MUST_CHECK;
/* Reads the profile from the file at aws_file_path. A missing or unreadable file is empty.
 * ERR_NOMEM only. */
int aws_file_read(struct aws_profile *p, enum aws_file kind, const char *profile) MUST_CHECK;
/* The value of a profile as botocore merges the files: that of the credentials file takes
 * precedence. NULL: none. */
const char *aws_profiles_value(const struct aws_profile *config, const struct aws_profile *credentials,
                               enum aws_key key);

#endif
