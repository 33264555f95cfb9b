#include "scripted_source.h"

#include "pure/digest.h"
#include "pure/err.h"
#include <stdio.h>
#include <string.h>

struct scripted_source scripted;

static ssize_t scripted_source_read(struct source *s, void *out, size_t max) {
    if (scripted.dry)
        return ERR_AGAIN;
    if (scripted.error && s->position >= scripted.fail_at)
        return scripted.error;
    if (scripted.error && max > scripted.fail_at - s->position)
        max = (size_t)(scripted.fail_at - s->position);
    if (scripted.piece && max > scripted.piece)
        max = (size_t)scripted.piece;
    memset(out, scripted.byte, max);
    s->crc = crc32c_add(s->crc, out, max);
    scripted.dry = scripted.piece && s->position + max < s->length;
    scripted.polls = 0;
    return (ssize_t)max;
}

static bool scripted_source_ready(const struct source *s) {
    (void)s;
    if (scripted.dry && ++scripted.polls >= SCRIPTED_POLLS)
        scripted.dry = false;
    return !scripted.dry;
}

static int scripted_source_rewind(struct source *s) {
    (void)s;
    scripted.rewinds++;
    return 0;
}

static int scripted_source_check(struct source *s, char *why, size_t why_size) {
    (void)s;
    snprintf(why, why_size, "%s", scripted.check_error && scripted.why ? scripted.why : "");
    return scripted.check_error;
}

static void scripted_source_close(struct source *s) {
    (void)s;
}

struct source *scripted_source_open(uint64_t length, bool fetched) {
    scripted = (struct scripted_source){.base = {.ops = &scripted.ops, .length = length},
                                        .ops = {.read = scripted_source_read,
                                                .check = scripted_source_check,
                                                .close = scripted_source_close,
                                                .ready = fetched ? scripted_source_ready : NULL,
                                                .rewind = scripted_source_rewind},
                                        .byte = 'a'};
    return &scripted.base;
}
