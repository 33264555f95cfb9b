/*
 * The objects that a journal, or a manifest of `journal export`, says are at a destination: the newest record of each.
 * Objects that `cp --delete` has removed, or begun to remove, are left out.
 *
 * Two passes. catalog_open reads all records once and keeps an index: about 100 bytes for each object, without its name.
 * catalog_next reads the records again and returns those that the index names, in the order of the records. So a million
 * objects need about 100 MB.
 */
#ifndef CHUNKLIFT_CATALOG_H
#define CHUNKLIFT_CATALOG_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/geometry.h"
#include "pure/ids.h"
#include "pure/nanotime.h"
#include "system/options.h"
#include <stdbool.h>
#include <stdint.h>

struct catalog;

struct catalog_options {
    const char *dir;               /* of the journal */
    const char *manifest;          /* instead of it: a file; NULL: none */
    const char *endpoint;          /* instead of the recorded endpoints of S3; NULL: those */
    const struct text_list *dests; /* URLs: only objects there and under them; none: all */
    bool chunks;                   /* the checksums of chunks are wanted */
    bool sources;                  /* src, source and mtime_ns are wanted; not of a manifest */
    bool interrupted;              /* also objects with an interrupted removal (`cp --delete`) */
};

/* One endpoint and, on S3, one bucket. */
struct catalog_store {
    char *endpoint; /* empty for file:// */
    char *dest;     /* one of its objects */
    uint64_t objects;
};

/* Slices are valid until the next call. */
struct catalog_object {
    struct id128 upload;
    struct slice dest, etag;
    uint64_t size;
    uint32_t crc;
    uint64_t position;        /* grows from one object to the next; from 1 */
    struct geometry geometry; /* chunks 0: they are not known */
    uint32_t *crcs;           /* of the chunks; the caller frees it. NULL: not wanted, or not known */
    struct slice src, source; /* the path of its file, empty when it is not known; the --source-name */
    nanotime mtime_ns;        /* of its file */
    int64_t since_us;         /* the time of its record */
};

/* o and its strings must outlive it. ERR_NOT_FOUND, ERR_IO, ERR_INVALID (the manifest): logged. ERR_NOMEM.
 * *damaged: some lines could not be read; the first one is logged. */
int catalog_open(struct catalog **c, const struct catalog_options *o, bool *damaged) MUST_CHECK;
void catalog_close(struct catalog **c);
size_t catalog_store_count(const struct catalog *c);
const struct catalog_store *catalog_store(const struct catalog *c, size_t i);

/* The next catalog_next returns the first object of this store with a position after `after`. Errors as for
 * catalog_open. */
int catalog_rewind(struct catalog *c, size_t store, uint64_t after) MUST_CHECK;
/* ERR_NOT_FOUND: there are no more. */
int catalog_next(struct catalog *c, struct catalog_object *object) MUST_CHECK;

#endif
