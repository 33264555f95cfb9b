/* `chunklift journal show`: what the journal on disk says about uploads. */
#ifndef CHUNKLIFT_JOURNAL_SHOW_H
#define CHUNKLIFT_JOURNAL_SHOW_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

struct journal_show_options {
    const char *dir;
    /* Only uploads that one of these names: an upload id or its first digits (6 at least), a source or a directory
     * above it, a destination or a prefix. With one, uploads are shown in detail. */
    const char *const *wanted;
    size_t wanted_count;
    bool json;
};
/* Exit status: 0; 1 damaged, or nothing matched; 3 the journal cannot be read. */
int journal_show(const struct journal_show_options *o) MUST_CHECK;

#endif
