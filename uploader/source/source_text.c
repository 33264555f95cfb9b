#include "uploader/source/source_text.h"
#include "uploader/source/source_ops.h"

#include "pure/digest.h"
#include <stdlib.h>
#include <string.h>

struct source_text {
    struct source source; /* first */
    const char *bytes;
};

static ssize_t source_text_read(struct source *s, void *out, size_t max) {
    const struct source_text *t = (const struct source_text *)s;
    memcpy(out, t->bytes + s->position, max);
    s->crc = crc32c_add(s->crc, out, max);
    return (ssize_t)max;
}

static int source_text_check(struct source *s, char *why, size_t why_size) {
    (void)s, (void)why, (void)why_size;
    return 0;
}

static void source_text_close(struct source *s) {
    free(s);
}

static const struct source_ops source_text_ops = {
    .read = source_text_read, .check = source_text_check, .close = source_text_close};

int source_text_new(struct source **out, struct slice text) {
    struct source_text *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return ERR_NOMEM;
    t->source = (struct source){.ops = &source_text_ops, .length = text.len};
    t->bytes = text.ptr;
    *out = &t->source;
    return 0;
}
