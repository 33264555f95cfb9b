/* `chunklift journal forget`: appends a `forget` record for each named upload, so that the next cp
 * sends its file again. */
#ifndef CHUNKLIFT_CONSUMER_FORGET_H
#define CHUNKLIFT_CONSUMER_FORGET_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

struct forget_options {
    const char *dir;
    const char *const *wanted; /* each an upload id, or a destination: a URL or a path */
    size_t wanted_count;
    bool unfinished; /* also unfinished uploads; their parts at the destination then have no record */
    bool json;
};

/* All of the uploads, or none. ERR_DAMAGED (logged): one name has no upload that can be forgotten.
 * ERR_BUSY: a consumer runs. Other errors as journal_open. */
int journal_forget(const struct forget_options *o) MUST_CHECK;

#endif
