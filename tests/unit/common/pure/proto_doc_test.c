/* docs/PROTOCOL.md shows every message, every part and every field, with number, kind and maximum as the tables have
 * them, and no field that the tables lack. */
#include "proto_samples.h"
#include "unit.h"

static char *document;

static int read_document(void **state) {
    (void)state;
    FILE *f = fopen(SOURCE_DIR "/docs/PROTOCOL.md", "rb");
    if (!f)
        return -1;
    document = calloc(1, 1 << 20);
    size_t len = document ? fread(document, 1, (1 << 20) - 1, f) : 0;
    fclose(f);
    return len > 0 ? 0 : -1;
}

static int free_document(void **state) {
    (void)state;
    free(document);
    return 0;
}

/* A field's kind the way the document writes it. */
static void describe(const struct field *f, char *out, size_t size) {
    static const char *const kinds[] = {
        [FIELD_U32] = "u32",   [FIELD_U64] = "u64",   [FIELD_I64] = "i64",   [FIELD_BOOL] = "bool",
        [FIELD_ID] = "id",     [FIELD_TIME] = "time", [FIELD_TEXT] = "text", [FIELD_BYTES] = "bytes",
        [FIELD_LIST] = "list", [FIELD_TEXTS] = "list"};
    const char *required = f->required ? ", required" : "";
    char max[32];
    if (f->maximum == INT64_MAX)
        snprintf(max, sizeof max, "2^63-1");
    else
        snprintf(max, sizeof max, "%llu", (unsigned long long)f->maximum);
    bool bounded = f->kind == FIELD_TEXT || f->kind == FIELD_BYTES ||
                   (f->kind == FIELD_U32 && f->maximum < UINT32_MAX) ||
                   (f->kind == FIELD_U64 && f->maximum < UINT64_MAX);
    if (f->kind == FIELD_STRUCT)
        snprintf(out, size, "`%s`%s", f->schema->name, required);
    else if (f->kind == FIELD_LIST)
        snprintf(out, size, "list ≤ %s of `%s`", max, f->schema->name);
    else if (f->kind == FIELD_TEXTS)
        snprintf(out, size, "list ≤ %s of text ≤ %u", max, f->text_max);
    else if (bounded)
        snprintf(out, size, "%s ≤ %s%s", kinds[f->kind], max, required);
    else
        snprintf(out, size, "%s%s", kinds[f->kind], required);
}

/* From heading to the next heading of any level; a copy. */
static char *section(const char *heading) {
    char line[256];
    snprintf(line, sizeof line, "\n### %s\n", heading);
    const char *start = strstr(document, line);
    if (!start) {
        fail_msg("docs/PROTOCOL.md has no section '### %s'; section 6 has the messages, section 7 the parts", heading);
        return NULL;
    }
    start += strlen(line);
    const char *end = strstr(start, "\n##");
    return strndup(start, end ? (size_t)(end - start) : strlen(start));
}

static size_t count_rows(const char *text) {
    size_t rows = 0;
    for (const char *at = text; (at = strstr(at, "\n| `")); at++)
        rows++;
    return rows;
}

static void check_section(const char *heading, const struct schema *s) {
    char *text = section(heading), kind[128], row[256];
    if (!text)
        return;
    for (size_t i = 0; i < s->field_count; i++) {
        describe(&s->fields[i], kind, sizeof kind);
        snprintf(row, sizeof row, "\n| `%s` (%u) | %s |", s->fields[i].name, s->fields[i].number, kind);
        if (!strstr(text, row))
            fail_msg("docs/PROTOCOL.md, section '%s' lacks the row: %s", heading, row + 1);
    }
    if (count_rows(text) != s->field_count)
        fail_msg("docs/PROTOCOL.md, section '%s' has %zu rows, the table in common/pure/proto_fields.c %zu", heading,
                 count_rows(text), s->field_count);
    free(text);
}

static void test_every_message_is_documented(void **state) {
    (void)state;
    for (int type = 1; type < MSG_COUNT; type++) {
        const struct schema *s = message_schema((enum msg_type)type);
        char heading[64];
        if (!s)
            fail_msg("message type %d has no row in the table messages of common/pure/proto_fields.c", type);
        snprintf(heading, sizeof heading, "%s (%d)", s->name, type);
        check_section(heading, s);
    }
}

static void check_parts(const struct schema *s) {
    for (size_t i = 0; i < s->field_count; i++) {
        const struct schema *part = s->fields[i].schema;
        if (!part)
            continue;
        char heading[64];
        snprintf(heading, sizeof heading, "`%s`", part->name);
        check_section(heading, part);
        check_parts(part);
    }
}

static void test_every_part_is_documented(void **state) {
    (void)state;
    for (int type = 1; type < MSG_COUNT; type++)
        check_parts(message_schema((enum msg_type)type));
}

/* The journal's class names are part of the contract. */
static void test_every_class_is_documented(void **state) {
    (void)state;
    for (int c = FAIL_NONE; c <= FAIL_CLASS_LAST; c++) {
        char row[64];
        snprintf(row, sizeof row, "\n| %d | %s |", c, fail_class_name((enum fail_class)c));
        if (!strstr(document, row))
            fail_msg("docs/PROTOCOL.md lacks the row: %s", row + 1);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, read_document, free_document)

UNIT_MAIN(TEST(test_every_message_is_documented), TEST(test_every_part_is_documented),
          TEST(test_every_class_is_documented))
