/*
 * Destinations: file:///absolute/path and s3://bucket/key. Nothing is percent-decoded; a key is any run of bytes.
 * A plain path becomes file:// of its absolute form.
 */
#ifndef CHUNKLIFT_DEST_H
#define CHUNKLIFT_DEST_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

enum dest_scheme { DEST_FILE, DEST_S3 };

struct dest {
    enum dest_scheme scheme;
    struct slice bucket; /* S3 only */
    struct slice key;    /* S3: the key or prefix without the slash after the bucket; file: the absolute path */
};

#define S3_BUCKET_MIN 3
#define S3_BUCKET_MAX 255
#define S3_KEY_MAX 1024 /* bytes of UTF-8, Amazon S3 user guide "Naming Amazon S3 objects" */
/* The endpoint recorded for S3 when the user named none. */
#define S3_DEFAULT_ENDPOINT "https://s3.amazonaws.com"

/* Parses a full URL as above; slices point into url. ERR_USAGE for another scheme, ERR_INVALID for a bad bucket or
 * relative path. */
int dest_parse(struct slice url, struct dest *d) MUST_CHECK;
bool dest_bucket_is_valid(struct slice bucket);
/* NULL when this can be a DEST argument; else why not, and what to write, in reason (at least 1,024 bytes). A path that
 * begins like a URL or a remote ("word:") is refused unless it is written "./word:…". */
const char *dest_problem(const char *argument, char *reason, size_t size);
#define DEST_PROBLEM_SIZE 1024
/* It begins with a word and a colon. */
bool dest_names_a_scheme(const char *argument);
/* The user's DEST argument: a path is made absolute against cwd and gets file:// in front; other URLs are kept as they
 * are. ERR_USAGE, ERR_INVALID: dest_problem says why. *url gets the result in place of what it held; on error it is as
 * before. */
int dest_from_argument(const char *argument, const char *cwd, struct buf *url) MUST_CHECK;
/* prefix and name joined by exactly one '/', in place of what url held (prefix may be that). */
int dest_join(struct buf *url, struct slice prefix, struct slice name) MUST_CHECK;
/* True when url is allowed or lies beneath it, whole path components: s3://b/data allows s3://b/data/x, not
 * s3://b/database. */
bool dest_is_beneath(struct slice url, struct slice allowed);

#endif
