#include "consumer/recent.h"
#include "pure/check.h"
#include <stdlib.h>

int recent_init(struct recent *r, uint64_t next_seq) {
    *r = (struct recent){.complete_from = next_seq};
    r->lines = calloc(RECENT_LINES_MAX, sizeof *r->lines);
    r->bytes = malloc(RECENT_BYTES_MAX);
    if (r->lines && r->bytes)
        return 0;
    recent_release(r);
    return ERR_NOMEM;
}

void recent_release(struct recent *r) {
    free(r->lines);
    free(r->bytes);
    *r = (struct recent){0};
}

static const struct recent_line *recent_line_at(const struct recent *r, size_t i) {
    return &r->lines[(r->first + i) % RECENT_LINES_MAX];
}

static void recent_drop_first(struct recent *r) {
    r->complete_from = recent_line_at(r, 0)->seq + 1;
    r->first = (r->first + 1) % RECENT_LINES_MAX;
    r->count--;
}

/* Drops lines until len bytes are free. Returns their offset. The bytes are a ring in the order of
 * seq: the oldest line is the first one after `write`. */
static size_t recent_make_room(struct recent *r, size_t len) {
    if (r->count == RECENT_LINES_MAX)
        recent_drop_first(r);
    if (r->write + len > RECENT_BYTES_MAX) {
        while (r->count && recent_line_at(r, 0)->offset >= r->write)
            recent_drop_first(r);
        r->write = 0;
    }
    while (r->count && recent_line_at(r, 0)->offset >= r->write && recent_line_at(r, 0)->offset < r->write + len)
        recent_drop_first(r);
    return r->write;
}

void recent_add(struct recent *r, uint64_t seq, uint64_t producers, struct slice line) {
    CHECK(line.len > 0 && line.len < RECENT_BYTES_MAX);
    size_t offset = recent_make_room(r, line.len);
    memcpy(r->bytes + offset, line.ptr, line.len);
    r->lines[(r->first + r->count) % RECENT_LINES_MAX] =
        (struct recent_line){.seq = seq, .producers = producers, .offset = (uint32_t)offset, .len = (uint32_t)line.len};
    r->count++;
    r->write = offset + line.len;
}

/* The index of the first line with seq >= from; count: there is none. */
static size_t recent_find(const struct recent *r, uint64_t from) {
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (recent_line_at(r, middle)->seq < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int recent_read(const struct recent *r, uint64_t producer, bool with_shared, uint64_t from, uint64_t to,
                uint32_t max_lines, size_t max_bytes, struct buf *out, uint32_t *lines, uint64_t *next) {
    size_t start = out->len;
    *lines = 0;
    *next = from > to ? from : to + 1;
    for (size_t i = recent_find(r, from); i < r->count; i++) {
        const struct recent_line *l = recent_line_at(r, i);
        if (l->seq > to)
            return 0;
        if (!(l->producers & producer) || (l->producers == UINT64_MAX && !with_shared))
            continue;
        if (*lines >= max_lines || (*lines > 0 && out->len - start + l->len > max_bytes)) {
            *next = l->seq;
            return 0;
        }
        int err = buf_add(out, r->bytes + l->offset, l->len);
        if (err)
            return err;
        ++*lines;
    }
    return 0;
}
