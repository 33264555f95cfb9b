/* A manifest: the lines of `chunklift journal export`, one JSON object for each object. */
#ifndef CHUNKLIFT_MANIFEST_H
#define CHUNKLIFT_MANIFEST_H

#include "journal/record.h"

struct manifest;

/* path must outlive it. ERR_NOT_FOUND, ERR_DENIED, ERR_IO: logged. ERR_NOMEM. */
int manifest_open(struct manifest **m, const char *path) MUST_CHECK;
void manifest_close(struct manifest **m);
/* The next line as a `carry` record of kind `finished`; its seq is the number of the line. The slices are valid until the
 * next call. ERR_NOT_FOUND: the end. ERR_INVALID: not a line of a manifest (logged). ERR_NOMEM; ERR_IO, logged. */
int manifest_next(struct manifest *m, struct record *r) MUST_CHECK;

#endif
