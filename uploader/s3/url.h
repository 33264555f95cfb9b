/*
 * Where an S3 request goes: endpoint, bucket and key made into the exact bytes of a URL. libcurl signs path and query
 * as they are written, so the escaping here is the canonical one: A-Za-z0-9-._~ raw, '/' raw in a key, every other byte
 * %XX in upper case; query keys sorted. "//", "." and ".." in a key stay what they are. Pure.
 */
#ifndef CHUNKLIFT_S3_PLACE_H
#define CHUNKLIFT_S3_PLACE_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include "pure/s3_endpoint.h"
#include <stdbool.h>

enum s3_addressing { S3_ADDRESSING_AUTO, S3_ADDRESSING_PATH, S3_ADDRESSING_VIRTUAL };
/* "path", "virtual", anything else and NULL: auto. As `s3 = addressing_style` in the AWS configuration. */
enum s3_addressing s3_addressing_from_text(const char *text);

struct s3_place { /* slices point into the target */
    bool https, standard_endpoint /* the host follows the region */, virtual_host;
    struct slice endpoint;  /* as recorded */
    struct slice authority; /* host and port */
    struct slice base;      /* path before the bucket, without a trailing slash; mostly empty */
    struct slice bucket, key;
};

/* ERR_INVALID, with why: a bad endpoint, bucket or key (not UTF-8, longer than S3_KEY_MAX; empty, if need_key). */
int s3_place_init(struct s3_place *p, const struct target *t, enum s3_addressing style, bool need_key, char *why,
                  size_t why_size) MUST_CHECK;

struct s3_param {
    const char *name;
    struct slice value;
};
#define S3_PARAMS_MAX 8
/* The whole URL; params in any order. Without a key (with_key false) it names the bucket. */
int s3_place_url(const struct s3_place *p, const char *region, bool with_key, const struct s3_param *params,
                 size_t count, struct buf *url) MUST_CHECK;

int s3_escape_add(struct buf *out, struct slice text, bool keep_slash) MUST_CHECK;
/* Undoes %XX (encoding-type=url); ERR_INVALID for a broken one. '+' is a space, as Amazon S3 writes it there. */
int s3_unescape_add(struct buf *out, struct slice text) MUST_CHECK;

#endif
