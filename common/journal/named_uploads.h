/* The arguments UPLOAD|DEST… of `journal forget`: names of uploads, and which of them were met in the journal. */
#ifndef CHUNKLIFT_NAMED_UPLOADS_H
#define CHUNKLIFT_NAMED_UPLOADS_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stddef.h>

/* An initialised one has only names and count: each name is an upload id, or a destination, a URL or a path. */
struct named_uploads {
    const char *const *names;
    size_t count;
    struct buf *dests; /* the names as URLs */
    bool *met;
};

/* Makes URLs of the names, from the current directory. ERR_USAGE (logged): a name that is not a destination. ERR_NOMEM.
 * The caller releases u in every case. */
int named_uploads_parse(struct named_uploads *u) MUST_CHECK;
/* True: this upload is named, by its id or by its destination. */
bool named_uploads_match(const struct named_uploads *u, const struct id128 *upload, struct slice dest);
/* Every name of this upload counts as met from now on. */
void named_uploads_meet(struct named_uploads *u, const struct id128 *upload, struct slice dest);
/* ERR_DAMAGED (logged): a name was not met. */
int named_uploads_check(const struct named_uploads *u) MUST_CHECK;
void named_uploads_release(struct named_uploads *u);

#endif
