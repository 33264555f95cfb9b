#include "producer/show/failures.h"
#include "pure/text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <sys/param.h>

void failures_add(struct failures *f, const char *path, enum fail_class class, const char *reason) {
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 16;
        struct failure *items = f->count < FAILURES_MAX ? realloc(f->items, capacity * sizeof *items) : NULL;
        if (!items)
            return;
        f->items = items;
        f->capacity = MIN(capacity, FAILURES_MAX);
    }
    struct failure new = {slice_dup(slice_of(path)), slice_dup(slice_of(reason)), class};
    if (new.path &&new.reason) {
        f->items[f->count++] = new;
        return;
    }
    free(new.path);
    free(new.reason);
}

static void failures_print_one(FILE *out, const struct failure *item) {
    struct buf line = BUF_INIT;
    int err = text_add_printable(&line, slice_of(item->path));
    if (!err)
        err = buf_add_text(&line, ": ");
    if (!err)
        err = text_add_printable(&line, slice_of(item->reason));
    if (!err)
        fprintf(out, "  %s\n", line.data);
    buf_release(&line);
}

void failures_print(FILE *out, const struct failures *f, uint64_t total, uint64_t unrecorded, const char *command) {
    size_t shown = MIN(f->count, FAILURES_SHOWN);
    if (shown == 0)
        return;
    fprintf(out, "%" PRIu64 " file%s failed:\n", total, total == 1 ? "" : "s");
    for (size_t i = 0; i < shown; i++)
        failures_print_one(out, &f->items[i]);
    if (total > shown)
        fprintf(out, "  and %" PRIu64 " more; this lists all%s: %s\n", total - shown,
                unrecorded ? " but the directories" : "", command);
}

void failures_release(struct failures *f) {
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].path);
        free(f->items[i].reason);
    }
    free(f->items);
    *f = (struct failures){0};
}
