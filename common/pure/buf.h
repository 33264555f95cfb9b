/*
 * struct buf: a growing sequence of bytes. struct slice: bytes in memory of another owner.
 *
 * Invariant: data is NULL only when cap is 0; otherwise data[len] is a NUL, so that text can be printed. BUF_INIT or a
 * zeroed struct is an empty buffer. An append is complete or has no effect: on ERR_NOMEM the buffer is unchanged.
 */
#ifndef CHUNKLIFT_BUF_H
#define CHUNKLIFT_BUF_H

#include "pure/err.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;
};

struct buf {
    char *data;
    size_t len, cap;
};

#define BUF_INIT                                                                                                       \
    { NULL, 0, 0 }

static inline struct slice slice_of(const char *text) {
    return (struct slice){text, text ? strlen(text) : 0};
}
static inline struct slice slice_make(const void *ptr, size_t len) {
    return (struct slice){(const char *)ptr, len};
}
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline struct slice buf_slice(const struct buf *b) {
    return (struct slice){b->data, b->len};
}
/* A NUL-terminated heap copy, the caller's to free(); NULL when memory is out. */
char *slice_dup(struct slice s) MUST_CHECK;

int buf_reserve(struct buf *b, size_t extra) MUST_CHECK;
int buf_add(struct buf *b, const void *bytes, size_t len) MUST_CHECK;
int buf_add_text(struct buf *b, const char *text) MUST_CHECK;
int buf_add_slice(struct buf *b, struct slice s) MUST_CHECK;
int buf_add_byte(struct buf *b, char byte) MUST_CHECK;
int buf_add_u64(struct buf *b, uint64_t value) MUST_CHECK; /* decimal */
int buf_addf(struct buf *b, const char *format, ...) MUST_CHECK __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b);   /* len = 0, memory kept */
void buf_release(struct buf *b); /* memory freed, struct ready for use again */

#endif
