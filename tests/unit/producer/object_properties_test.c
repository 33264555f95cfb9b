/* The properties of a run: a type and a digest for each file. */
#include "unit.h"

#include "producer/object_properties.h"

static struct object_properties started(const struct properties *given, bool guess, bool on_s3) {
    struct object_properties o;
    assert_int_equal(object_properties_init(&o, given, guess, on_s3), 0);
    return o;
}

static struct id128 digest_of(struct object_properties *o, const char *path) {
    struct id128 id;
    assert_int_equal(object_properties_digest(o, path, &id), 0);
    return id;
}

static void assert_type(const struct object_properties *o, const char *path, const char *type) {
    assert_true(slice_equal(object_properties_type(o, path), slice_of(type)));
}

static void test_files_with_one_type_have_one_digest(void **state) {
    (void)state;
    struct object_properties o = started(&properties_none, true, true);
    struct id128 text = digest_of(&o, "a.txt"), again = digest_of(&o, "b.txt"), html = digest_of(&o, "a.html"),
                 expected;
    assert_type(&o, "a.txt", "text/plain");
    assert_true(id_equal(&text, &again));
    assert_false(id_equal(&text, &html));
    assert_int_equal(properties_digest(&properties_none, slice_of("text/plain"), &expected), 0);
    assert_true(id_equal(&text, &expected));
    text = digest_of(&o, "a");
    assert_true(id_is_zero(&text));
    assert_type(&o, "a", "");
    object_properties_release(&o);
}

static void test_a_given_type_is_that_of_all_files(void **state) {
    (void)state;
    struct properties given = {.content_type = slice_of("a/b")};
    struct object_properties o = started(&given, true, true);
    struct id128 text = digest_of(&o, "a.txt"), html = digest_of(&o, "a.html");
    assert_type(&o, "a.txt", "");
    assert_true(id_equal(&text, &html));
    assert_false(id_is_zero(&text));
    object_properties_release(&o);
}

static void test_nothing_is_guessed_on_request_or_for_a_file(void **state) {
    (void)state;
    struct object_properties o = started(&properties_none, false, true);
    assert_type(&o, "a.txt", "");
    object_properties_release(&o);
    struct properties no_preserve = {.no_preserve = true};
    o = started(&no_preserve, true, false);
    assert_type(&o, "a.txt", "");
    struct id128 id = digest_of(&o, "a.txt");
    assert_true(id_is_zero(&id));
    assert_true(o.common.no_preserve);
    object_properties_release(&o);
}

UNIT_MAIN(cmocka_unit_test(test_files_with_one_type_have_one_digest),
          cmocka_unit_test(test_a_given_type_is_that_of_all_files),
          cmocka_unit_test(test_nothing_is_guessed_on_request_or_for_a_file))
