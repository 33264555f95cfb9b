/*
 * A page of multipart uploads as bytes: the answer to a `list` job. docs/PROTOCOL.md describes the form. Pure.
 *
 * The last entry is where the next page begins: after this key and upload id. Its key is empty on the last page.
 */
#ifndef CHUNKLIFT_LISTING_H
#define CHUNKLIFT_LISTING_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

#define LISTING_MAX (48u << 10) /* bytes of a page */

struct listed_upload {
    struct slice key, handle;
    int64_t initiated_us; /* by the local clock; 0: not known */
};

/* Appends an entry. ERR_LIMIT: the page would exceed LISTING_MAX, or a text 65,535 bytes; page is unchanged. ERR_NOMEM. */
int listing_add(struct buf *page, const struct listed_upload *u) MUST_CHECK;
/* Takes the first entry off the page; its slices point into it. ERR_NOT_FOUND: there is none. ERR_INVALID: damaged. */
int listing_next(struct slice *page, struct listed_upload *u) MUST_CHECK;

#endif
