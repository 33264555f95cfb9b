#include "pure/buf.h"
#include "pure/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define CAP_FIRST 64

char *slice_dup(struct slice s) {
    if (s.len == SIZE_MAX)
        return NULL;
    char *copy = malloc(s.len + 1);
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

int buf_reserve(struct buf *b, size_t extra) {
    if (b->cap && extra < b->cap - b->len) /* one byte stays for the NUL */
        return 0;
    size_t need, cap = MAX(b->cap * 2, CAP_FIRST);
    if (__builtin_add_overflow(b->len + 1, extra, &need) || need > PTRDIFF_MAX)
        return ERR_NOMEM; /* and no call that a sanitizer aborts */
    cap = MAX(cap, need);
    char *data = realloc(b->data, cap);
    if (!data)
        return ERR_NOMEM;
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add(struct buf *b, const void *bytes, size_t len) {
    int err = buf_reserve(b, len);
    if (err)
        return err;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add_text(struct buf *b, const char *text) {
    return buf_add(b, text, strlen(text));
}

int buf_add_slice(struct buf *b, struct slice s) {
    return buf_add(b, s.ptr, s.len);
}

int buf_add_byte(struct buf *b, char byte) {
    return buf_add(b, &byte, 1);
}

int buf_add_u64(struct buf *b, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return buf_add(b, digits + at, sizeof digits - at);
}

int buf_addf(struct buf *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    int err = len < 0 ? ERR_INVALID : buf_reserve(b, (size_t)len);
    if (!err) {
        vsnprintf(b->data + b->len, (size_t)len + 1, format, again);
        b->len += (size_t)len;
    }
    va_end(again);
    return err;
}

void buf_clear(struct buf *b) {
    CHECK(b->data || b->cap == 0);
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void buf_release(struct buf *b) {
    free(b->data);
    *b = (struct buf)BUF_INIT;
}
