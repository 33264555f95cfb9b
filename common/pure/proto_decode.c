/*
 * Bytes to messages, in one pass over the tokens of the frame. proto_token.c checks nesting, counts and lengths.
 * decode_schema checks each token against the tables of proto_fields.c and fills in the structs. Lists are in a zone of
 * the message. msgpack-c's own unpacker is not used: it has no bound on the memory for the objects of a frame.
 */
#include "pure/proto.h"
#include "pure/proto_fields.h"
#include "pure/proto_member.h"
#include "pure/proto_token.h"
#include <msgpack.h>

#define LIST_ZONE_BYTES 1024 /* first piece of memory for lists */

struct decoder {
    struct tokens tokens;
    msgpack_zone *lists; /* NULL until the first list */
};

static int decode_schema(struct decoder *d, const struct schema *s, const struct token *t, void *base);

static int decoder_alloc(struct decoder *d, size_t size, void **memory) {
    if (!d->lists)
        d->lists = msgpack_zone_new(LIST_ZONE_BYTES);
    *memory = d->lists ? msgpack_zone_malloc(d->lists, size) : NULL;
    if (!*memory)
        return ERR_NOMEM;
    memset(*memory, 0, size);
    return 0;
}

static int decode_text(const struct token *t, uint64_t max, bool nul_allowed, struct slice *text) {
    if (t->kind != TOKEN_BIN)
        return ERR_INVALID;
    *text = t->bytes;
    return text_check(*text, max, nul_allowed) ? ERR_INVALID : 0;
}

static int decode_id(const struct token *t, struct id128 *id) {
    if (t->kind != TOKEN_BIN || t->bytes.len != sizeof id->b)
        return ERR_INVALID;
    memcpy(id->b, t->bytes.ptr, sizeof id->b);
    return 0;
}

static int decode_number(const struct field *f, const struct token *t, char *at) {
    if (t->kind != TOKEN_UNSIGNED || t->number > f->maximum)
        return ERR_INVALID;
    if (f->kind == FIELD_U32) {
        uint32_t narrow = (uint32_t)t->number;
        memcpy(at, &narrow, sizeof narrow);
    } else {
        memcpy(at, &t->number, sizeof t->number);
    }
    return 0;
}

static int decode_signed(const struct token *t, char *at) {
    if (t->kind != TOKEN_NEGATIVE && (t->kind != TOKEN_UNSIGNED || t->number > INT64_MAX))
        return ERR_INVALID;
    memcpy(at, &t->number, sizeof t->number);
    return 0;
}

static int decode_time(const struct token *t, char *at) {
    int64_t narrow;
    nanotime time;
    if (t->kind == TOKEN_BIN) {
        const uint8_t *bytes = (const uint8_t *)t->bytes.ptr;
        if (t->bytes.len != TIME_BYTES)
            return ERR_INVALID;
        time = (nanotime)(int64_t)big_endian_read(bytes, 8) * ((nanotime)1 << 64) + big_endian_read(bytes + 8, 8);
        if (!nanotime_is_valid(time))
            return ERR_INVALID;
    } else {
        if (decode_signed(t, (char *)&narrow))
            return ERR_INVALID;
        time = narrow;
    }
    memcpy(at, &time, sizeof time);
    return 0;
}

/* One entry of a list. */
static int decode_entry(struct decoder *d, const struct field *f, void *entry) {
    struct token t;
    struct slice *text = entry;
    int err = tokens_next(&d->tokens, &t);
    if (err)
        return err;
    if (f->kind == FIELD_LIST)
        return decode_schema(d, f->schema, &t, entry);
    err = decode_text(&t, f->text_max, false, text);
    return !err && text->len == 0 ? ERR_INVALID : err;
}

static int decode_list(struct decoder *d, const struct field *f, const struct token *t, void *base) {
    if (t->kind != TOKEN_ARRAY || t->number > f->maximum)
        return ERR_INVALID;
    size_t count = t->number;
    if (count == 0)
        return 0;
    size_t each = f->kind == FIELD_LIST ? f->schema->size : sizeof(struct slice);
    void *list;
    int err = decoder_alloc(d, count * each, &list);
    d->tokens.depth++;
    for (size_t i = 0; i < count && !err; i++)
        err = decode_entry(d, f, (char *)list + i * each);
    d->tokens.depth--;
    if (err)
        return err;
    memcpy((char *)base + f->offset, &list, sizeof list);
    memcpy((char *)base + f->count_offset, &count, sizeof count);
    return 0;
}

static int decode_value(struct decoder *d, const struct field *f, const struct token *t, void *base) {
    char *at = (char *)base + f->offset;
    struct slice text;
    int err;
    switch ((enum field_kind)f->kind) {
    case FIELD_U32:
    case FIELD_U64:
        return decode_number(f, t, at);
    case FIELD_I64:
        return decode_signed(t, at);
    case FIELD_TIME:
        return decode_time(t, at);
    case FIELD_BOOL:
        if (t->kind != TOKEN_BOOL)
            return ERR_INVALID;
        *(bool *)at = t->number;
        return 0;
    case FIELD_ID:
        return decode_id(t, (struct id128 *)at);
    case FIELD_TEXT:
    case FIELD_BYTES:
        err = decode_text(t, f->maximum, f->kind == FIELD_BYTES, &text);
        if (!err)
            memcpy(at, &text, sizeof text);
        return err;
    case FIELD_STRUCT:
        return decode_schema(d, f->schema, t, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return decode_list(d, f, t, base);
    }
    return ERR_INVALID;
}

/* The index in s of the field with this number, s->field_count when it is unknown. hint: the index after the last found
 * one; our own encoder keeps the order of the table. */
static size_t field_find(const struct schema *s, uint64_t number, size_t hint) {
    for (size_t n = 0; n < s->field_count; n++) {
        size_t i = (hint + n) % s->field_count;
        if (s->fields[i].number == number)
            return i;
    }
    return s->field_count;
}

/* One field of a map: its number and its value. seen: a bit for each field of s that was read. */
static int decode_field(struct decoder *d, const struct schema *s, size_t *next, uint64_t *seen, void *base) {
    struct token t;
    int err = tokens_expect(&d->tokens, TOKEN_UNSIGNED, &t);
    if (err)
        return err;
    size_t at = field_find(s, t.number, *next);
    if (at == s->field_count)
        return tokens_skip(&d->tokens); /* of a newer peer */
    if (*seen & UINT64_C(1) << at)
        return ERR_INVALID; /* twice */
    *seen |= UINT64_C(1) << at;
    *next = at + 1;
    err = tokens_next(&d->tokens, &t);
    return err ? err : decode_value(d, &s->fields[at], &t, base);
}

static int decode_schema(struct decoder *d, const struct schema *s, const struct token *t, void *base) {
    if (t->kind != TOKEN_MAP)
        return ERR_INVALID;
    uint64_t seen = 0;
    size_t next = 0;
    int err = 0;
    d->tokens.depth++;
    for (uint64_t i = 0; i < t->number && !err; i++)
        err = decode_field(d, s, &next, &seen, base);
    d->tokens.depth--;
    for (size_t i = 0; i < s->field_count && !err; i++)
        if (s->fields[i].required && field_is_empty(&s->fields[i], base))
            err = ERR_INVALID;
    return err;
}

/* The envelope up to the body. A later version is recognised in any layout after it. further: elements after the body. */
static int decode_envelope(struct tokens *r, struct msg *m, uint64_t *type, uint64_t *further) {
    struct token array, t;
    if (tokens_expect(r, TOKEN_ARRAY, &array) || array.number == 0)
        return ERR_INVALID;
    r->depth++;
    if (tokens_expect(r, TOKEN_UNSIGNED, &t))
        return ERR_INVALID;
    if (t.number != PROTO_VERSION)
        return ERR_VERSION;
    if (array.number < ENVELOPE_ELEMENTS || tokens_expect(r, TOKEN_UNSIGNED, &t) || t.number == 0)
        return ERR_INVALID;
    *type = t.number;
    *further = array.number - ENVELOPE_ELEMENTS;
    if (tokens_expect(r, TOKEN_BIN, &t) || (t.bytes.len > 0 && decode_id(&t, &m->journal)))
        return ERR_INVALID; /* an empty journal is zero: not known yet */
    if (tokens_next(r, &t) || decode_id(&t, &m->sender) || tokens_expect(r, TOKEN_UNSIGNED, &t))
        return ERR_INVALID;
    m->number = t.number;
    return 0;
}

static int decode_message(struct decoder *d, size_t frame_len, struct msg *m) {
    uint64_t type, further;
    int err = decode_envelope(&d->tokens, m, &type, &further);
    if (err)
        return err;
    const struct schema *schema = type <= INT32_MAX ? message_schema((enum msg_type)type) : NULL;
    if (schema) {
        struct token body;
        m->type = (enum msg_type)type;
        if (frame_len > message_frame_max(m->type) || tokens_next(&d->tokens, &body))
            return ERR_INVALID;
        err = decode_schema(d, schema, &body, (char *)m + BODY_OFFSET);
    } else { /* a type added later; its bytes must be well-formed too */
        err = tokens_skip(&d->tokens);
    }
    while (!err && further-- > 0)
        err = tokens_skip(&d->tokens);
    if (err || d->tokens.left > 0)
        return err ? err : ERR_INVALID;
    return schema ? 0 : ERR_VERSION;
}

int msg_decode(struct slice frame, struct msg *m) {
    memset(m, 0, sizeof *m);
    if (frame.len > PROTO_FRAME_MAX)
        return ERR_INVALID;
    struct decoder d = {.tokens = tokens_of(frame)};
    int err = decode_message(&d, frame.len, m);
    if (err && d.lists)
        msgpack_zone_free(d.lists);
    else
        m->memory = d.lists;
    return err;
}

void msg_release(struct msg *m) {
    if (m->memory)
        msgpack_zone_free(m->memory);
    m->memory = NULL;
}
