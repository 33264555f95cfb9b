/* Messages to bytes, by the tables of proto_fields.c. Nothing here knows a particular message. */
#include "pure/check.h"
#include "pure/proto.h"
#include "pure/proto_fields.h"
#include "pure/proto_member.h"
#include <msgpack.h>

struct encoder {
    msgpack_packer packer;
    struct buf *out;
    size_t start, max; /* the frame begins at out->data + start and has at most max bytes */
    bool head_only;    /* end before the value of FIELD_BYTES */
    int err;           /* the first error; nothing is written after it */
};

static int encoder_write(void *arg, const char *bytes, size_t len) {
    struct encoder *e = arg;
    if (!e->err && len > e->max - (e->out->len - e->start))
        e->err = ERR_LIMIT;
    if (!e->err)
        e->err = buf_add(e->out, bytes, len);
    return e->err ? -1 : 0;
}

static void encode_bytes(struct encoder *e, const void *bytes, size_t len) {
    msgpack_pack_bin(&e->packer, len);
    msgpack_pack_bin_body(&e->packer, bytes, len);
}

static void encode_time(struct encoder *e, nanotime t) {
    uint8_t bytes[TIME_BYTES];
    if (t >= INT64_MIN && t <= INT64_MAX) {
        msgpack_pack_int64(&e->packer, (int64_t)t);
        return;
    }
    for (size_t i = TIME_BYTES; i-- > 0; t >>= 8)
        bytes[i] = (uint8_t)t;
    encode_bytes(e, bytes, sizeof bytes);
}

static int encode_schema(struct encoder *e, const struct schema *s, const void *base);

static int encode_text(struct encoder *e, struct slice text, uint64_t max, bool nul_allowed) {
    int err = text_check(text, max, nul_allowed);
    if (err)
        return err;
    encode_bytes(e, text.ptr, text.len);
    return e->err;
}

static int encode_bytes_head(struct encoder *e, size_t len, uint64_t max) {
    if (len > max)
        return ERR_LIMIT;
    msgpack_pack_bin(&e->packer, len);
    return e->err;
}

static int encode_list(struct encoder *e, const struct field *f, const void *base) {
    const char *list = member_list(f, base);
    size_t count = member_count(f, base);
    if (count > f->maximum)
        return ERR_LIMIT;
    msgpack_pack_array(&e->packer, count);
    int err = e->err;
    for (size_t i = 0; i < count && !err; i++) {
        if (f->kind == FIELD_LIST) {
            err = encode_schema(e, f->schema, list + i * f->schema->size);
        } else {
            const struct slice *text = (const struct slice *)(const void *)list + i;
            err = text->len == 0 ? ERR_INVALID : encode_text(e, *text, f->text_max, false);
        }
    }
    return err;
}

static int encode_value(struct encoder *e, const struct field *f, const void *base) {
    const char *at = (const char *)base + f->offset;
    uint64_t number;
    switch ((enum field_kind)f->kind) {
    case FIELD_U32:
    case FIELD_U64:
        number = member_number(f, base);
        if (number > f->maximum)
            return ERR_INVALID;
        msgpack_pack_uint64(&e->packer, number);
        return e->err;
    case FIELD_I64:
        msgpack_pack_int64(&e->packer, (int64_t)member_number(f, base));
        return e->err;
    case FIELD_TIME:
        encode_time(e, member_time(f, base));
        return e->err;
    case FIELD_BOOL:
        msgpack_pack_true(&e->packer);
        return e->err;
    case FIELD_ID:
        encode_bytes(e, at, sizeof(struct id128));
        return e->err;
    case FIELD_TEXT:
    case FIELD_BYTES:
        if (e->head_only && f->kind == FIELD_BYTES)
            return encode_bytes_head(e, member_slice(f, base).len, f->maximum);
        return encode_text(e, member_slice(f, base), f->maximum, f->kind == FIELD_BYTES);
    case FIELD_STRUCT:
        return encode_schema(e, f->schema, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return encode_list(e, f, base);
    }
    return ERR_INVALID;
}

static int encode_schema(struct encoder *e, const struct schema *s, const void *base) {
    uint64_t present = 0; /* bits of the fields that are not empty */
    for (size_t i = 0; i < s->field_count; i++) {
        bool empty = field_is_empty(&s->fields[i], base);
        if (empty && s->fields[i].required)
            return ERR_INVALID;
        present |= (uint64_t)!empty << i;
    }
    msgpack_pack_map(&e->packer, (size_t)__builtin_popcountll(present));
    int err = e->err;
    for (; present && !err; present &= present - 1) {
        const struct field *f = &s->fields[__builtin_ctzll(present)];
        msgpack_pack_uint16(&e->packer, f->number);
        err = encode_value(e, f, base);
    }
    return err;
}

static int encode_message(const struct msg *m, bool head_only, struct buf *out) {
    const struct schema *schema = message_schema(m->type);
    if (!schema)
        return ERR_INVALID;
    struct encoder e = {.out = out, .start = out->len, .max = message_frame_max(m->type), .head_only = head_only};
    msgpack_packer_init(&e.packer, &e, encoder_write);
    msgpack_pack_array(&e.packer, ENVELOPE_ELEMENTS);
    msgpack_pack_uint32(&e.packer, PROTO_VERSION);
    msgpack_pack_uint32(&e.packer, m->type);
    encode_bytes(&e, m->journal.b, id_is_zero(&m->journal) ? 0 : sizeof m->journal.b);
    encode_bytes(&e, m->sender.b, sizeof m->sender.b);
    msgpack_pack_uint64(&e.packer, m->number);
    int err = encode_schema(&e, schema, (const char *)m + BODY_OFFSET);
    if (!err)
        err = e.err;
    if (err && out->data) {
        out->len = e.start;
        out->data[out->len] = 0;
    }
    return err;
}

int msg_encode(const struct msg *m, struct buf *out) {
    return encode_message(m, false, out);
}

int msg_encode_data_head(const struct msg *m, struct buf *out) {
    CHECK(m->type == MSG_DATA); /* its bytes are the last field of its table */
    return encode_message(m, true, out);
}
