/*
 * The URL of an S3 endpoint and the name of a region, as users write them: on the command line, in the environment, in
 * ~/.aws/config. A URL must not have a user name or a password, because the journal and messages have the URL.
 */
#ifndef CHUNKLIFT_S3_ENDPOINT_H
#define CHUNKLIFT_S3_ENDPOINT_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

#define S3_REGION_MAX 63 /* bytes; a label of a host name */
#define S3_DEFAULT_REGION "us-east-1"
#define S3_URL_MAX 1024 /* bytes of an endpoint URL */

struct s3_url {
    bool https;
    struct slice authority; /* host[:port] */
    struct slice base;      /* path without a trailing slash; mostly empty */
};

/* scheme://host[:port][/base], the scheme in upper or lower case. Returns NULL, or the problem: a static text without any
 * part of the URL. */
const char *s3_url_parse(struct slice url, struct s3_url *parts) MUST_CHECK;
/* Appends the canonical form of a parsed URL: scheme and host in lower case, no slash at the end. */
int s3_url_add_normal(struct buf *out, const struct s3_url *parts) MUST_CHECK;
/* Appends any text that a user gave as a URL, safe for display: a possible user name, password or query becomes "***". */
int s3_url_add_shown(struct buf *out, struct slice url) MUST_CHECK;
/* True: bytes to this endpoint cannot be read on the way: it is https, or a loopback address. */
bool s3_url_is_private(struct slice url);

/* A valid name of a region: letters, digits, '-', '_' and '.', the first and the last a letter or digit, 1 to
 * S3_REGION_MAX bytes. */
bool s3_region_is_valid(struct slice region);
/* Without blanks around it. */
struct slice s3_region_trim(struct slice region);

#endif
