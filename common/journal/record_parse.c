/*
 * Parser of journal lines: one pass, and no allocation except for strings with escapes. It accepts
 * only lines that the encoder writes, with two exceptions: the fields of an event can be in any
 * order, and unknown fields are skipped, whatever their type.
 *
 * The parser works from both ends. The last 40 bytes are `,"h":"..."}`, and the fields before them
 * must end exactly there. So h is the last field, and no string can include it.
 */
#include "journal/record_layout.h"
#include "pure/check.h"
#include "pure/json_reader.h"
#include "pure/rfc3339.h"

#define UNKNOWN_MAX 32

struct line_parser {
    struct json_reader json;
    uint64_t seen; /* FIELD_BITs */
    struct slice unknown[UNKNOWN_MAX];
    unsigned unknown_count;
};

/* A field's name and the colon. */
static int parse_name(struct json_reader *in, struct slice *name) {
    int err = json_read_unescaped(in, name);
    return err || !json_take_byte(in, ':') ? ERR_INVALID : 0;
}

static bool name_is_reserved(struct slice name) {
    static const char *const reserved[] = {"seq", "batch", "ts", "ev", "h"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (slice_equal(name, slice_of(reserved[i])))
            return true;
    return false;
}

static int parse_unknown(struct line_parser *in, struct slice name) {
    if (name_is_reserved(name))
        return ERR_INVALID;
    for (unsigned i = 0; i < in->unknown_count; i++)
        if (slice_equal(name, in->unknown[i]))
            return ERR_INVALID;
    if (in->unknown_count == UNKNOWN_MAX)
        return ERR_LIMIT;
    in->unknown[in->unknown_count++] = name;
    return json_skip_value(&in->json);
}

static int parse_value(struct json_reader *in, const struct record_field_def *f, bool base64, void *value) {
    struct slice text;
    uint64_t number;
    int err;
    switch ((enum field_type)f->type) {
    case FIELD_U64:
        return json_read_u64(in, value);
    case FIELD_U32:
        err = json_read_u64(in, &number);
        if (err || number > UINT32_MAX)
            return ERR_INVALID;
        *(uint32_t *)value = (uint32_t)number;
        return 0;
    case FIELD_I64:
        return json_read_quoted_i64(in, value);
    case FIELD_TIME:
        err = json_read_unescaped(in, &text);
        return err ? err : nanotime_parse(text, value);
    case FIELD_ID:
        err = json_read_fixed(in, ID_HEX_LEN, &text);
        return err ? err : id_from_hex(value, text);
    case FIELD_CRC:
        err = json_read_fixed(in, CRC_TEXT_SIZE - 1, &text);
        return err ? err : crc32c_from_text(text, value);
    case FIELD_NAME:
        return base64 ? json_read_base64(in, value) : json_read_string(in, value);
    case FIELD_TEXT:
        return json_read_string(in, value);
    }
    CHECK(!"a field's type is one of the above");
    return ERR_INVALID;
}

static bool field_has_name(struct slice name, const struct record_field_def *f, bool *base64) {
    *base64 = false;
    if (name.len < f->name_len || memcmp(name.ptr, f->name, f->name_len) != 0)
        return false;
    if (name.len == f->name_len)
        return true;
    *base64 = f->type == FIELD_NAME && name.len == f->name_len + 4u && memcmp(name.ptr + f->name_len, "_b64", 4) == 0;
    return *base64;
}

/* The position of name in the layout's order, or layout->count when it is unknown. The search
 * starts at next, the usual position. */
static unsigned layout_find(const struct record_layout *layout, unsigned next, struct slice name, bool *base64) {
    for (unsigned tried = 0; tried < layout->count; tried++) {
        unsigned position = next + tried < layout->count ? next + tried : next + tried - layout->count;
        if (field_has_name(name, &record_fields[layout->order[position]], base64))
            return position;
    }
    return layout->count;
}

static int parse_field(struct line_parser *in, const struct record_layout *layout, unsigned *next, struct record *r) {
    struct slice name;
    bool base64;
    if (!json_take_byte(&in->json, ','))
        return ERR_INVALID;
    int err = parse_name(&in->json, &name);
    if (err)
        return err;
    unsigned position = layout_find(layout, *next, name, &base64);
    if (position == layout->count)
        return parse_unknown(in, name);
    unsigned id = layout->order[position];
    const struct record_field_def *f = &record_fields[id];
    if (in->seen & FIELD_BIT(id))
        return ERR_INVALID;
    in->seen |= FIELD_BIT(id);
    r->has |= f->has;
    *next = position + 1;
    return parse_value(&in->json, f, base64, (char *)r + f->offset);
}

static int parse_time(struct json_reader *in, int64_t *ts_us) {
    struct slice text;
    int err = json_read_fixed(in, RFC3339_SIZE - 1, &text);
    return err ? err : rfc3339_parse_exact(text, ts_us);
}

static int record_ev_from_name(struct slice name, enum record_ev *ev) {
    for (enum record_ev e = EV_EPOCH; e < EV_COUNT; e++)
        if (slice_equal(name, slice_of(record_ev_name(e)))) {
            *ev = e;
            return 0;
        }
    return ERR_VERSION;
}

/* The first fields of every line, in this order: seq, batch, ts, ev, and kind in a carry. */
static int parse_head(struct line_parser *in, struct record *r) {
    struct json_reader *json = &in->json;
    struct slice ev;
    if (!JSON_TAKE(json, "{\"seq\":") || json_read_u64(json, &r->seq) || !JSON_TAKE(json, ",\"batch\":") ||
        json_read_u64(json, &r->batch) || !JSON_TAKE(json, ",\"ts\":") || parse_time(json, &r->ts_us) ||
        !JSON_TAKE(json, ",\"ev\":"))
        return ERR_INVALID;
    int err = json_read_unescaped(json, &ev);
    if (!err)
        err = record_ev_from_name(ev, &r->ev);
    if (err || r->ev != EV_CARRY)
        return err;
    if (!JSON_TAKE(json, ",\"kind\":"))
        return ERR_INVALID;
    in->seen |= FIELD_BIT(F_KIND);
    return json_read_unescaped(json, &r->kind);
}

/* chunk_size and chunks are present together or not at all. */
static bool has_whole_geometry(uint64_t seen) {
    return !(seen & FIELD_BIT(F_CHUNK_SIZE)) == !(seen & FIELD_BIT(F_CHUNKS));
}

int record_parse(struct slice line, struct record *r, struct buf *scratch) {
    const char *h;
    memset(r, 0, sizeof *r);
    buf_clear(scratch);
    if (line.len >= RECORD_LINE_MAX)
        return ERR_LIMIT;
    if (!chain_split_tail(line, &h))
        return ERR_INVALID;
    struct line_parser in;
    in.json = json_reader_of(slice_make(line.ptr, line.len - CHAIN_TAIL_LEN), scratch);
    in.seen = 0;
    in.unknown_count = 0; /* so the array unknown needs no initial value */
    int err = parse_head(&in, r);
    const struct record_layout *layout = err ? NULL : record_layout_of(r->ev, r->kind);
    if (!err && !layout)
        err = ERR_VERSION;
    for (unsigned next = 0; !err && in.json.at < in.json.end;)
        err = parse_field(&in, layout, &next, r);
    if (err)
        return err;
    if (r->ev == EV_EPOCH && r->version > JOURNAL_VERSION)
        return ERR_VERSION;
    if ((in.seen & layout->required) != layout->required || !has_whole_geometry(in.seen) || !record_is_valid(r))
        return ERR_INVALID;
    memcpy(r->h, h, ID_HEX_LEN);
    return 0;
}
