/* How an object differs from its record. Pure. */
#ifndef CHUNKLIFT_DIFFERENCE_H
#define CHUNKLIFT_DIFFERENCE_H

#include "producer/cli/store/catalog.h"
#include "producer/producer_events.h"

enum difference {
    DIFFERENCE_NONE,
    DIFFERENCE_MISSING,  /* there is no object */
    DIFFERENCE_SIZE,     /* its size is another one */
    DIFFERENCE_ETAG,     /* the store's ETag is another one */
    DIFFERENCE_CHECKSUM, /* crc32c is another one */
    DIFFERENCE_REPLACED, /* on S3: one of these, and the object does not carry the id of its upload */
};
const char *difference_name(enum difference d);   /* "missing": also the `event` with --json */
enum finding difference_found(enum difference d); /* as it is recorded */

/* Compares the answer to `head`. An ETag or checksum that one side does not have is not compared. */
enum difference difference_of_head(const struct catalog_object *recorded, const struct producer_answer *found);

#endif
