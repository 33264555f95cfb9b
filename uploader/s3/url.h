/*
 * The URL of an S3 request: endpoint, bucket, key and query as exact bytes. Path and query are
 * signed as they are written, so they have the canonical form: percent-encoded (pure/percent.h) with
 * '/' of a key as it is, query sorted by name. "//", "." and ".." in a key are kept. Pure.
 */
#ifndef CHUNKLIFT_S3_URL_H
#define CHUNKLIFT_S3_URL_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include "pure/s3_endpoint.h"
#include <stdbool.h>

enum s3_addressing { S3_ADDRESSING_AUTO, S3_ADDRESSING_PATH, S3_ADDRESSING_VIRTUAL };
/* "path" or "virtual", as `s3 = addressing_style` in the AWS configuration. Other values and NULL:
 * auto. */
enum s3_addressing s3_addressing_from_text(const char *text);

struct s3_object_url { /* slices point into the target */
    bool https;
    bool standard_endpoint; /* Amazon: the host depends on the region */
    bool virtual_host;      /* the bucket is part of the host name */
    struct slice endpoint;  /* as recorded */
    struct slice authority; /* host and port */
    struct slice base;      /* path before the bucket, without a trailing slash; mostly empty */
    struct slice bucket, key;
};

/* ERR_INVALID, and why gets one line: an invalid endpoint, bucket or key. A key is invalid when it
 * is not UTF-8, longer than S3_KEY_MAX, or empty with need_key. */
int s3_object_url_init(struct s3_object_url *u, const struct target *t, enum s3_addressing style, bool need_key,
                       char *why, size_t why_size) MUST_CHECK;

struct s3_param {
    const char *name;
    struct slice value;
};
#define S3_PARAMS_MAX 8
/* Appends the whole URL; params in any order. with_key false: the URL of the bucket. ERR_NOMEM:
 * *url is incomplete. */
int s3_object_url_format(const struct s3_object_url *u, const char *region, bool with_key,
                         const struct s3_param *params, size_t count, struct buf *url) MUST_CHECK;

#endif
