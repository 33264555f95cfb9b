#include "proto_samples.h"
#include <sys/resource.h>

#define SAMPLE_BODY(m) ((char *)(m) + offsetof(struct msg, hello))
#define SAMPLE_LIST 3

static void *pool_alloc(struct sample_pool *p, size_t size) {
    size_t at = (p->used + 15) / 16 * 16;
    if (size > sizeof p->bytes - at)
        abort();
    p->used = at + size;
    memset(p->bytes + at, 0, size);
    return p->bytes + at;
}

static struct slice pool_text(struct sample_pool *p, const char *name, size_t max, bool binary) {
    char *text = pool_alloc(p, 48);
    int len = snprintf(text, 48, "%s %u \xff\n", name, p->serial++);
    if (binary)
        text[0] = 0;
    return slice_make(text, (size_t)len < max ? (size_t)len : max);
}

static void sample_number(struct sample_pool *p, const struct field *f, char *at) {
    unsigned serial = p->serial++;
    uint64_t max = f->maximum ? f->maximum : UINT64_MAX;
    uint64_t wide = max - serial % (max < 1000 ? max : 1000);
    int64_t negative = INT64_MIN + (int64_t)serial;
    nanotime time = serial % 3 ? (nanotime)negative * (serial % 3 == 1 ? 1 : -1000) : negative / 3; /* both forms */
    uint32_t narrow = (uint32_t)wide;
    if (f->kind == FIELD_BOOL)
        *(bool *)at = true;
    else if (f->kind == FIELD_I64)
        memcpy(at, &negative, sizeof negative);
    else if (f->kind == FIELD_TIME)
        memcpy(at, &time, sizeof time);
    else if (f->kind == FIELD_U32)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &wide, sizeof wide);
}

static void sample_schema(struct sample_pool *p, const struct schema *s, void *base, bool only_required);

static void sample_list(struct sample_pool *p, const struct field *f, char *base) {
    size_t each = f->kind == FIELD_LIST ? f->schema->size : sizeof(struct slice), count = SAMPLE_LIST;
    char *list = pool_alloc(p, count * each);
    for (size_t i = 0; i < count; i++) {
        if (f->kind == FIELD_LIST)
            sample_schema(p, f->schema, list + i * each, i == 1); /* the second one with gaps */
        else
            ((struct slice *)(void *)list)[i] = pool_text(p, f->name, f->text_max, false);
    }
    memcpy(base + f->offset, &list, sizeof list);
    memcpy(base + f->count_offset, &count, sizeof count);
}

static void sample_field(struct sample_pool *p, const struct field *f, void *base, bool only_required) {
    char *at = (char *)base + f->offset;
    struct slice text;
    switch ((enum field_kind)f->kind) {
    case FIELD_ID:
        memset(at, (int)(p->serial++ % 255) + 1, sizeof(struct id128));
        break;
    case FIELD_TEXT:
    case FIELD_BYTES:
        text = pool_text(p, f->name, (size_t)f->maximum, f->kind == FIELD_BYTES);
        memcpy(at, &text, sizeof text);
        break;
    case FIELD_STRUCT:
        sample_schema(p, f->schema, at, only_required);
        break;
    case FIELD_LIST:
    case FIELD_TEXTS:
        sample_list(p, f, base);
        break;
    default:
        sample_number(p, f, at);
    }
}

static void sample_schema(struct sample_pool *p, const struct schema *s, void *base, bool only_required) {
    for (size_t i = 0; i < s->field_count; i++)
        if (s->fields[i].required || !only_required)
            sample_field(p, &s->fields[i], base, only_required);
}

void sample_message(struct sample_pool *p, enum msg_type type, bool only_required, struct msg *m) {
    memset(m, 0, sizeof *m);
    p->used = 0;
    p->serial = (unsigned)type;
    m->type = type;
    memset(m->sender.b, 0x5e, sizeof m->sender.b);
    if (!only_required) {
        memset(m->journal.b, 0x10, sizeof m->journal.b);
        m->number = UINT64_MAX;
    }
    sample_schema(p, message_schema(type), SAMPLE_BODY(m), only_required);
}

static bool schema_same(const struct schema *s, const void *a, const void *b);

static bool list_same(const struct field *f, const char *a, const char *b) {
    const char *list_a, *list_b;
    size_t count_a, count_b;
    memcpy(&list_a, a + f->offset, sizeof list_a);
    memcpy(&list_b, b + f->offset, sizeof list_b);
    memcpy(&count_a, a + f->count_offset, sizeof count_a);
    memcpy(&count_b, b + f->count_offset, sizeof count_b);
    if (count_a != count_b)
        return false;
    for (size_t i = 0; i < count_a; i++) {
        bool same = f->kind == FIELD_LIST
                        ? schema_same(f->schema, list_a + i * f->schema->size, list_b + i * f->schema->size)
                        : slice_equal(((const struct slice *)(const void *)list_a)[i],
                                      ((const struct slice *)(const void *)list_b)[i]);
        if (!same)
            return false;
    }
    return true;
}

static bool field_same(const struct field *f, const char *a, const char *b) {
    switch ((enum field_kind)f->kind) {
    case FIELD_U32:
        return memcmp(a + f->offset, b + f->offset, sizeof(uint32_t)) == 0;
    case FIELD_U64:
    case FIELD_I64:
        return memcmp(a + f->offset, b + f->offset, sizeof(uint64_t)) == 0;
    case FIELD_TIME:
        return memcmp(a + f->offset, b + f->offset, sizeof(nanotime)) == 0;
    case FIELD_BOOL:
        return *(const bool *)(a + f->offset) == *(const bool *)(b + f->offset);
    case FIELD_ID:
        return memcmp(a + f->offset, b + f->offset, sizeof(struct id128)) == 0;
    case FIELD_TEXT:
    case FIELD_BYTES:
        return slice_equal(*(const struct slice *)(const void *)(a + f->offset),
                           *(const struct slice *)(const void *)(b + f->offset));
    case FIELD_STRUCT:
        return schema_same(f->schema, a + f->offset, b + f->offset);
    case FIELD_LIST:
    case FIELD_TEXTS:
        return list_same(f, a, b);
    }
    return false;
}

static bool schema_same(const struct schema *s, const void *a, const void *b) {
    for (size_t i = 0; i < s->field_count; i++)
        if (!field_same(&s->fields[i], a, b))
            return false;
    return true;
}

bool message_same(const struct msg *a, const struct msg *b) {
    return a->type == b->type && a->number == b->number && id_equal(&a->journal, &b->journal) &&
           id_equal(&a->sender, &b->sender) &&
           schema_same(message_schema(a->type), (const char *)a + offsetof(struct msg, hello),
                       (const char *)b + offsetof(struct msg, hello));
}

int limit_memory(void **state) {
    (void)state;
#ifndef __SANITIZE_ADDRESS__
    struct rlimit limit = {.rlim_cur = 256u << 20, .rlim_max = 256u << 20};
    return setrlimit(RLIMIT_AS, &limit);
#else
    return 0;
#endif
}
