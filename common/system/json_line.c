#include "system/json_line.h"

#include "pure/rfc3339.h"
#include "pure/text.h"
#include <stdio.h>

static void json_line_note(struct json_line *l, int err) {
    if (!l->err)
        l->err = err;
}

static void json_line_key(struct json_line *l, const char *key) {
    json_line_note(l, buf_addf(&l->text, "%s\"%s\":", l->text.len > 1 ? "," : "", key));
}

void json_line_begin(struct json_line *l, const char *event) {
    *l = (struct json_line){0};
    json_line_note(l, buf_add_byte(&l->text, '{'));
    if (event)
        json_line_text(l, "event", slice_of(event));
}

void json_line_text(struct json_line *l, const char *key, struct slice value) {
    json_line_key(l, key);
    if (utf8_is_valid(value)) {
        json_line_note(l, json_add_string(&l->text, value));
        return;
    }
    struct buf printable = BUF_INIT;
    json_line_note(l, text_add_printable(&printable, value));
    json_line_note(l, json_add_string(&l->text, buf_slice(&printable)));
    buf_release(&printable);
}

void json_line_name(struct json_line *l, const char *key, struct slice name) {
    if (utf8_is_valid(name)) {
        json_line_text(l, key, name);
        return;
    }
    json_line_note(l, buf_addf(&l->text, "%s\"%s_b64\":\"", l->text.len > 1 ? "," : "", key));
    json_line_note(l, base64_add(&l->text, name));
    json_line_note(l, buf_add_byte(&l->text, '"'));
}

void json_line_id(struct json_line *l, const char *key, const struct id128 *id) {
    char hex[ID_HEX_SIZE];
    id_to_hex(id, hex);
    json_line_text(l, key, slice_of(hex));
}

void json_line_number(struct json_line *l, const char *key, uint64_t value) {
    json_line_key(l, key);
    json_line_note(l, buf_add_u64(&l->text, value));
}

void json_line_time(struct json_line *l, const char *key, int64_t real_us) {
    char text[RFC3339_SIZE];
    rfc3339_format(real_us, text);
    json_line_text(l, key, slice_of(text));
}

void json_line_bool(struct json_line *l, const char *key, bool value) {
    json_line_key(l, key);
    json_line_note(l, buf_add_text(&l->text, value ? "true" : "false"));
}

int json_line_end(struct json_line *l) {
    json_line_note(l, buf_add_text(&l->text, "}\n"));
    if (!l->err)
        fwrite(l->text.data, 1, l->text.len, stdout);
    buf_release(&l->text);
    return l->err;
}
