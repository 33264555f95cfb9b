#include "producer/source/mime_types.h"
#include "pure/array.h"
#include "pure/list.h"
#include "pure/properties.h"
#include "system/file_io.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define FILE_BYTES_USUAL ((size_t)96 << 10)
#define EXTENSION_MAX 32 /* bytes; a longer one is not looked up */

static bool mime_byte_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; empty: there is none. */
static struct slice mime_next_word(struct slice *line) {
    size_t start = 0, end;
    while (start < line->len && mime_byte_is_blank(line->ptr[start]))
        start++;
    for (end = start; end < line->len && !mime_byte_is_blank(line->ptr[end]);)
        end++;
    struct slice word = slice_make(line->ptr + start, end - start);
    *line = slice_make(line->ptr + end, line->len - end);
    return word;
}

static struct mime_type *mime_types_get(const struct mime_types *m, struct slice extension) {
    for (struct hash_node *n = hash_first(&m->by_extension, hash_bytes(extension.ptr, extension.len)); n;
         n = hash_next(n)) {
        struct mime_type *t = list_entry(n, struct mime_type, by_extension);
        if (slice_equal(t->extension, extension))
            return t;
    }
    return NULL;
}

/* Most lines have a type without an extension. */
static int mime_types_add_line(struct mime_types *m, size_t *cap, struct slice line) {
    struct slice name = mime_next_word(&line), extension;
    if (name.len == 0 || *name.ptr == '#' || property_value_problem(name))
        return 0;
    while ((extension = mime_next_word(&line)).len && *extension.ptr != '#') {
        int err = array_grow(&m->items, cap, m->count, sizeof *m->items);
        if (err)
            return err;
        m->items[m->count++] = (struct mime_type){.extension = extension, .name = name};
    }
    return 0;
}

int mime_types_parse(struct mime_types *m, struct buf *text) {
    size_t cap = 0;
    int err = 0;
    *m = (struct mime_types){.text = *text};
    *text = (struct buf)BUF_INIT;
    for (const char *at = m->text.data, *end = at + m->text.len, *next; !err && at < end; at = next) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at);
        next = newline ? newline + 1 : end;
        err = mime_types_add_line(m, &cap, slice_make(at, len));
    }
    for (size_t i = err ? 0 : m->count; i-- > 0;) { /* the items do not move any more */
        struct mime_type *t = &m->items[i];
        if (!mime_types_get(m, t->extension))
            hash_insert(&m->by_extension, &t->by_extension, hash_bytes(t->extension.ptr, t->extension.len));
    }
    if (err)
        mime_types_release(m);
    return err;
}

int mime_types_read(struct mime_types *m, const char *path) {
    struct buf text = BUF_INIT;
    *m = (struct mime_types){.count = 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd == -1)
        return err_from_errno(errno);
    int err = buf_reserve(&text, FILE_BYTES_USUAL);
    if (!err)
        err = file_read_all(fd, &text, FILE_BYTES_MAX);
    close(fd);
    if (!err)
        err = mime_types_parse(m, &text);
    buf_release(&text);
    return err;
}

void mime_types_release(struct mime_types *m) {
    hash_release(&m->by_extension);
    free(m->items);
    buf_release(&m->text);
    *m = (struct mime_types){.count = 0};
}

struct mime_type *mime_types_find(const struct mime_types *m, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    char lower[EXTENSION_MAX];
    size_t len = dot && dot > name ? strlen(dot + 1) : 0;
    if (m->count == 0 || len == 0 || len > EXTENSION_MAX)
        return NULL;
    struct mime_type *t = mime_types_get(m, slice_make(dot + 1, len));
    if (t)
        return t;
    for (size_t i = 0; i < len; i++)
        lower[i] = dot[1 + i] >= 'A' && dot[1 + i] <= 'Z' ? (char)(dot[1 + i] | 0x20) : dot[1 + i];
    return mime_types_get(m, slice_make(lower, len));
}
