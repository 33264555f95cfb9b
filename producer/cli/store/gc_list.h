/* The uploads that `chunklift gc` found: unfinished ones of the journal, and others that only the store knows. */
#ifndef CHUNKLIFT_GC_LIST_H
#define CHUNKLIFT_GC_LIST_H

#include "pure/err.h"
#include "pure/hash.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gc_upload {
    struct id128 upload;          /* zero: the journal does not know it */
    char *dest, *endpoint;        /* never NULL; endpoint: empty for file:// */
    char *handle;                 /* the store's upload id; empty: not known */
    int64_t since_us;             /* of its last record, or of its creation at the store; 0: not known */
    uint32_t chunks, chunks_done; /* chunks 0: it was never begun, or is standard input without an end */
    uint64_t done_bytes;
    bool failed; /* its last record is a failure */
    bool in_use; /* a running producer or uploader needs it */
    bool wanted; /* to be aborted */
    struct hash_node by_upload;
};

struct gc_list {
    struct gc_upload **items;
    size_t count, cap;
    struct hash_table by_upload; /* those that the journal knows */
};

/* The texts of *u are taken over, also on an error. ERR_NOMEM. */
int gc_list_add(struct gc_list *l, const struct gc_upload *u) MUST_CHECK;
/* NULL: there is none. */
struct gc_upload *gc_list_find(const struct gc_list *l, const struct id128 *upload);
size_t gc_list_count_wanted(const struct gc_list *l);
void gc_list_release(struct gc_list *l);

#endif
