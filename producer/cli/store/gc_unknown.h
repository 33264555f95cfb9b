/* Multipart uploads at a store that the journal does not know: `gc --all`. */
#ifndef CHUNKLIFT_GC_UNKNOWN_H
#define CHUNKLIFT_GC_UNKNOWN_H

#include "producer/cli/errand.h"
#include "producer/cli/store/gc_list.h"

/* Lists the multipart uploads at and under dest, an s3:// URL, and adds them with this endpoint. Returns the exit status, as
 * errand_run. Blocks. */
int gc_unknown_list(struct gc_list *l, const struct errand_options *o, const char *dest) MUST_CHECK;

#endif
