/* `chunklift journal show`: lists the uploads of a journal on disk. */
#ifndef CHUNKLIFT_JOURNAL_SHOW_H
#define CHUNKLIFT_JOURNAL_SHOW_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

struct journal_show_options {
    const char *dir;
    /* Filters. Each is an upload id or its first digits (6 at least), a source or a directory above
     * it, a destination or a prefix of it. With a filter, uploads are shown in detail. */
    const char *const *wanted;
    size_t wanted_count;
    bool json;
    bool failed; /* only files that failed (journal_failed.h) */
};
/* Returns the exit status: EXIT_SOME_FAILED when the journal is damaged or no upload matches. */
int journal_show(const struct journal_show_options *o) MUST_CHECK;

#endif
