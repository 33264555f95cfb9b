/*
 * Messages to bytes and back. One encoder and one decoder walk the tables of proto_fields.c; nothing here knows a
 * particular message.
 *
 * Decoding takes three steps, each of which makes the next one safe:
 *  1. frame_scan reads the raw bytes once: nesting, every count and every length fit into what is there, nothing
 *     follows. It allocates nothing. After it an array of four thousand million entries cannot be announced in ten
 *     bytes, so msgpack-c's objects take at most 24 bytes (48 for the moment in which its zone doubles) per frame byte.
 *  2. msgpack-c builds its objects, whose bin values point into the frame.
 *  3. decode_shape checks them against the tables and fills in the structs. Lists lie in a zone of the message; the
 *     objects of step 2 are freed before msg_decode returns.
 */
#include "pure/proto.h"
#include "pure/check.h"
#include "pure/proto_fields.h"
#include <msgpack.h>

#define NESTING_MAX 8       /* deepest: envelope, body, files, file, leases, lease, ref */
#define ENVELOPE_ELEMENTS 6 /* version, type, journal, sender, number, body; more are ignored */
#define BODY_OFFSET offsetof(struct msg, hello)
#define LIST_ZONE_BYTES 1024 /* first piece of memory for lists */

static size_t frame_max(enum msg_type type) {
    return type == MSG_OFFER   ? PROTO_OFFER_MAX
           : type == MSG_FETCH ? PROTO_FETCH_MAX
           : type == MSG_DATA  ? PROTO_DATA_MAX
                               : PROTO_FRAME_MAX;
}

/* ---- values: valid if and only if ---- */

static struct slice member_slice(const struct field *f, const void *base) {
    struct slice s;
    memcpy(&s, (const char *)base + f->offset, sizeof s);
    return s;
}

static size_t member_count(const struct field *f, const void *base) {
    size_t count;
    memcpy(&count, (const char *)base + f->count_offset, sizeof count);
    return count;
}

static const char *member_list(const struct field *f, const void *base) {
    const char *list;
    memcpy(&list, (const char *)base + f->offset, sizeof list);
    return list;
}

static uint64_t member_number(const struct field *f, const void *base) {
    const char *at = (const char *)base + f->offset;
    uint32_t narrow;
    uint64_t wide;
    if (f->kind == FIELD_BOOL)
        return *(const bool *)at;
    if (f->kind == FIELD_U32) {
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static nanotime member_time(const struct field *f, const void *base) {
    nanotime t;
    memcpy(&t, (const char *)base + f->offset, sizeof t);
    return t;
}

/* ERR_LIMIT for too long, ERR_INVALID for a NUL where a C string will be made of it. */
static int text_check(struct slice text, uint64_t max, bool nul_allowed) {
    if (text.len > max)
        return ERR_LIMIT;
    if (!nul_allowed && text.len > 0 && memchr(text.ptr, 0, text.len))
        return ERR_INVALID;
    return 0;
}

static bool shape_is_empty(const struct shape *s, const void *base);

/* What is not sent: zero or empty. */
static bool field_is_empty(const struct field *f, const void *base) {
    const char *at = (const char *)base + f->offset;
    switch ((enum field_kind)f->kind) {
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_I64:
    case FIELD_BOOL:
        return member_number(f, base) == 0;
    case FIELD_TIME:
        return member_time(f, base) == 0;
    case FIELD_ID:
        return id_is_zero((const struct id128 *)at);
    case FIELD_TEXT:
    case FIELD_BYTES:
        return member_slice(f, base).len == 0;
    case FIELD_STRUCT:
        return shape_is_empty(f->shape, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return member_count(f, base) == 0;
    }
    return true;
}

static bool shape_is_empty(const struct shape *s, const void *base) {
    for (size_t i = 0; i < s->field_count; i++)
        if (!field_is_empty(&s->fields[i], base))
            return false;
    return true;
}

/* ---- encoding ---- */

struct encoder {
    msgpack_packer packer;
    struct buf *out;
    size_t start, max; /* the frame begins at out->data + start and has at most max bytes */
    bool head_only;    /* FIELD_BYTES ends it: its value is not written */
    int err;           /* the first error; nothing is written after it */
};

static int encoder_write(void *arg, const char *bytes, size_t len) {
    struct encoder *e = arg;
    if (e->err == 0 && len > e->max - (e->out->len - e->start))
        e->err = ERR_LIMIT;
    if (e->err == 0)
        e->err = buf_add(e->out, bytes, len);
    return e->err ? -1 : 0;
}

static void encode_bytes(struct encoder *e, const void *bytes, size_t len) {
    msgpack_pack_bin(&e->packer, len);
    if (len > 0)
        msgpack_pack_bin_body(&e->packer, bytes, len);
}

#define TIME_BYTES 16

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

static int encode_shape(struct encoder *e, const struct shape *s, const void *base);

static int encode_text(struct encoder *e, struct slice text, uint64_t max, bool nul_allowed) {
    int err = text_check(text, max, nul_allowed);
    if (err)
        return err;
    encode_bytes(e, text.ptr, text.len);
    return e->err;
}

static int encode_head_of(struct encoder *e, size_t len, uint64_t max) {
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
    for (size_t i = 0; i < count && err == 0; i++) {
        if (f->kind == FIELD_LIST) {
            err = encode_shape(e, f->shape, list + i * f->shape->size);
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
            return encode_head_of(e, member_slice(f, base).len, f->maximum);
        return encode_text(e, member_slice(f, base), f->maximum, f->kind == FIELD_BYTES);
    case FIELD_STRUCT:
        return encode_shape(e, f->shape, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return encode_list(e, f, base);
    }
    return ERR_INVALID;
}

static int encode_shape(struct encoder *e, const struct shape *s, const void *base) {
    size_t count = 0;
    for (size_t i = 0; i < s->field_count; i++) {
        bool empty = field_is_empty(&s->fields[i], base);
        if (empty && s->fields[i].required)
            return ERR_INVALID;
        count += !empty;
    }
    msgpack_pack_map(&e->packer, count);
    int err = e->err;
    for (size_t i = 0; i < s->field_count && err == 0; i++) {
        if (field_is_empty(&s->fields[i], base))
            continue;
        msgpack_pack_uint16(&e->packer, s->fields[i].number);
        err = encode_value(e, &s->fields[i], base);
    }
    return err;
}

static int encode(const struct msg *m, bool head_only, struct buf *out) {
    const struct shape *shape = message_shape(m->type);
    if (!shape)
        return ERR_INVALID;
    struct encoder e = {.out = out, .start = out->len, .max = frame_max(m->type), .head_only = head_only};
    msgpack_packer_init(&e.packer, &e, encoder_write);
    msgpack_pack_array(&e.packer, ENVELOPE_ELEMENTS);
    msgpack_pack_uint32(&e.packer, PROTO_VERSION);
    msgpack_pack_uint32(&e.packer, m->type);
    encode_bytes(&e, m->journal.b, id_is_zero(&m->journal) ? 0 : sizeof m->journal.b);
    encode_bytes(&e, m->sender.b, sizeof m->sender.b);
    msgpack_pack_uint64(&e.packer, m->number);
    int err = encode_shape(&e, shape, (const char *)m + BODY_OFFSET);
    if (err == 0)
        err = e.err;
    if (err && out->cap > 0) {
        out->len = e.start;
        out->data[out->len] = 0;
    }
    return err;
}

int msg_encode(const struct msg *m, struct buf *out) {
    return encode(m, false, out);
}

int msg_encode_data_head(const struct msg *m, struct buf *out) {
    CHECK(m->type == MSG_DATA); /* its bytes are the last field of its table */
    return encode(m, true, out);
}

/* ---- step 1: the raw bytes ---- */

struct token {         /* one msgpack value, seen from outside */
    size_t header;     /* bytes before payload or children */
    uint64_t payload;  /* bytes of str, bin, ext, or number */
    uint64_t children; /* values in an array; keys and values in a map */
    bool container;
};

static uint64_t read_big_endian(const uint8_t *p, size_t len) {
    uint64_t v = 0;
    while (len-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* What follows a type byte from 0xc0 to 0xdf (msgpack specification, "Formats"): the width of its length field, and of
 * its fixed payload. kind: 0 payload of fixed size, 'b' length of payload, 'a' and 'm' number of entries. */
static const struct {
    char kind;
    uint8_t length_bytes, payload;
} wide_formats[32] = {
    [0x00] = {0, 0, 0},                                                                   /* nil */
    [0x01] = {'x', 0, 0},                                                                 /* never used */
    [0x02] = {0, 0, 0},   [0x03] = {0, 0, 0},                                             /* false, true */
    [0x04] = {'b', 1, 0}, [0x05] = {'b', 2, 0}, [0x06] = {'b', 4, 0},                     /* bin */
    [0x07] = {'b', 1, 1}, [0x08] = {'b', 2, 1}, [0x09] = {'b', 4, 1},                     /* ext: a type byte more */
    [0x0a] = {0, 0, 4},   [0x0b] = {0, 0, 8},                                             /* float */
    [0x0c] = {0, 0, 1},   [0x0d] = {0, 0, 2},   [0x0e] = {0, 0, 4},   [0x0f] = {0, 0, 8}, /* unsigned */
    [0x10] = {0, 0, 1},   [0x11] = {0, 0, 2},   [0x12] = {0, 0, 4},   [0x13] = {0, 0, 8}, /* signed */
    [0x14] = {0, 0, 2},   [0x15] = {0, 0, 3},   [0x16] = {0, 0, 5},   [0x17] = {0, 0, 9},
    [0x18] = {0, 0, 17},                                              /* fixext */
    [0x19] = {'b', 1, 0}, [0x1a] = {'b', 2, 0}, [0x1b] = {'b', 4, 0}, /* str */
    [0x1c] = {'a', 2, 0}, [0x1d] = {'a', 4, 0},                       /* array */
    [0x1e] = {'m', 2, 0}, [0x1f] = {'m', 4, 0},                       /* map */
};

static int token_read(const uint8_t *p, size_t left, struct token *t) {
    *t = (struct token){.header = 1};
    if (left == 0)
        return ERR_INVALID;
    uint8_t b = p[0];
    if (b <= 0x7f || b >= 0xe0) /* fixint */
        return 0;
    if (b <= 0x9f) { /* fixmap, fixarray */
        t->container = true;
        t->children = (uint64_t)(b & 0x0f) << (b <= 0x8f);
        return 0;
    }
    if (b <= 0xbf) { /* fixstr */
        t->payload = b & 0x1f;
        return 0;
    }
    char kind = wide_formats[b - 0xc0].kind;
    size_t length_bytes = wide_formats[b - 0xc0].length_bytes;
    if (kind == 'x' || length_bytes > left - 1)
        return ERR_INVALID;
    uint64_t length = read_big_endian(p + 1, length_bytes);
    t->header += length_bytes;
    t->container = kind == 'a' || kind == 'm';
    if (t->container)
        t->children = length << (kind == 'm');
    else
        t->payload = length + wide_formats[b - 0xc0].payload;
    return 0;
}

/* 0 when the bytes are exactly one value, nested at most NESTING_MAX deep, whose counts and lengths all fit. */
static int frame_scan(struct slice frame) {
    const uint8_t *p = (const uint8_t *)frame.ptr;
    size_t left = frame.len, depth = 0;
    uint64_t missing[NESTING_MAX + 1] = {1}; /* values still to come at each depth */
    for (;;) {
        while (missing[depth] == 0) {
            if (depth == 0)
                return left == 0 ? 0 : ERR_INVALID;
            depth--;
        }
        missing[depth]--;
        struct token t;
        int err = token_read(p, left, &t);
        if (err)
            return err;
        p += t.header;
        left -= t.header;
        if (t.payload > left || t.children > left)
            return ERR_INVALID;
        p += t.payload;
        left -= t.payload;
        if (t.container) {
            if (depth == NESTING_MAX)
                return ERR_INVALID;
            missing[++depth] = t.children;
        }
    }
}

/* A later version is recognised by the first element, whatever the rest looks like. */
static int version_check(struct slice frame) {
    const uint8_t *p = (const uint8_t *)frame.ptr;
    struct token array, version;
    if (token_read(p, frame.len, &array) || !array.container || p[0] < 0x90 || p[0] >= 0xde || array.children == 0)
        return ERR_INVALID;
    p += array.header;
    size_t left = frame.len - array.header;
    if (token_read(p, left, &version) || version.header + version.payload > left)
        return ERR_INVALID;
    if (p[0] <= 0x7f)
        return p[0] == PROTO_VERSION ? 0 : ERR_VERSION;
    if (p[0] < 0xcc || p[0] > 0xcf) /* not an unsigned integer */
        return ERR_INVALID;
    return read_big_endian(p + 1, version.payload) == PROTO_VERSION ? 0 : ERR_VERSION;
}

/* ---- step 3: objects to structs ---- */

struct decoder {
    msgpack_zone *lists; /* NULL until the first list */
};

static int decode_shape(struct decoder *d, const struct shape *s, const msgpack_object *o, void *base);

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
        t = (nanotime)(int64_t)read_big_endian(bytes, 8) * ((nanotime)1 << 64) + read_big_endian(bytes + 8, 8);
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
    size_t each = f->kind == FIELD_LIST ? f->shape->size : sizeof(struct slice);
    void *list;
    int err = decoder_alloc(d, count * each, &list);
    for (size_t i = 0; i < count && err == 0; i++) {
        void *entry = (char *)list + i * each;
        if (f->kind == FIELD_LIST) {
            err = decode_shape(d, f->shape, &o->via.array.ptr[i], entry);
        } else {
            struct slice *text = entry;
            err = decode_text(&o->via.array.ptr[i], f->text_max, false, text);
            if (err == 0 && text->len == 0)
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
        if (err == 0)
            memcpy(at, &text, sizeof text);
        return err;
    case FIELD_STRUCT:
        return decode_shape(d, f->shape, o, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return decode_list(d, f, o, base);
    }
    return ERR_INVALID;
}

/* The place in s of the field with this number, s->field_count when it is unknown. hint: where the last one was; our
 * own encoder keeps the table's order. */
static size_t field_find(const struct shape *s, uint64_t number, size_t hint) {
    for (size_t n = 0; n < s->field_count; n++) {
        size_t i = (hint + n) % s->field_count;
        if (s->fields[i].number == number)
            return i;
    }
    return s->field_count;
}

static int decode_shape(struct decoder *d, const struct shape *s, const msgpack_object *o, void *base) {
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
            continue; /* a newer peer's */
        if (seen & UINT64_C(1) << at)
            return ERR_INVALID; /* twice: which one would count? */
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

/* The envelope first, so that an answer to a bad body can carry its number. */
static int decode_message(struct decoder *d, const msgpack_object *o, size_t frame_len, struct msg *m) {
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size < ENVELOPE_ELEMENTS)
        return ERR_INVALID;
    const msgpack_object *e = o->via.array.ptr;
    if (e[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER || e[4].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return ERR_INVALID;
    int err = decode_journal(&e[2], &m->journal);
    if (err == 0)
        err = decode_id(&e[3], &m->sender);
    if (err)
        return err;
    m->number = e[4].via.u64;
    if (e[1].via.u64 == 0)
        return ERR_INVALID;
    if (e[1].via.u64 > INT32_MAX || !message_shape((enum msg_type)e[1].via.u64))
        return ERR_VERSION; /* a type added later */
    m->type = (enum msg_type)e[1].via.u64;
    if (frame_len > frame_max(m->type))
        return ERR_INVALID;
    return decode_shape(d, message_shape(m->type), &e[5], (char *)m + BODY_OFFSET);
}

int msg_decode(struct slice frame, struct msg *m) {
    memset(m, 0, sizeof *m);
    if (frame.len > PROTO_FRAME_MAX)
        return ERR_INVALID;
    int err = version_check(frame);
    if (err == 0)
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
