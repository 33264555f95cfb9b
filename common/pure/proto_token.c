#include "pure/proto_token.h"

struct tokens tokens_of(struct slice frame) {
    return (struct tokens){.next = (const uint8_t *)frame.ptr, .left = frame.len};
}

uint64_t big_endian_read(const uint8_t *p, size_t len) {
    uint64_t v = 0;
    while (len-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* The part after a type byte from 0xc0 to 0xdf (msgpack specification, "Formats"): the width of its length field, and
 * the bytes of payload beyond that length. The length of a container is its number of entries. */
static const struct format {
    uint8_t kind, length_bytes, payload;
} wide_formats[32] = {
    {TOKEN_OTHER, 0, 0},    {TOKEN_NONE, 0, 0},                          /* nil, never used */
    {TOKEN_BOOL, 0, 0},     {TOKEN_BOOL, 0, 0},                          /* false, true */
    {TOKEN_BIN, 1, 0},      {TOKEN_BIN, 2, 0},      {TOKEN_BIN, 4, 0},   /* bin */
    {TOKEN_OTHER, 1, 1},    {TOKEN_OTHER, 2, 1},    {TOKEN_OTHER, 4, 1}, /* ext: a type byte more */
    {TOKEN_OTHER, 0, 4},    {TOKEN_OTHER, 0, 8},                         /* float */
    {TOKEN_UNSIGNED, 0, 1}, {TOKEN_UNSIGNED, 0, 2}, {TOKEN_UNSIGNED, 0, 4}, {TOKEN_UNSIGNED, 0, 8}, /* uint */
    {TOKEN_NEGATIVE, 0, 1}, {TOKEN_NEGATIVE, 0, 2}, {TOKEN_NEGATIVE, 0, 4}, {TOKEN_NEGATIVE, 0, 8}, /* int */
    {TOKEN_OTHER, 0, 2},    {TOKEN_OTHER, 0, 3},    {TOKEN_OTHER, 0, 5},    {TOKEN_OTHER, 0, 9},
    {TOKEN_OTHER, 0, 17},                                                                      /* fixext */
    {TOKEN_OTHER, 1, 0},    {TOKEN_OTHER, 2, 0},    {TOKEN_OTHER, 4, 0},                       /* str */
    {TOKEN_ARRAY, 2, 0},    {TOKEN_ARRAY, 4, 0},    {TOKEN_MAP, 2, 0},      {TOKEN_MAP, 4, 0}, /* array, map */
};

static const uint8_t *tokens_take(struct tokens *r, size_t len) {
    const uint8_t *p = r->next;
    r->next += len;
    r->left -= len;
    return p;
}

static struct format format_of(uint8_t type) {
    if (type <= 0x8f)
        return (struct format){TOKEN_MAP, 0, type & 0x0f};
    if (type <= 0x9f)
        return (struct format){TOKEN_ARRAY, 0, type & 0x0f};
    if (type <= 0xbf)
        return (struct format){TOKEN_OTHER, 0, type & 0x1f}; /* fixstr */
    return wide_formats[type - 0xc0];
}

static bool token_is_container(const struct token *t) {
    return t->kind == TOKEN_ARRAY || t->kind == TOKEN_MAP;
}

static uint64_t token_children(const struct token *t) {
    return t->kind == TOKEN_MAP ? 2 * t->number : t->number;
}

static void token_set_signed(struct token *t, const uint8_t *p, size_t len) {
    t->number = *p & 0x80 ? UINT64_MAX : 0;
    while (len-- > 0)
        t->number = t->number << 8 | *p++;
    t->kind = t->number > INT64_MAX ? TOKEN_NEGATIVE : TOKEN_UNSIGNED;
}

int tokens_next(struct tokens *r, struct token *t) {
    if (r->left == 0)
        return ERR_INVALID;
    uint8_t type = *tokens_take(r, 1);
    if (type <= 0x7f || type >= 0xe0) { /* fixint */
        token_set_signed(t, &type, 1);
        return 0;
    }
    struct format f = format_of(type);
    if (f.kind == TOKEN_NONE || f.length_bytes > r->left)
        return ERR_INVALID;
    t->kind = (enum token_kind)f.kind;
    t->number = big_endian_read(tokens_take(r, f.length_bytes), f.length_bytes) + f.payload;
    if (token_is_container(t))
        return token_children(t) > r->left || r->depth == NESTING_MAX ? ERR_INVALID : 0;
    if (t->number > r->left)
        return ERR_INVALID;
    size_t len = t->number;
    const uint8_t *payload = tokens_take(r, len);
    if (t->kind == TOKEN_BIN)
        t->bytes = slice_make(payload, len);
    else if (t->kind == TOKEN_BOOL)
        t->number = type & 1;
    else if (t->kind == TOKEN_UNSIGNED)
        t->number = big_endian_read(payload, len);
    else if (t->kind == TOKEN_NEGATIVE) /* a signed form */
        token_set_signed(t, payload, len);
    return 0;
}

int tokens_expect(struct tokens *r, enum token_kind kind, struct token *t) {
    int err = tokens_next(r, t);
    return !err && t->kind != kind ? ERR_INVALID : err;
}

int tokens_skip(struct tokens *r) {
    struct token t;
    int err = tokens_next(r, &t);
    if (err || !token_is_container(&t))
        return err;
    r->depth++;
    for (uint64_t left = token_children(&t); left > 0 && !err; left--)
        err = tokens_skip(r);
    r->depth--;
    return err;
}
