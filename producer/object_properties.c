#include "producer/object_properties.h"
#include "system/log.h"
#include <errno.h>
#include <stdlib.h>

#define PROPERTY_COST 3 /* bytes that msgpack adds to a text */

/* Without the file, objects get the default type, as with --no-guess-mime-type. */
static int object_properties_read_types(struct object_properties *o) {
    int err = mime_types_read(&o->mime, MIME_TYPES_FILE);
    if (err && err != ERR_NOMEM) {
        log_warn("%s: %s; objects get no content type by their names; install media-types, or give --content-type or "
                 "--no-guess-mime-type",
                 MIME_TYPES_FILE, err == ERR_LIMIT ? "too large" : strerror(errno));
        err = 0;
    }
    return err;
}

int object_properties_init(struct object_properties *o, const struct properties *given, bool guess, bool on_s3) {
    *o = (struct object_properties){.on_s3 = on_s3};
    int err = properties_copy(&o->common, given, &o->memory);
    if (!err)
        o->bytes = properties_bytes(&o->common) + PROPERTY_COST * o->common.metadata_count;
    if (!err && on_s3)
        err = properties_digest(&o->common, (struct slice){NULL, 0}, &o->digest);
    if (!err && guess && on_s3 && o->common.content_type.len == 0)
        err = object_properties_read_types(o);
    if (err)
        object_properties_release(o);
    return err;
}

void object_properties_release(struct object_properties *o) {
    mime_types_release(&o->mime);
    free(o->memory);
    *o = (struct object_properties){.memory = NULL};
}

struct slice object_properties_type(const struct object_properties *o, const char *path) {
    const struct mime_type *type = mime_types_find(&o->mime, path);
    return type ? type->name : (struct slice){NULL, 0};
}

int object_properties_digest(struct object_properties *o, const char *path, struct id128 *out) {
    struct mime_type *type = mime_types_find(&o->mime, path);
    *out = type && type->has_digest ? type->digest : o->digest;
    if (!type || type->has_digest)
        return 0;
    int err = properties_digest(&o->common, type->name, &type->digest);
    if (err)
        return err;
    type->has_digest = true;
    *out = type->digest;
    return 0;
}
