/* Content types by extension, in the form of /etc/mime.types. */
#include "unit.h"

#include "producer/source/mime_types.h"

#define SAMPLE                                                                                                         \
    "# comment txt\n"                                                                                                  \
    "\n"                                                                                                               \
    "application/none\n"                                                                                               \
    "text/plain\t\ttxt asc\n"                                                                                          \
    "text/x-log log # old\r\n"                                                                                         \
    "application/x-old gz\n"                                                                                           \
    "application/gzip gz\n"                                                                                            \
    "chemical/x-pdb  PDB"

static struct mime_types parsed(const char *text) {
    struct mime_types m;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, text), 0);
    assert_int_equal(mime_types_parse(&m, &b), 0);
    assert_null(b.data);
    return m;
}

static void assert_type(const struct mime_types *m, const char *path, const char *type) {
    const struct mime_type *found = mime_types_find(m, path);
    if (!type)
        assert_null(found);
    else
        assert_true(found && slice_equal(found->name, slice_of(type)));
}

static void test_the_last_extension_of_a_name_counts(void **state) {
    (void)state;
    struct mime_types m = parsed(SAMPLE);
    assert_type(&m, "/a/b.txt", "text/plain");
    assert_type(&m, "b.asc", "text/plain");
    assert_type(&m, "x.tar.gz", "application/gzip"); /* the last line with gz */
    assert_type(&m, "x.log", "text/x-log");
    mime_types_release(&m);
}

static void test_names_without_a_known_extension(void **state) {
    (void)state;
    struct mime_types m = parsed(SAMPLE);
    static const char *const names[] = {
        "/a.txt/b", "txt", ".txt",  "/a/.txt", "a.",
        "a.none",   "a.#", "a.old", "",        "a.txttxttxttxttxttxttxttxttxttxttxttxt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_type(&m, names[i], NULL);
    mime_types_release(&m);
}

static void test_an_extension_is_found_as_written_and_in_lower_case(void **state) {
    (void)state;
    struct mime_types m = parsed(SAMPLE);
    assert_type(&m, "README.TXT", "text/plain");
    assert_type(&m, "a.PDB", "chemical/x-pdb");
    assert_type(&m, "a.pdb", NULL);
    mime_types_release(&m);
}

static void test_an_empty_file_knows_nothing(void **state) {
    (void)state;
    struct mime_types m = parsed("");
    assert_type(&m, "a.txt", NULL);
    mime_types_release(&m);
    assert_type(&m, "a.txt", NULL);
}

static void test_the_file_of_debian_is_read(void **state) {
    (void)state;
    struct mime_types m;
    assert_int_equal(mime_types_read(&m, MIME_TYPES_FILE), 0);
    assert_type(&m, "film.mkv", "video/x-matroska");
    assert_type(&m, "a.html", "text/html");
    mime_types_release(&m);
    assert_int_equal(mime_types_read(&m, "/no/such/file"), ERR_NOT_FOUND);
}

UNIT_MAIN(cmocka_unit_test(test_the_last_extension_of_a_name_counts),
          cmocka_unit_test(test_names_without_a_known_extension),
          cmocka_unit_test(test_an_extension_is_found_as_written_and_in_lower_case),
          cmocka_unit_test(test_an_empty_file_knows_nothing), cmocka_unit_test(test_the_file_of_debian_is_read))
