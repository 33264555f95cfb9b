/*
 * The content type of a file by the extension of its name, from /etc/mime.types (Debian's package media-types): one type
 * a line, followed by its extensions; '#' begins a comment.
 */
#ifndef CHUNKLIFT_MIME_TYPES_H
#define CHUNKLIFT_MIME_TYPES_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/hash.h"
#include "pure/ids.h"

#define MIME_TYPES_FILE "/etc/mime.types"

struct mime_type {
    struct hash_node by_extension;
    struct slice extension; /* as in the file, without the dot */
    struct slice name;      /* "text/plain" */
    bool has_digest;        /* the caller's, as is digest: the properties of objects with this type */
    struct id128 digest;
};
struct mime_types {
    struct hash_table by_extension;
    struct mime_type *items;
    size_t count;
    struct buf text; /* the file; names and extensions point into it */
};

/* Takes over text, also on an error, and leaves it empty. Where an extension has several types, the last one counts, as
 * in Python and the AWS CLI.
 * ERR_NOMEM: m is empty. */
int mime_types_parse(struct mime_types *m, struct buf *text) MUST_CHECK;
/* Reads and parses a file. The error is errno's, or ERR_LIMIT (more than 4 MiB), ERR_NOMEM; m is empty then. */
int mime_types_read(struct mime_types *m, const char *path) MUST_CHECK;
void mime_types_release(struct mime_types *m);
/* By the last extension of the last part of path, as it is written, then in lower case. NULL: not known. A name that only
 * begins with a dot (".profile") has no extension. */
struct mime_type *mime_types_find(const struct mime_types *m, const char *path);

#endif
