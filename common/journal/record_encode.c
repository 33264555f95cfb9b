/*
 * Encoder of journal lines. The fields of each event are in one table (record_layout.c), which the
 * parser uses too: the encoder writes exactly the lines that the parser accepts.
 *
 * Any bytes from a peer can be encoded. src and dest keep them (NAME_b64). In all other text, bytes
 * that are not UTF-8 become U+FFFD. So every line is valid JSON, whatever a store put into an error
 * text.
 */
#include "journal/record_layout.h"
#include "pure/check.h"
#include "pure/rfc3339.h"
#include "pure/text.h"
#include <string.h>

/* The member of r that f describes. */
static const void *record_member(const struct record *r, const struct record_field_def *f) {
    return (const char *)r + f->offset;
}

static int encode_ts(struct buf *out, int64_t ts_us) {
    char text[RFC3339_SIZE];
    rfc3339_format(ts_us, text);
    return buf_add_text(out, text);
}

static int encode_field_name(struct buf *out, const struct record_field_def *f, const char *suffix) {
    int err = buf_add(out, ",\"", 2);
    if (!err)
        err = buf_add(out, f->name, f->name_len);
    if (!err)
        err = buf_add_text(out, suffix);
    return err ? err : buf_add(out, "\":", 2);
}

static int encode_quoted(struct buf *out, const char *text, size_t len) {
    int err = buf_add_byte(out, '"');
    if (!err)
        err = buf_add(out, text, len);
    return err ? err : buf_add_byte(out, '"');
}

static int encode_i64(struct buf *out, int64_t value) {
    int err = buf_add(out, "\"-", value < 0 ? 2 : 1);
    if (!err)
        err = buf_add_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    return err ? err : buf_add_byte(out, '"');
}

static int encode_time_ns(struct buf *out, const nanotime *value) {
    char text[NANOTIME_TEXT_SIZE];
    nanotime_format(*value, text);
    return encode_quoted(out, text, strlen(text));
}

static int encode_base64(struct buf *out, struct slice bytes) {
    int err = buf_add_byte(out, '"');
    if (!err)
        err = base64_add(out, bytes);
    return err ? err : buf_add_byte(out, '"');
}

/* No name contains a NUL. One from a peer is encoded in base64, so that the line stays readable. */
static bool encodes_as_text(struct slice s) {
    return s.len == 0 || (utf8_is_valid(s) && !memchr(s.ptr, '\0', s.len));
}

static int encode_field(struct buf *out, const struct record *r, const struct record_field_def *f) {
    const void *value = record_member(r, f);
    char text[ID_HEX_SIZE];
    bool raw = f->type == FIELD_NAME && !encodes_as_text(*(const struct slice *)value);
    int err = encode_field_name(out, f, raw ? "_b64" : "");
    if (err)
        return err;
    switch ((enum field_type)f->type) {
    case FIELD_U64:
        return buf_add_u64(out, *(const uint64_t *)value);
    case FIELD_U32:
        return buf_add_u64(out, *(const uint32_t *)value);
    case FIELD_TIME:
        return encode_time_ns(out, value);
    case FIELD_I64:
        return encode_i64(out, *(const int64_t *)value);
    case FIELD_ID:
        id_to_hex(value, text);
        return encode_quoted(out, text, ID_HEX_LEN);
    case FIELD_CRC:
        crc32c_to_text(*(const uint32_t *)value, text);
        return encode_quoted(out, text, CRC_TEXT_SIZE - 1);
    case FIELD_NAME:
        if (raw)
            return encode_base64(out, *(const struct slice *)value);
        return json_add_string(out, *(const struct slice *)value);
    case FIELD_TEXT:
        return json_add_string_lossy(out, *(const struct slice *)value);
    }
    CHECK(!"a field's type is one of the above");
    return ERR_INVALID;
}

/* An optional field is written when its bit is set; text also only when it is not empty. */
static bool field_is_encoded(const struct record *r, const struct record_layout *layout, unsigned id) {
    const struct record_field_def *f = &record_fields[id];
    if (layout->required & FIELD_BIT(id))
        return true;
    if ((r->has & f->has) != f->has)
        return false;
    if (id == F_ENDPOINT) /* file:// has none: readers get an empty one */
        return true;
    return f->type != FIELD_TEXT || ((const struct slice *)record_member(r, f))->len > 0;
}

/* The line before its tail. */
static int encode_body(struct buf *out, const struct record *r) {
    const struct record_layout *layout = record_layout_of(r->ev, r->kind);
    int err = buf_add_text(out, "{\"seq\":");
    if (!err)
        err = buf_add_u64(out, r->seq);
    if (!err)
        err = buf_add_text(out, ",\"batch\":");
    if (!err)
        err = buf_add_u64(out, r->batch);
    if (!err)
        err = buf_add_text(out, ",\"ts\":\"");
    if (!err)
        err = encode_ts(out, r->ts_us);
    if (!err)
        err = buf_add_text(out, "\",\"ev\":\"");
    if (!err)
        err = buf_add_text(out, record_ev_name(r->ev));
    if (!err)
        err = buf_add_byte(out, '"');
    for (unsigned i = 0; !err && i < layout->count; i++)
        if (field_is_encoded(r, layout, layout->order[i]))
            err = encode_field(out, r, &record_fields[layout->order[i]]);
    return err;
}

int record_encode(const struct record *r, struct chain *c, struct buf *out) {
    char h[ID_HEX_SIZE];
    size_t start = out->len;
    CHECK(record_is_valid(r));
    int err = encode_body(out, r);
    if (!err && out->len - start > RECORD_LINE_MAX - CHAIN_TAIL_LEN - 1)
        err = ERR_LIMIT;
    if (!err)
        err = chain_next(c, slice_make(out->data + start, out->len - start), h);
    if (!err)
        err = buf_add_text(out, ",\"h\":\"");
    if (!err)
        err = buf_add(out, h, ID_HEX_LEN);
    if (!err)
        err = buf_add_text(out, "\"}\n");
    if (!err)
        memcpy(c->h, h, sizeof h);
    else if (out->data) {
        out->len = start;
        out->data[start] = '\0';
    }
    return err;
}
