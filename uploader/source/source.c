#include "uploader/source/source.h"
#include "uploader/source/source_ops.h"

#include "system/fileid.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define PRECOMPUTE_BYTES (256u << 10)

ssize_t source_read(struct source *s, void *out, size_t max) {
    max = MIN(max, s->length - s->position);
    max = MIN(max, SSIZE_MAX);
    if (max == 0)
        return 0;
    ssize_t got = s->ops->read(s, out, max);
    s->position += (uint64_t)MAX(got, 0);
    return got;
}

bool source_is_ready(const struct source *s) {
    return !s->ops->ready || s->ops->ready(s);
}

bool source_is_fetched(const struct source *s) {
    return s->ops->ready != NULL;
}

bool source_announced_crc(const struct source *s, uint32_t *crc) {
    *crc = s->expected;
    return s->has_expected && source_is_fetched(s);
}

uint64_t source_progress(const struct source *s) {
    return s->ops->progress ? s->ops->progress(s) : 0;
}

int source_rewind(struct source *s, uint64_t position) {
    if (position == s->position)
        return 0;
    if (position != 0)
        return ERR_INVALID;
    int err = s->ops->rewind ? s->ops->rewind(s) : 0;
    if (err)
        return err;
    s->position = 0;
    s->crc = 0;
    return 0;
}

uint64_t source_position(const struct source *s) {
    return s->position;
}

uint64_t source_length(const struct source *s) {
    return s->length;
}

uint32_t source_crc(const struct source *s) {
    return s->crc;
}

int source_precompute_crc(struct source *s, uint32_t *crc) {
    char *bytes = malloc(PRECOMPUTE_BYTES);
    if (!bytes)
        return ERR_NOMEM;
    int err = source_rewind(s, 0);
    ssize_t got = 0;
    while (!err && (got = source_read(s, bytes, PRECOMPUTE_BYTES)) != 0)
        if (got < 0)
            err = (int)got;
    free(bytes);
    if (err)
        return err;
    *crc = s->expected = s->crc;
    s->has_expected = true;
    return source_rewind(s, 0);
}

int source_check(struct source *s, char *why, size_t why_size) {
    int err = s->ops->check(s, why, why_size);
    if (!err && s->has_expected && s->position == s->length && s->crc != s->expected) {
        snprintf(why, why_size, "its bytes differ between two readings");
        return ERR_CHANGED;
    }
    return err;
}

enum fail_class source_failure(int err, const char *why, char *text, size_t text_size) {
    snprintf(text, text_size, err == ERR_CHANGED ? FILEID_CHANGED_FORMAT : "cannot be read: %s",
             why[0] ? why : err_text(err));
    return err == ERR_CHANGED ? FAIL_CHANGED : FAIL_SOURCE;
}

void source_close(struct source **s) {
    if (*s)
        (*s)->ops->close(*s);
    *s = NULL;
}
