/*
 * The header lines of a request. They share one buffer, which the transfer keeps: the list that libcurl reads is made of
 * the transfer's own nodes, so a request allocates nothing for its headers. They may have a session token, so they are
 * wiped after each request.
 */
#include "pure/check.h"
#include "uploader/http/http_internal.h"
#include <sys/param.h>

#define LINES_USUAL 2048 /* bytes */

void http_headers_clear(struct http_transfer *t) {
    if (t->lines.data)
        explicit_bzero(t->lines.data, t->lines.len);
    buf_clear(&t->lines);
    t->line_count = 0;
}

/* A larger buffer leaves no copy of the lines behind. */
static int http_headers_reserve(struct buf *lines, size_t bytes) {
    if (lines->cap - lines->len > bytes)
        return 0;
    struct buf larger = BUF_INIT;
    int err = buf_reserve(&larger, MAX(2 * (lines->len + bytes), LINES_USUAL));
    if (!err)
        err = buf_add_slice(&larger, buf_slice(lines));
    if (err) {
        buf_release(&larger);
        return err;
    }
    if (lines->data)
        explicit_bzero(lines->data, lines->len);
    buf_release(lines);
    *lines = larger;
    return 0;
}

int http_headers_add(struct http_transfer *t, const char *name, struct slice value) {
    if (t->line_count == HTTP_HEADERS_MAX)
        return ERR_LIMIT;
    size_t start = t->lines.len;
    int err = http_headers_reserve(&t->lines, strlen(name) + value.len + 1);
    if (!err)
        err = buf_add_text(&t->lines, name);
    if (!err)
        err = buf_add_slice(&t->lines, value);
    if (!err)
        err = buf_add_byte(&t->lines, '\0');
    if (!err)
        t->line_starts[t->line_count++] = start;
    return err;
}

struct slice http_headers_line(const struct http_transfer *t, size_t i) {
    CHECK(i < t->line_count);
    size_t end = i + 1 < t->line_count ? t->line_starts[i + 1] : t->lines.len;
    return slice_make(t->lines.data + t->line_starts[i], end - 1 - t->line_starts[i]);
}

struct curl_slist *http_headers_list(struct http_transfer *t) {
    for (size_t i = 0; i < t->line_count; i++)
        t->nodes[i] = (struct curl_slist){.data = t->lines.data + t->line_starts[i],
                                          .next = i + 1 < t->line_count ? &t->nodes[i + 1] : NULL};
    return t->line_count ? t->nodes : NULL;
}
