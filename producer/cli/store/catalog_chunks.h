/* What the records of unfinished uploads say that the record of their end does not: the source, the endpoint and the
 * chunks. Internal to the catalog. Memory holds the uploads that have begun and not ended at the present line. */
#ifndef CHUNKLIFT_CATALOG_CHUNKS_H
#define CHUNKLIFT_CATALOG_CHUNKS_H

#include "journal/record.h"
#include "pure/geometry.h"
#include "pure/hash.h"

struct catalog_chunks {
    struct hash_table by_upload;
};

void catalog_chunks_clear(struct catalog_chunks *c);
/* Takes one record; with_crcs: also the checksums of chunks. ERR_NOMEM. */
int catalog_chunks_note(struct catalog_chunks *c, const struct record *r, bool with_crcs) MUST_CHECK;
/* Empty when it is not known. Valid until the next call. */
struct slice catalog_chunks_endpoint(const struct catalog_chunks *c, const struct id128 *upload);
/* Its file: the path, the --source-name, the time of the last change. As for the endpoint. */
struct catalog_source {
    struct slice src, source;
    nanotime mtime_ns;
};
struct catalog_source catalog_chunks_source(const struct catalog_chunks *c, const struct id128 *upload);
/* The checksums of all chunks of an object of this size, for the caller to free; NULL: they are not all known. */
uint32_t *catalog_chunks_take(struct catalog_chunks *c, const struct id128 *upload, uint64_t size,
                              struct geometry *geometry);
/* The upload has ended. */
void catalog_chunks_forget(struct catalog_chunks *c, const struct id128 *upload);

#endif
