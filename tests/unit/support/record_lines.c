#include "record_lines.h"
#include "edge.h"
#include <stdlib.h>

struct buf sample_line(unsigned number) {
    struct record r;
    struct chain c;
    struct buf out = BUF_INIT;
    sample_record(number, &r);
    assert_int_equal(chain_init(&c), 0);
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_int_equal(out.data[out.len - 1], '\n');
    out.data[--out.len] = '\0';
    chain_release(&c);
    return out;
}

int line_parse(const char *line) {
    struct record r;
    struct buf scratch = BUF_INIT;
    int err = record_parse(edge_text(line), &r, &scratch);
    buf_release(&scratch);
    return err;
}

void line_split(const struct buf *line, struct line_parts *p) {
    bool quoted = false;
    p->count = 0;
    size_t start = 1;
    for (size_t at = 1; at < line->len; at++) {
        if (quoted && line->data[at] == '\\')
            at++;
        else if (line->data[at] == '"')
            quoted = !quoted;
        else if (!quoted && (line->data[at] == ',' || line->data[at] == '}')) {
            p->part[p->count].text = slice_dup(slice_make(line->data + start, at - start));
            assert_non_null(p->part[p->count++].text);
            start = at + 1;
        }
    }
    assert_true(p->count >= 5);
}

void line_parts_free(struct line_parts *p) {
    for (size_t i = 0; i < p->count; i++)
        free(p->part[i].text);
}

static struct buf line_join(const struct line_parts *p, int skip, int twice, const char *extra) {
    struct buf out = BUF_INIT;
    const char *separator = "{";
    for (size_t i = 0; i < p->count; i++) {
        if (i + 1 == p->count && extra)
            assert_int_equal(buf_addf(&out, "%s%s", separator, extra), 0);
        for (int k = 0; k < 1 + ((int)i == twice) - ((int)i == skip); k++) {
            assert_int_equal(buf_addf(&out, "%s%s", separator, p->part[i].text), 0);
            separator = ",";
        }
    }
    assert_int_equal(buf_add_byte(&out, '}'), 0);
    return out;
}

int line_parse_joined(const struct line_parts *p, int skip, int twice, const char *extra) {
    struct buf line = line_join(p, skip, twice, extra);
    int err = line_parse(line.data);
    buf_release(&line);
    return err;
}
