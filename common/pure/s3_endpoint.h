/*
 * The URL of an S3 endpoint and the name of a region, as users write them: on the command line, in the environment, in
 * ~/.aws/config. A URL must not hold a user name or a password: it is recorded in the journal and shown in messages.
 */
#ifndef CHUNKLIFT_S3_ENDPOINT_H
#define CHUNKLIFT_S3_ENDPOINT_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

#define S3_REGION_MAX 63 /* bytes; what libcurl's signer takes */
#define S3_DEFAULT_REGION "us-east-1"
#define S3_URL_MAX 1024 /* bytes of an endpoint URL */

struct s3_url {
    bool https;
    struct slice authority; /* host[:port] */
    struct slice base;      /* path without a trailing slash; mostly empty */
};

/* scheme://host[:port][/base], the scheme in any case. Returns NULL, or what is wrong with it: a static text that
 * quotes nothing of the URL. */
const char *s3_url_parse(struct slice url, struct s3_url *parts) MUST_CHECK;
/* Appends a URL that was parsed in its one form: scheme and host in lower case, no slash at the end. */
int s3_url_add_normal(struct buf *out, const struct s3_url *parts) MUST_CHECK;
/* Appends any text that was meant as a URL so that it can be shown: what may be a user name, a password or a query is
 * replaced by "***". */
int s3_url_add_shown(struct buf *out, struct slice url) MUST_CHECK;

/* A region's name as any store may have it: letters, digits, '-', '_' and '.', the first and the last a letter or
 * digit, 1 to S3_REGION_MAX bytes. */
bool s3_region_is_valid(struct slice region);
/* Without blanks around it. */
struct slice s3_region_trim(struct slice region);

#endif
