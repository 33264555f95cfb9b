#include "pure/proto_member.h"
#include <string.h>

struct slice member_slice(const struct field *f, const void *base) {
    struct slice s;
    memcpy(&s, (const char *)base + f->offset, sizeof s);
    return s;
}

size_t member_count(const struct field *f, const void *base) {
    size_t count;
    memcpy(&count, (const char *)base + f->count_offset, sizeof count);
    return count;
}

const char *member_list(const struct field *f, const void *base) {
    const char *list;
    memcpy(&list, (const char *)base + f->offset, sizeof list);
    return list;
}

uint64_t member_number(const struct field *f, const void *base) {
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

nanotime member_time(const struct field *f, const void *base) {
    nanotime t;
    memcpy(&t, (const char *)base + f->offset, sizeof t);
    return t;
}

int text_check(struct slice text, uint64_t max, bool nul_allowed) {
    if (text.len > max)
        return ERR_LIMIT;
    if (!nul_allowed && text.len && memchr(text.ptr, 0, text.len))
        return ERR_INVALID;
    return 0;
}

static bool schema_is_empty(const struct schema *s, const void *base);

bool field_is_empty(const struct field *f, const void *base) {
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
        return schema_is_empty(f->schema, at);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return member_count(f, base) == 0;
    }
    return true;
}

static bool schema_is_empty(const struct schema *s, const void *base) {
    for (size_t i = 0; i < s->field_count; i++)
        if (!field_is_empty(&s->fields[i], base))
            return false;
    return true;
}
