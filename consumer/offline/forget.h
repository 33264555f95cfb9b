/* `chunklift journal forget`: appends a `forget` record for each upload named, so that the next cp sends its file
 * again. */
#ifndef CHUNKLIFT_CONSUMER_FORGET_H
#define CHUNKLIFT_CONSUMER_FORGET_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

struct forget_options {
    const char *dir;
    const char *const *wanted; /* each an upload's id, or a destination: a URL or a path */
    size_t wanted_count;
    bool unfinished; /* these too: what they left at the destination is then nobody's */
    bool json;
};

/* All or nothing: ERR_DAMAGED (logged) when one of them names nothing that can be forgotten. ERR_BUSY: a consumer
 * runs. Other errors as journal_open. */
int forget(const struct forget_options *o) MUST_CHECK;

#endif
