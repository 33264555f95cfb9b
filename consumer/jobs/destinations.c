#include "consumer/jobs/destinations.h"
#include "pure/arith.h"
#include "pure/dest.h"
#include <stdlib.h>

void destinations_allow(struct destinations *d, const struct slice *allow, size_t count) {
    struct buf text = BUF_INIT;
    int err = 0;
    for (size_t i = 0; !err && i < count; i++) {
        err = buf_add_slice(&text, allow[i]);
        if (!err)
            err = buf_add_byte(&text, 0);
    }
    if (err || text.len == 0 || text.len > ALLOW_KEPT_MAX) {
        buf_release(&text);
        return;
    }
    d->allow = text.data;
    d->allow_len = text.len;
}

static void destinations_clear_troubles(struct destinations *d) {
    for (size_t i = 0; i < d->trouble_count; i++) {
        free(d->troubles[i].location);
        free(d->troubles[i].error);
    }
    d->trouble_count = 0;
}

void destinations_release(struct destinations *d) {
    destinations_clear_troubles(d);
    free(d->allow);
    *d = (struct destinations){0};
}

void destinations_note_troubles(struct destinations *d, const struct trouble *troubles, size_t count, uint64_t now_ms) {
    destinations_clear_troubles(d);
    for (size_t i = 0; i < count; i++) {
        const struct trouble *t = &troubles[i];
        char *location = slice_dup(t->location);
        if (!location)
            return;
        d->troubles[d->trouble_count++] = (struct peer_trouble){.location = location,
                                                                .error = slice_dup(t->error),
                                                                .class = t->class,
                                                                .sure = t->sure,
                                                                .since_ms = sub_or_zero(now_ms, t->since_ms),
                                                                .out_until_ms = t->out_ms ? now_ms + t->out_ms : 0};
    }
}

size_t destinations_describe(const struct destinations *d, struct trouble *out, uint64_t now_ms) {
    const struct peer_trouble *end = d->troubles + d->trouble_count;
    for (const struct peer_trouble *t = d->troubles; t != end; t++)
        *out++ = (struct trouble){.location = slice_of(t->location),
                                  .class = t->class,
                                  .error = slice_of(t->error),
                                  .since_ms = now_ms - t->since_ms,
                                  .out_ms = (uint32_t)sub_or_zero(t->out_until_ms, now_ms),
                                  .sure = t->sure};
    return d->trouble_count;
}

/* ---- matching ---- */

static bool location_is_file(const char *location) {
    return strncmp(location, "file:", 5) == 0;
}

static struct slice location_trim(struct slice url) {
    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    return url;
}

static bool location_has(const char *location, const struct upload_identity *is) {
    if (location_is_file(location))
        return dest_is_under(is->dest, slice_of(location));
    return is->endpoint.len && slice_equal(location_trim(slice_of(location)), location_trim(is->endpoint));
}

static bool destinations_allow_dest(const struct destinations *d, struct slice dest) {
    for (size_t at = 0; at < d->allow_len; at += strlen(d->allow + at) + 1)
        if (dest_is_under(dest, slice_of(d->allow + at)))
            return true;
    return d->allow_len == 0;
}

bool destinations_allow_location(const struct destinations *d, const char *location) {
    if (location_is_file(location))
        return destinations_allow_dest(d, slice_of(location));
    for (size_t at = 0; at < d->allow_len; at += strlen(d->allow + at) + 1)
        if (!location_is_file(d->allow + at))
            return true;
    return d->allow_len == 0;
}

bool destinations_have(const struct destinations *d, const struct upload_identity *is, uint64_t now_ms) {
    const struct peer_trouble *end = d->troubles + d->trouble_count;
    for (const struct peer_trouble *t = d->troubles; t != end; t++)
        if (t->sure && now_ms < t->out_until_ms && location_has(t->location, is))
            return false;
    return destinations_allow_dest(d, is->dest);
}

bool destinations_are_troubled(const struct destinations *d, const char *location) {
    for (size_t i = 0; i < d->trouble_count; i++)
        if (strcmp(d->troubles[i].location, location) == 0)
            return true;
    return false;
}
