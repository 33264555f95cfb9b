#include "consumer/recent.h"
#include "pure/check.h"
#include <stdlib.h>

int recent_init(struct recent *r, uint64_t next_seq) {
    *r = (struct recent){.complete_from = next_seq, .lines_cap = RECENT_LINES_FIRST, .bytes_cap = RECENT_BYTES_FIRST};
    r->lines = calloc(r->lines_cap, sizeof *r->lines);
    r->bytes = malloc(r->bytes_cap);
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
    return &r->lines[(r->first + i) % r->lines_cap];
}

static void recent_drop_first(struct recent *r) {
    r->complete_from = recent_line_at(r, 0)->seq + 1;
    r->first = (r->first + 1) % r->lines_cap;
    r->count--;
}

void recent_forget(struct recent *r, uint64_t seq) {
    while (r->count && recent_line_at(r, 0)->seq < seq)
        recent_drop_first(r);
}

/* Twice the room for lines. false: none is left to grow. */
static bool recent_grow_lines(struct recent *r) {
    size_t cap = 2 * r->lines_cap;
    struct recent_line *lines = cap <= RECENT_LINES_MAX ? calloc(cap, sizeof *lines) : NULL;
    if (!lines)
        return false;
    for (size_t i = 0; i < r->count; i++)
        lines[i] = *recent_line_at(r, i);
    free(r->lines);
    r->lines = lines;
    r->lines_cap = cap;
    r->first = 0;
    return true;
}

/* Twice the room for bytes, with the lines at its start. */
static bool recent_grow_bytes(struct recent *r) {
    size_t cap = 2 * r->bytes_cap, write = 0;
    char *bytes = cap <= RECENT_BYTES_MAX ? malloc(cap) : NULL;
    if (!bytes)
        return false;
    for (size_t i = 0; i < r->count; i++) {
        struct recent_line *l = &r->lines[(r->first + i) % r->lines_cap];
        memcpy(bytes + write, r->bytes + l->offset, l->len);
        l->offset = (uint32_t)write;
        write += l->len;
    }
    free(r->bytes);
    r->bytes = bytes;
    r->bytes_cap = cap;
    r->write = write;
    return true;
}

/* Finds len free bytes behind the newest line, or at the start of the ring. */
static bool recent_find_room(struct recent *r, size_t len) {
    if (r->count == 0) {
        r->write = 0;
        return len <= r->bytes_cap;
    }
    size_t oldest = recent_line_at(r, 0)->offset;
    if (r->write <= oldest)
        return oldest - r->write >= len;
    if (r->bytes_cap - r->write >= len)
        return true;
    if (oldest < len)
        return false;
    r->write = 0;
    return true;
}

static void recent_make_room(struct recent *r, size_t len) {
    if (r->count == r->lines_cap && !recent_grow_lines(r))
        recent_drop_first(r);
    while (!recent_find_room(r, len))
        if (!recent_grow_bytes(r))
            recent_drop_first(r);
}

void recent_add(struct recent *r, uint64_t seq, uint64_t producers, struct slice line) {
    CHECK(line.len > 0 && line.len < RECENT_BYTES_MAX);
    recent_make_room(r, line.len);
    memcpy(r->bytes + r->write, line.ptr, line.len);
    r->lines[(r->first + r->count) % r->lines_cap] = (struct recent_line){
        .seq = seq, .producers = producers, .offset = (uint32_t)r->write, .len = (uint32_t)line.len};
    r->count++;
    r->write += line.len;
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
