/*
 * Destinations: file:///absolute/path and s3://bucket/key. Nothing is percent-decoded; a key may have any bytes. A plain
 * path becomes file:// and its absolute form.
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
/* The endpoint that is recorded for S3 when the user gives none. */
#define S3_DEFAULT_ENDPOINT "https://s3.amazonaws.com"

/* Parses a full URL as above; slices point into url. ERR_USAGE for another scheme, ERR_INVALID for a bad bucket or
 * relative path. */
int dest_parse(struct slice url, struct dest *d) MUST_CHECK;
bool dest_bucket_is_valid(struct slice bucket);
/* NULL when the argument is a valid DEST; else reason (at least DEST_PROBLEM_SIZE bytes) with the problem and the remedy. A
 * path that begins like a URL or a remote ("word:") is refused unless it is written "./word:…". */
const char *dest_problem(const char *argument, char *reason, size_t size);
#define DEST_PROBLEM_SIZE 1024
/* True when the argument begins with a word and a colon. */
bool dest_names_a_scheme(const char *argument);
/* Makes a URL of the user's DEST argument: a path becomes absolute (against cwd) after file://; other URLs are not changed.
 * The result replaces the content of *url; on an error *url is unchanged. ERR_USAGE, ERR_INVALID: see dest_problem. */
int dest_from_argument(const char *argument, const char *cwd, struct buf *url) MUST_CHECK;
/* Replaces url with prefix and name, joined by exactly one '/'. prefix may point into url. */
int dest_join(struct buf *url, struct slice prefix, struct slice name) MUST_CHECK;
/* True when url is `allowed` or under it, by whole path components: s3://b/data allows s3://b/data/x, not
 * s3://b/database. */
bool dest_is_under(struct slice url, struct slice allowed);

#endif
