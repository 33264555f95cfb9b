#include "pure/listing.h"

#define TIME_BYTES 8
#define LENGTH_BYTES 2

static void listing_put_number(char *out, uint64_t value, size_t bytes) {
    for (size_t i = bytes; i-- > 0; value >>= 8)
        out[i] = (char)(value & 0xff);
}

static uint64_t listing_get_number(const char *in, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)in[i];
    return value;
}

static int listing_add_text(struct buf *page, struct slice text) {
    char length[LENGTH_BYTES];
    listing_put_number(length, text.len, sizeof length);
    int err = buf_add(page, length, sizeof length);
    return err ? err : buf_add_slice(page, text);
}

int listing_add(struct buf *page, const struct listed_upload *u) {
    char time[TIME_BYTES];
    if (u->key.len > UINT16_MAX || u->handle.len > UINT16_MAX)
        return ERR_LIMIT;
    size_t size = TIME_BYTES + 2 * (size_t)LENGTH_BYTES + u->key.len + u->handle.len;
    if (page->len + size > LISTING_MAX)
        return ERR_LIMIT;
    int err = buf_reserve(page, size); /* so that the rest cannot fail half-way */
    listing_put_number(time, (uint64_t)u->initiated_us, sizeof time);
    if (!err)
        err = buf_add(page, time, sizeof time);
    if (!err)
        err = listing_add_text(page, u->key);
    return err ? err : listing_add_text(page, u->handle);
}

static int listing_take(struct slice *page, size_t len, struct slice *out) {
    if (page->len < len)
        return ERR_INVALID;
    *out = slice_make(page->ptr, len);
    *page = slice_make(page->ptr + len, page->len - len);
    return 0;
}

static int listing_take_text(struct slice *page, struct slice *text) {
    struct slice length;
    int err = listing_take(page, LENGTH_BYTES, &length);
    return err ? err : listing_take(page, (size_t)listing_get_number(length.ptr, LENGTH_BYTES), text);
}

int listing_next(struct slice *page, struct listed_upload *u) {
    struct slice time;
    if (page->len == 0)
        return ERR_NOT_FOUND;
    int err = listing_take(page, TIME_BYTES, &time);
    if (err)
        return err;
    u->initiated_us = (int64_t)listing_get_number(time.ptr, TIME_BYTES);
    err = listing_take_text(page, &u->key);
    return err ? err : listing_take_text(page, &u->handle);
}
