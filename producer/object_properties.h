/*
 * The properties of the objects of one run (pure/properties.h): those of all objects, and what differs by file, the
 * content type. Only S3 has properties; a file:// destination has no_preserve.
 */
#ifndef CHUNKLIFT_OBJECT_PROPERTIES_H
#define CHUNKLIFT_OBJECT_PROPERTIES_H

#include "producer/source/mime_types.h"
#include "pure/properties.h"

struct object_properties {
    struct properties common; /* of every OFFER */
    void *memory;
    size_t bytes;           /* of common in a message, about */
    struct id128 digest;    /* of objects with the default content type */
    struct mime_types mime; /* empty: no content type is guessed */
    bool on_s3;
};

/* Copies given. guess: content types by extension, where given names none and the destination is S3. ERR_NOMEM, or the
 * errors of properties_digest: o is released. */
int object_properties_init(struct object_properties *o, const struct properties *given, bool guess,
                           bool on_s3) MUST_CHECK;
void object_properties_release(struct object_properties *o);
/* The content type for the job of a file; empty: that of o->common, or the default. */
struct slice object_properties_type(const struct object_properties *o, const char *path);
/* properties_digest of the file's object. On an error, which is ERR_NOMEM in practice, *out is zero. */
int object_properties_digest(struct object_properties *o, const char *path, struct id128 *out) MUST_CHECK;

#endif
