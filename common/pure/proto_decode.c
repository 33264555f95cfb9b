/*
 * Bytes to messages. Three steps, each of which makes the next one safe:
 *  1. proto_scan.c checks nesting, counts and lengths of the raw bytes.
 *  2. msgpack-c builds its objects; their bin values point into the frame.
 *  3. decode_schema checks the objects against the tables of proto_fields.c and fills in the structs. Lists are in a
 *     zone of the message; the objects of step 2 are freed before msg_decode returns.
 */
#include "pure/proto.h"
#include "pure/proto_fields.h"
#include "pure/proto_member.h"
#include "pure/proto_scan.h"
#include <msgpack.h>

#define LIST_ZONE_BYTES 1024 /* first piece of memory for lists */

struct decoder {
    msgpack_zone *lists; /* NULL until the first list */
};

static int decode_schema(struct decoder *d, const struct schema *s, const msgpack_object *o, void *base);

static int decoder_alloc(struct decoder *d, size_t size, void **memory) {
    if (!d->lists)
        d->lists = msgpack_zone_new(LIST_ZONE_BYTES);
    *memory = d->lists ? msgpack_zone_malloc(d->lists, size) : NULL;
    if (!*memory)
        return ERR_NOMEM;
    memset(*memory, 0, size);
    return 0;
}

static int decode_text(const msgpack_object *o, uint64_t max, bool nul_allowed, struct slice *text) {
    if (o->type != MSGPACK_OBJECT_BIN)
        return ERR_INVALID;
    *text = slice_make(o->via.bin.ptr, o->via.bin.size);
    return text_check(*text, max, nul_allowed) ? ERR_INVALID : 0;
}

static int decode_id(const msgpack_object *o, struct id128 *id) {
    if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != sizeof id->b)
        return ERR_INVALID;
    memcpy(id->b, o->via.bin.ptr, sizeof id->b);
    return 0;
}

static int decode_number(const struct field *f, const msgpack_object *o, char *at) {
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > f->maximum)
        return ERR_INVALID;
    if (f->kind == FIELD_U32) {
        uint32_t narrow = (uint32_t)o->via.u64;
        memcpy(at, &narrow, sizeof narrow);
    } else {
        memcpy(at, &o->via.u64, sizeof o->via.u64);
    }
    return 0;
}

static int decode_signed(const msgpack_object *o, char *at) {
    bool fits = o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER ||
                (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX);
    if (!fits)
        return ERR_INVALID;
    memcpy(at, &o->via.i64, sizeof o->via.i64);
    return 0;
}

static int decode_time(const msgpack_object *o, char *at) {
    int64_t narrow;
    nanotime t;
    if (o->type == MSGPACK_OBJECT_BIN) {
        const uint8_t *bytes = (const uint8_t *)o->via.bin.ptr;
        if (o->via.bin.size != TIME_BYTES)
            return ERR_INVALID;
        t = (nanotime)(int64_t)big_endian_read(bytes, 8) * ((nanotime)1 << 64) + big_endian_read(bytes + 8, 8);
        if (!nanotime_is_valid(t))
            return ERR_INVALID;
    } else {
        if (decode_signed(o, (char *)&narrow))
            return ERR_INVALID;
        t = narrow;
    }
    memcpy(at, &t, sizeof t);
    return 0;
}

static int decode_list(struct decoder *d, const struct field *f, const msgpack_object *o, void *base) {
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > f->maximum)
        return ERR_INVALID;
    size_t count = o->via.array.size;
    if (count == 0)
        return 0;
    size_t each = f->kind == FIELD_LIST ? f->schema->size : sizeof(struct slice);
    void *list;
    int err = decoder_alloc(d, count * each, &list);
    for (size_t i = 0; i < count && !err; i++) {
        void *entry = (char *)list + i * each;
        if (f->kind == FIELD_LIST) {
            err = decode_schema(d, f->schema, &o->via.array.ptr[i], entry);
        } else {
            struct slice *text = entry;
            err = decode_text(&o->via.array.ptr[i], f->text_max, false, text);
            if (!err && text->len == 0)
                err = ERR_INVALID;
        }
    }
    if (err)
        return err;
    memcpy((char *)base + f->offset, &list, sizeof list);
    memcpy((char *)base + f->count_offset, &count, sizeof count);
    return 0;
}

static int decode_value(struct decoder *d, const struct field *f, const msgpack_object *o, void *base) {
    char *at = (char *)base + f->offset;
    struct slice text;
    int err;
    switch ((enum field_kind)f->kind) {
    case FIELD_U32:
    case FIELD_U64:
        return decode_number(f, o, at);
    case FIELD_I64:
        return decode_signed(o, at);
    case FIELD_TIME:
        return decode_time(o, at);
    case FIELD_BOOL:
        if (o->type != MSGPACK_OBJECT_BOOLEAN)
            return ERR_INVALID;
        *(bool *)at = o->via.boolean;
        return 0;
    case FIELD_ID:
        return decode_id(o, (struct id128 *)at);
    case FIELD_TEXT:
    case FIELD_BYTES:
        err = decode_text(o, f->maximum, f->kind == FIELD_BYTES, &text);
        if (!err)
            memcpy(at, &text, sizeof text);
        return err;
    case FIELD_STRUCT:
        return decode_schema(d, f->schema, o, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return decode_list(d, f, o, base);
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

static int decode_schema(struct decoder *d, const struct schema *s, const msgpack_object *o, void *base) {
    if (o->type != MSGPACK_OBJECT_MAP)
        return ERR_INVALID;
    uint64_t seen = 0;
    size_t next = 0;
    for (size_t i = 0; i < o->via.map.size; i++) {
        const msgpack_object_kv *kv = &o->via.map.ptr[i];
        if (kv->key.type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return ERR_INVALID;
        size_t at = field_find(s, kv->key.via.u64, next);
        if (at == s->field_count)
            continue; /* of a newer peer */
        if (seen & UINT64_C(1) << at)
            return ERR_INVALID; /* twice */
        seen |= UINT64_C(1) << at;
        next = at + 1;
        int err = decode_value(d, &s->fields[at], &kv->val, base);
        if (err)
            return err;
    }
    for (size_t i = 0; i < s->field_count; i++)
        if (s->fields[i].required && field_is_empty(&s->fields[i], base))
            return ERR_INVALID;
    return 0;
}

static int decode_journal(const msgpack_object *o, struct id128 *id) {
    if (o->type == MSGPACK_OBJECT_BIN && o->via.bin.size == 0)
        return 0; /* zero: not known yet */
    return decode_id(o, id);
}

/* The envelope comes first, so that an answer to a bad body can carry its number. */
static int decode_message(struct decoder *d, const msgpack_object *o, size_t frame_len, struct msg *m) {
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size < ENVELOPE_ELEMENTS)
        return ERR_INVALID;
    const msgpack_object *e = o->via.array.ptr;
    if (e[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER || e[4].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return ERR_INVALID;
    int err = decode_journal(&e[2], &m->journal);
    if (!err)
        err = decode_id(&e[3], &m->sender);
    if (err)
        return err;
    m->number = e[4].via.u64;
    if (e[1].via.u64 == 0)
        return ERR_INVALID;
    if (e[1].via.u64 > INT32_MAX || !message_schema((enum msg_type)e[1].via.u64))
        return ERR_VERSION; /* a type added later */
    m->type = (enum msg_type)e[1].via.u64;
    if (frame_len > message_frame_max(m->type))
        return ERR_INVALID;
    return decode_schema(d, message_schema(m->type), &e[5], (char *)m + BODY_OFFSET);
}

int msg_decode(struct slice frame, struct msg *m) {
    memset(m, 0, sizeof *m);
    if (frame.len > PROTO_FRAME_MAX)
        return ERR_INVALID;
    int err = frame_check_version(frame);
    if (!err)
        err = frame_scan(frame);
    if (err)
        return err;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    struct decoder d = {NULL};
    size_t used = 0;
    switch (msgpack_unpack_next(&unpacked, frame.ptr, frame.len, &used)) {
    case MSGPACK_UNPACK_SUCCESS:
        err = decode_message(&d, &unpacked.data, frame.len, m);
        break;
    case MSGPACK_UNPACK_NOMEM_ERROR:
        err = ERR_NOMEM;
        break;
    default:
        err = ERR_INVALID;
    }
    msgpack_unpacked_destroy(&unpacked);
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
