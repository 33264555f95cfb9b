/* The limits of the XML reader, and the copies of values. */
#include "unit.h"

#include "uploader/http/xml.h"
#include <stdlib.h>

static char paths[2000];
static int handler_error;

static int on_element(void *arg, const char *path, struct slice text) {
    (void)arg;
    size_t at = strlen(paths);
    snprintf(paths + at, sizeof paths - at, "%s=%.*s\n", path, (int)(text.len < 100 ? text.len : 100),
             text.len ? text.ptr : "");
    return handler_error;
}

static int parse_slice(struct slice body) {
    paths[0] = 0;
    return xml_parse(body, "R", on_element, NULL);
}

static int parse(const char *body) {
    return parse_slice(slice_of(body));
}

static int setup(void **state) {
    (void)state;
    handler_error = 0;
    return 0;
}

static void test_elements_are_reported_with_their_path(void **state) {
    (void)state;
    assert_int_equal(parse("<R>x<a>1</a><b><c>2</c> t</b></R>"), 0);
    assert_string_equal(paths, "R/a=1\nR/b/c=2\nR/b= t\nR=\n");
}

static void test_space_before_the_document_is_skipped(void **state) {
    (void)state;
    assert_int_equal(parse(" \n\r\t<?xml version=\"1.0\"?><R/>"), 0);
    assert_int_equal(parse(" \n\r\t"), ERR_INVALID);
    assert_int_equal(parse("\v<R/>"), ERR_INVALID);
}

static void test_an_error_of_the_caller_ends_the_parse(void **state) {
    (void)state;
    handler_error = ERR_BUSY;
    assert_int_equal(parse("<R><a>1</a><b>2</b></R>"), ERR_BUSY);
    assert_string_equal(paths, "R/a=1\n");
}

static int parse_depth(int depth) {
    char text[200] = "<R>";
    for (int i = 1; i < depth; i++)
        strcat(text, "<a>");
    for (int i = 1; i < depth; i++)
        strcat(text, "</a>");
    strcat(text, "</R>");
    return parse(text);
}

static void test_elements_are_nested_twelve_deep_at_most(void **state) {
    (void)state;
    assert_int_equal(parse_depth(12), 0);
    assert_int_equal(parse_depth(13), ERR_LIMIT);
}

static int parse_name(size_t len) {
    char text[700], name[300];
    memset(name, 'n', len);
    name[len] = 0;
    snprintf(text, sizeof text, "<R><%s/></R>", name);
    return parse(text);
}

/* The path has 255 bytes at most: "R/" and the name. */
static void test_a_path_has_a_limit(void **state) {
    (void)state;
    assert_int_equal(parse_name(253), 0);
    assert_int_equal(strchr(paths, '=') - paths, 255);
    assert_int_equal(parse_name(254), ERR_LIMIT);
}

static int parse_text(size_t len) {
    struct buf text = BUF_INIT;
    assert_int_equal(buf_add_text(&text, "<R><a>"), 0);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(buf_add_byte(&text, 't'), 0);
    assert_int_equal(buf_add_text(&text, "</a></R>"), 0);
    int err = parse_slice(buf_slice(&text));
    buf_release(&text);
    return err;
}

static void test_a_text_has_a_limit(void **state) {
    (void)state;
    assert_int_equal(parse_text(8192), 0);
    assert_int_equal(parse_text(8193), ERR_LIMIT);
}

static void test_a_document_has_a_limit(void **state) {
    (void)state;
    size_t len = 1 << 20;
    char *text = malloc(len + 1);
    memset(text, '\n', len + 1);
    memcpy(text, "<R/>", 4);
    assert_int_equal(parse_slice(slice_make(text, len)), 0);
    assert_int_equal(parse_slice(slice_make(text, len + 1)), ERR_LIMIT);
    free(text);
}

/* --- values --- */

static void test_a_copy_must_fit(void **state) {
    (void)state;
    char out[4] = "???";
    assert_int_equal(xml_text_copy(slice_of("abc"), out, sizeof out), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(xml_text_copy(slice_of("abcd"), out, sizeof out), ERR_LIMIT);
    assert_int_equal(xml_text_copy(slice_make("a\0b", 3), out, sizeof out), ERR_INVALID);
    assert_int_equal(xml_text_copy((struct slice){NULL, 0}, out, sizeof out), 0);
    assert_string_equal(out, "");
}

static const char *cut(const char *text) {
    static char out[4];
    xml_text_copy_cut(slice_of(text), out, sizeof out);
    return out;
}

static void test_a_text_for_people_is_cut_between_characters(void **state) {
    (void)state;
    assert_string_equal(cut(""), "");
    assert_string_equal(cut("ab"), "ab");
    assert_string_equal(cut("abc"), "abc");
    assert_string_equal(cut("abcd"), "abc");
    assert_string_equal(cut("a\xc3\xa4"), "a\xc3\xa4");
    assert_string_equal(cut("a\xc3\xa4z"), "a\xc3\xa4");
    assert_string_equal(cut("ab\xc3\xa4"), "ab");
    assert_string_equal(cut("\xf0\x9f\x98\x80"), "");
    char out[4];
    xml_text_copy_cut(slice_make("ab\xa4", 2), out, sizeof out); /* both bytes fit; the character is not whole */
    assert_string_equal(out, "ab");
}

static const char *escape(const char *text, int err) {
    static char out[100];
    struct buf b = BUF_INIT;
    assert_int_equal(xml_escape_add(&b, slice_of(text)), err);
    snprintf(out, sizeof out, "%s", b.data ? b.data : "");
    buf_release(&b);
    return out;
}

static void test_escapes(void **state) {
    (void)state;
    assert_string_equal(escape("&<>", 0), "&amp;&lt;&gt;");
    assert_string_equal(escape("a\tb c\x7f\xc3\xa4", 0), "a\tb c\x7f\xc3\xa4");
    escape("\x1f", ERR_INVALID);
    escape("\n", ERR_INVALID);
    assert_string_equal(escape("a\x01z", ERR_INVALID), "a");
}

/* A key that a parser changes would name another object. */
static void test_a_text_is_plain_if_every_parser_reads_it_alike(void **state) {
    (void)state;
    static const char *const plain[] = {"a",
                                        "dir/a & <b>.txt",
                                        "\xc3\xa4",
                                        "\xe7\x85\xa7\xe7\x89\x87",
                                        "a \xe2\x80\x94 b",
                                        "\xf0\x9f\x98\x80",
                                        "\xef\xbf\xbd",
                                        "\xe2\x80\x90",
                                        "\xe2\x81\x9e"};
    static const char *const others[] = {"",
                                         " ",
                                         " a",
                                         "a ",
                                         "a  b",
                                         "a\tb",
                                         "a\nb",
                                         "a\rb",
                                         "\x01",
                                         "a\x1fz",
                                         "a\x7fz",
                                         "\xc2\x85",
                                         "a\xc2\x9fz",
                                         "\xc2\xa0z",
                                         "z\xe3\x80\x80",
                                         "\xe1\x9a\x80z",
                                         "z\xe2\x80\x80",
                                         "z\xe2\x80\x8f",
                                         "\xe2\x80\xa8z",
                                         "z\xe2\x80\xaf",
                                         "\xe2\x81\x9fz",
                                         "\xef\xbb\xbfz",
                                         "a\xef\xbf\xbez",
                                         "a\xef\xbf\xbfz",
                                         "a \xc2\xa0z",
                                         "\xff",
                                         "a\xc3"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!xml_text_is_plain(slice_of(plain[i])))
            fail_msg("%s", plain[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (xml_text_is_plain(slice_of(others[i])))
            fail_msg("%zu: %s", i, others[i]);
    assert_false(xml_text_is_plain(slice_make("a\0b", 3)));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)
UNIT_MAIN(TEST(test_elements_are_reported_with_their_path), TEST(test_space_before_the_document_is_skipped),
          TEST(test_an_error_of_the_caller_ends_the_parse), TEST(test_elements_are_nested_twelve_deep_at_most),
          TEST(test_a_path_has_a_limit), TEST(test_a_text_has_a_limit), TEST(test_a_document_has_a_limit),
          TEST(test_a_copy_must_fit), TEST(test_a_text_for_people_is_cut_between_characters), TEST(test_escapes),
          TEST(test_a_text_is_plain_if_every_parser_reads_it_alike))
