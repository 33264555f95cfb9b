#include "producer/show/columns.h"
#include <stdbool.h>
#include <wchar.h>

/* The columns of the first character, and its length in bytes. */
static int columns_of_character(struct slice text, size_t *bytes) {
    wchar_t wide;
    mbstate_t state = {0};
    size_t n = mbrtowc(&wide, text.ptr, text.len, &state);
    if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
        for (n = 1; n < text.len && ((unsigned char)text.ptr[n] & 0xc0) == 0x80;)
            n++;
        *bytes = n;
        return 1;
    }
    *bytes = n;
    int columns = wcwidth(wide);
    return columns < 0 ? 1 : columns;
}

/* Without its first character. */
static int columns_skip(struct slice *text) {
    size_t n;
    int columns = columns_of_character(*text, &n);
    *text = slice_make(text->ptr + n, text->len - n);
    return columns;
}

int columns_of(struct slice text) {
    int columns = 0;
    while (text.len > 0)
        columns += columns_skip(&text);
    return columns;
}

int columns_add_end(struct buf *out, struct slice text, int room) {
    int columns = columns_of(text);
    bool cut = columns > room;
    while (columns > room - (cut ? 1 : 0) && text.len > 0)
        columns -= columns_skip(&text);
    return buf_addf(out, "%s%.*s%*s", cut ? "…" : "", (int)text.len, text.ptr, room - columns - (cut ? 1 : 0), "");
}

int columns_add_start(struct buf *out, struct slice text, int room) {
    struct slice rest = text;
    while (rest.len > 0) {
        struct slice next = rest;
        room -= columns_skip(&next);
        if (room < 0)
            break;
        rest = next;
    }
    return buf_add(out, text.ptr, text.len - rest.len);
}
