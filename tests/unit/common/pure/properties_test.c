/* Values that a header can carry, and the identity of a set of properties. */
#include "unit.h"

#include "edge.h"
#include "pure/properties.h"
#include <stdlib.h>

static struct id128 digest_of(const struct properties *p, const char *type) {
    struct id128 id;
    assert_int_equal(properties_digest(p, slice_of(type), &id), 0);
    return id;
}

static void test_values_that_a_header_carries(void **state) {
    (void)state;
    static const char *const good[] = {"x", "max-age=60, public", "attachment; filename=\"a b\"", "~!@#$%^&*()"};
    static const char *const bad[] = {"", " x", "x ", "a\nb", "a\tb", "a\x7f", "\xc3\xbc"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_null(property_value_problem(edge_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(property_value_problem(edge_text(bad[i])));
}

static void test_names_that_end_a_header_name(void **state) {
    (void)state;
    static const char *const good[] = {"x", "a-b", "a_1.z", "mtime", "chunklift-uploads"};
    static const char *const bad[] = {"", "a b", "a:b", "a=b", "(a)", "\xc3\xbc", "A", "aZ", "chunklift-upload"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_null(property_name_problem(edge_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(property_name_problem(edge_text(bad[i])));
}

static void test_an_entry_is_split_at_its_first_equals_sign(void **state) {
    (void)state;
    struct slice name, value;
    assert_true(property_entry_split(edge_text("a=b=c"), &name, &value));
    assert_true(slice_equal(name, slice_of("a")) && slice_equal(value, slice_of("b=c")));
    assert_false(property_entry_split(edge_text("a"), &name, &value));
    assert_false(property_entry_split(edge_text(""), &name, &value));
}

static void test_properties_of_a_message_are_checked(void **state) {
    (void)state;
    static char long_text[PROPERTIES_BYTES_MAX];
    struct slice entries[] = {slice_of("a=1"), slice_of("b=2")};
    struct properties p = {.acl = slice_of("private"), .metadata = entries, .metadata_count = 2};
    assert_true(properties_are_valid(&properties_none));
    assert_true(properties_are_valid(&p));
    entries[1] = slice_of("b");
    assert_false(properties_are_valid(&p));
    entries[1] = slice_of("b b=1");
    assert_false(properties_are_valid(&p));
    entries[1] = slice_of("b=\n");
    assert_false(properties_are_valid(&p));
    entries[1] = slice_of("B=2");
    assert_false(properties_are_valid(&p));
    entries[1] = slice_of("a=2"); /* its header would be joined with the first one */
    assert_false(properties_are_valid(&p));
    entries[1] = slice_of(PROPERTY_METADATA_OWN "=1");
    assert_false(properties_are_valid(&p));
    p.metadata_count = 1;
    p.acl = slice_of("a\r\nb: c");
    assert_false(properties_are_valid(&p));
    memset(long_text, 'x', sizeof long_text);
    p.acl = slice_make(long_text, sizeof long_text - 3);
    assert_true(properties_are_valid(&p)); /* exactly the limit */
    p.tagging = slice_of("t");
    assert_false(properties_are_valid(&p));
}

/* S3 counts names and values, and those that chunklift adds. */
static void test_metadata_of_a_message_fits_a_store(void **state) {
    (void)state;
    static char first[1100], second[1100];
    struct slice entries[] = {slice_make(first, 1002), slice_make(second, 968)};
    struct properties p = {.metadata = entries, .metadata_count = 2};
    memset(first, 'x', sizeof first);
    memset(second, 'y', sizeof second);
    first[1] = second[1] = '=';
    assert_true(properties_are_valid(&p)); /* 1,001 + 967 = 2,048 - 80 */
    entries[1].len++;
    assert_false(properties_are_valid(&p));
}

static void test_a_message_has_at_most_64_entries(void **state) {
    (void)state;
    static char texts[PROPERTY_METADATA_MAX + 1][8];
    struct slice entries[PROPERTY_METADATA_MAX + 1];
    for (size_t i = 0; i <= PROPERTY_METADATA_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], "%zu=v", i);
        entries[i] = slice_of(texts[i]);
    }
    struct properties p = {.metadata = entries, .metadata_count = PROPERTY_METADATA_MAX};
    assert_true(properties_are_valid(&p));
    p.metadata_count++;
    assert_false(properties_are_valid(&p));
}

static void test_a_copy_is_equal_and_independent(void **state) {
    (void)state;
    char text[] = "value", entry[] = "k=v";
    struct slice entries[] = {slice_of(entry)};
    struct properties p = {.sse = slice_of(text), .metadata = entries, .metadata_count = 1, .no_preserve = true}, copy;
    void *memory;
    assert_int_equal(properties_copy(&copy, &p, &memory), 0);
    assert_true(properties_are_equal(&copy, &p));
    text[0] = entry[0] = 'X';
    assert_false(properties_are_equal(&copy, &p));
    assert_true(slice_equal(copy.sse, slice_of("value")) && slice_equal(copy.metadata[0], slice_of("k=v")));
    free(memory);
    assert_int_equal(properties_copy(&copy, &properties_none, &memory), 0);
    assert_true(properties_are_equal(&copy, &properties_none));
    free(memory);
}

static void test_each_property_makes_another_set(void **state) {
    (void)state;
    struct slice entries[] = {slice_of("k=v")};
    for (enum property i = 0; i < PROPERTY_COUNT; i++) {
        struct properties p = {.no_preserve = false};
        property_set(&p, i, slice_of("x"));
        assert_true(slice_equal(property_get(&p, i), slice_of("x")));
        assert_false(properties_are_equal(&p, &properties_none));
    }
    struct properties p = {.metadata = entries, .metadata_count = 1};
    assert_false(properties_are_equal(&p, &properties_none));
    p = (struct properties){.no_preserve = true};
    assert_false(properties_are_equal(&p, &properties_none));
}

static void test_the_digest_of_defaults_is_zero(void **state) {
    (void)state;
    struct id128 id = digest_of(&properties_none, "");
    assert_true(id_is_zero(&id));
    id = digest_of(&properties_none, PROPERTY_TYPE_DEFAULT);
    assert_true(id_is_zero(&id));
    struct properties access = {.request_payer = slice_of("requester"), .expected_bucket_owner = slice_of("1")};
    id = digest_of(&access, "");
    assert_true(id_is_zero(&id));
}

static void test_the_digest_differs_with_each_value(void **state) {
    (void)state;
    struct slice one[] = {slice_of("k=v")}, other[] = {slice_of("k=w")};
    struct properties sets[PROPERTY_COUNT + 3] = {
        {.metadata = one, .metadata_count = 1}, {.metadata = other, .metadata_count = 1}, {.no_preserve = true}};
    size_t count = 3;
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        if (property_fields[i].use != PROPERTY_ACCESS)
            property_set(&sets[count++], i, slice_of("x"));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            struct id128 a = digest_of(&sets[i], ""), b = digest_of(&sets[j], "");
            assert_false(id_is_zero(&a) || id_equal(&a, &b));
        }
    struct id128 a = digest_of(&sets[2], "text/plain"), b = digest_of(&sets[2], "text/html");
    assert_false(id_equal(&a, &b));
}

static void test_the_type_of_all_objects_comes_before_that_of_a_job(void **state) {
    (void)state;
    struct properties p = {.content_type = slice_of("a/b")};
    assert_true(slice_equal(properties_content_type(&p, slice_of("c/d")), slice_of("a/b")));
    assert_true(slice_equal(properties_content_type(&properties_none, slice_of("c/d")), slice_of("c/d")));
    assert_true(slice_equal(properties_content_type(&properties_none, slice_of("")), slice_of(PROPERTY_TYPE_DEFAULT)));
    struct id128 a = digest_of(&p, "c/d"), b = digest_of(&p, "");
    assert_true(id_equal(&a, &b));
}

UNIT_MAIN(cmocka_unit_test(test_values_that_a_header_carries), cmocka_unit_test(test_names_that_end_a_header_name),
          cmocka_unit_test(test_an_entry_is_split_at_its_first_equals_sign),
          cmocka_unit_test(test_properties_of_a_message_are_checked),
          cmocka_unit_test(test_metadata_of_a_message_fits_a_store),
          cmocka_unit_test(test_a_message_has_at_most_64_entries),
          cmocka_unit_test(test_a_copy_is_equal_and_independent),
          cmocka_unit_test(test_each_property_makes_another_set), cmocka_unit_test(test_the_digest_of_defaults_is_zero),
          cmocka_unit_test(test_the_digest_differs_with_each_value),
          cmocka_unit_test(test_the_type_of_all_objects_comes_before_that_of_a_job))
