#include "edge.h"
#include "pure/text.h"
#include "unit.h"
#include <stdlib.h>

#define BYTES(literal) slice_make(literal, sizeof(literal) - 1)
#define STATIC_BYTES(literal)                                                                                          \
    { literal, sizeof(literal) - 1 }

static const struct slice valid_utf8[] = {
    STATIC_BYTES(""),
    STATIC_BYTES("plain"),
    STATIC_BYTES("exactly8"),
    STATIC_BYTES("\x7f"),
    STATIC_BYTES("a\0b"),
    STATIC_BYTES("\xc2\x80"),
    STATIC_BYTES("\xdf\xbf"),
    STATIC_BYTES("\xe0\xa0\x80"),
    STATIC_BYTES("\xed\x9f\xbf"),
    STATIC_BYTES("\xee\x80\x80"),
    STATIC_BYTES("\xef\xbf\xbf"),
    STATIC_BYTES("\xf0\x90\x80\x80"),
    STATIC_BYTES("\xf4\x8f\xbf\xbf"),
    STATIC_BYTES("gr\xc3\xbc\xc3\x9f"
                 "e an alle, auch 8 und mehr Bytes \xf0\x9f\x9a\x80"),
};

static const struct slice invalid_utf8[] = {
    STATIC_BYTES("\x80"),
    STATIC_BYTES("\xbf"),
    STATIC_BYTES("\xc0\x80"),                 /* overlong NUL */
    STATIC_BYTES("\xc1\xbf"),                 /* overlong */
    STATIC_BYTES("\xc2"),                     /* cut */
    STATIC_BYTES("\xc2\x41"),                 /* no continuation */
    STATIC_BYTES("\xc3\xc3\xa4"),             /* lead after lead */
    STATIC_BYTES("\xe0\x9f\xbf"),             /* overlong */
    STATIC_BYTES("\xe0\xa0"),                 /* cut */
    STATIC_BYTES("\xed\xa0\x80"),             /* first surrogate */
    STATIC_BYTES("\xed\xbf\xbf"),             /* last surrogate */
    STATIC_BYTES("\xed\xa0\xbd\xed\xb8\x80"), /* CESU-8 */
    STATIC_BYTES("\xf0\x8f\xbf\xbf"),         /* overlong */
    STATIC_BYTES("\xf0\x90\x80"),             /* cut */
    STATIC_BYTES("\xf4\x90\x80\x80"),         /* past U+10FFFF */
    STATIC_BYTES("\xf5\x80\x80\x80"),
    STATIC_BYTES("\xe2\x82\x41"),     /* third byte */
    STATIC_BYTES("\xe2\x82\xc3\xa4"), /* third byte starts another */
    STATIC_BYTES("\xf0\x9f\x9a\x41"), /* fourth byte */
    STATIC_BYTES("\xf8\x88\x80\x80\x80"),
    STATIC_BYTES("\xfc\x84\x80\x80\x80\x80"),
    STATIC_BYTES("\xfe"),
    STATIC_BYTES("\xff"),
    STATIC_BYTES("12345678\xff"),
    STATIC_BYTES("1234567\xff"),
    STATIC_BYTES("12345678\xe2\x82"),
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void test_utf8_tables(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(valid_utf8); i++)
        assert_true(utf8_is_valid(edge_slice(valid_utf8[i])));
    for (size_t i = 0; i < COUNT(invalid_utf8); i++)
        assert_false(utf8_is_valid(edge_slice(invalid_utf8[i])));
    assert_true(utf8_is_valid(slice_of(NULL)));
    assert_int_equal(utf8_valid_prefix(BYTES("12345678ab\xc3\xa4\xff zz")), 12);
    assert_int_equal(utf8_valid_prefix(BYTES("\xe2\x82")), 0);
}

/* Every code point there is, well-formed; every surrogate not. */
static void test_utf8_every_code_point(void **state) {
    (void)state;
    for (unsigned code = 0x800; code < 0x110000; code++) {
        unsigned char b[4] = {(unsigned char)(0xe0 | code >> 12), (unsigned char)(0x80 | (code >> 6 & 63)),
                              (unsigned char)(0x80 | (code & 63)), 0};
        size_t len = 3;
        if (code >= 0x10000) {
            b[0] = (unsigned char)(0xf0 | code >> 18);
            b[1] = (unsigned char)(0x80 | (code >> 12 & 63));
            b[2] = (unsigned char)(0x80 | (code >> 6 & 63));
            b[3] = (unsigned char)(0x80 | (code & 63));
            len = 4;
        }
        bool surrogate = code >= 0xd800 && code < 0xe000;
        if (utf8_is_valid(slice_make(b, len)) == surrogate || utf8_is_valid(slice_make(b, len - 1)))
            fail_msg("U+%04X", code);
    }
}

static void expect_json(struct slice text, const char *json) {
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "="), 0);
    assert_int_equal(json_add_string(&b, edge_slice(text)), 0);
    assert_string_equal(b.data + 1, json);
    buf_release(&b);
}

static void test_json_strings(void **state) {
    (void)state;
    expect_json(BYTES(""), "\"\"");
    expect_json(slice_of(NULL), "\"\"");
    expect_json(BYTES("plain /text/ of some length, more than a word"),
                "\"plain /text/ of some length, more than a word\"");
    expect_json(BYTES("\"\\\n\t\r\b\f"), "\"\\\"\\\\\\u000a\\u0009\\u000d\\u0008\\u000c\"");
    expect_json(BYTES("\x7f\x1f a\0b"), "\"\\u007f\\u001f a\\u0000b\"");
    expect_json(BYTES("\xc3\xa4\xe2\x82\xac"), "\"\xc3\xa4\xe2\x82\xac\"");
}

/* Each byte below 0x80 at each place of a word: the fast scan finds the same as the slow one. */
static void test_json_escapes_anywhere(void **state) {
    (void)state;
    for (int c = 0; c < 0x80; c++)
        for (size_t at = 0; at < 24; at++) {
            char text[24], want[64];
            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            char one[8];
            if (c == '"' || c == '\\')
                snprintf(one, sizeof one, "\\%c", c);
            else if (c < 0x20 || c == 0x7f)
                snprintf(one, sizeof one, "\\u%04x", (unsigned)c);
            else
                snprintf(one, sizeof one, "%c", c);
            snprintf(want, sizeof want, "\"%.*s%s%.*s\"", (int)at, "aaaaaaaaaaaaaaaaaaaaaaaa", one, (int)(23 - at),
                     "aaaaaaaaaaaaaaaaaaaaaaaa");
            expect_json(slice_make(text, sizeof text), want);
        }
}

static void test_json_lossy(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < COUNT(invalid_utf8); i++) {
        buf_clear(&b);
        assert_int_equal(json_add_string_lossy(&b, edge_slice(invalid_utf8[i])), 0);
        assert_true(utf8_is_valid(buf_slice(&b)));
        assert_non_null(strstr(b.data, "\xef\xbf\xbd"));
    }
    for (size_t i = 0; i < COUNT(valid_utf8); i++) {
        if (memchr(valid_utf8[i].ptr, 0, valid_utf8[i].len))
            continue;
        struct buf same = BUF_INIT;
        buf_clear(&b);
        assert_int_equal(json_add_string_lossy(&b, valid_utf8[i]), 0);
        assert_int_equal(json_add_string(&same, valid_utf8[i]), 0);
        assert_string_equal(b.data, same.data);
        buf_release(&same);
    }
    buf_clear(&b);
    assert_int_equal(json_add_string_lossy(&b, BYTES("a\0\xff\"\xc3\xa4\n\xe2\x82")), 0);
    assert_string_equal(b.data, "\"a\xef\xbf\xbd\xef\xbf\xbd\\\"\xc3\xa4\\u000a\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_release(&b);
}

/* RFC 4648, section 10. */
static void test_base64_vectors(void **state) {
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"},
                                             {"\xfb\xff\xfe", "+//+"}};
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        buf_clear(&b);
        assert_int_equal(base64_add(&b, edge_text(vectors[i][0])), 0);
        assert_string_equal(b.data, vectors[i][1]);
        buf_clear(&b);
        assert_int_equal(base64_decode(&b, edge_text(vectors[i][1])), 0);
        assert_true(slice_equal(buf_slice(&b), slice_of(vectors[i][0])));
    }
    buf_release(&b);
}

static void test_base64_every_byte_value_and_length(void **state) {
    (void)state;
    uint8_t bytes[257];
    struct buf text = BUF_INIT, back = BUF_INIT;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        buf_clear(&text);
        buf_clear(&back);
        assert_int_equal(base64_add(&text, slice_make(bytes, len)), 0);
        assert_int_equal(text.len, (len + 2) / 3 * 4);
        assert_int_equal(base64_decode(&back, buf_slice(&text)), 0);
        assert_true(slice_equal(buf_slice(&back), slice_make(bytes, len)));
    }
    buf_release(&text);
    buf_release(&back);
}

static void test_base64_refuses_other_forms(void **state) {
    (void)state;
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",      "Zh==",       "Zm9=",    "=",
                                      "====", "Z===", "Zg==Zg==", "Zm9v\n",     "Zm-v",    "Zm_v",
                                      "Zm 9", "Zg=v", "Zm9vZ===", "\xc3\xa4==", "Zm9v===="};
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "kept"), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (base64_decode(&b, edge_text(bad[i])) != ERR_INVALID)
            fail_msg("%s", bad[i]);
        assert_string_equal(b.data, "kept");
    }
    buf_release(&b);
}

static void test_printable_names(void **state) {
    (void)state;
    static const struct {
        struct slice name;
        const char *shown;
    } cases[] = {
        {STATIC_BYTES(""), ""},
        {STATIC_BYTES("plain name.txt"), "plain name.txt"},
        {STATIC_BYTES("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f"},
        {STATIC_BYTES("two\nlines\there"), "two\\nlines\\there"},
        {STATIC_BYTES("\x1b[31mred\x7f\r"), "\\x1b[31mred\\x7f\\x0d"},
        {STATIC_BYTES("bad\xff\xc3("), "bad\\xff\\xc3("},
        {STATIC_BYTES("c1\xc2\x9b"), "c1\\xc2\\x9b"},
        {STATIC_BYTES("nbsp\xc2\xa0"), "nbsp\xc2\xa0"},
        {STATIC_BYTES("C:\\dir\\file"), "C:\\dir\\file"},
        {STATIC_BYTES("a\\nb"), "a\\\\nb"},
        {STATIC_BYTES("a\\\nb"), "a\\\\\\nb"},
        {STATIC_BYTES("a\\xff"), "a\\\\xff"},
        {STATIC_BYTES("a\\\\b"), "a\\\\\\b"},
        {STATIC_BYTES("end\\"), "end\\"},
        {STATIC_BYTES("nul\0!"), "nul\\x00!"},
    };
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_clear(&b);
        assert_int_equal(text_add_printable(&b, edge_slice(cases[i].name)), 0);
        assert_string_equal(b.data ? b.data : "", cases[i].shown);
        assert_true(utf8_is_valid(buf_slice(&b)));
    }
    buf_release(&b);
}

/* Reads what text_add_printable shows: \\ \n \t \xNN, any other backslash as itself. */
static size_t read_printable(const char *shown, char *name) {
    size_t len = 0;
    for (; *shown; shown++) {
        char after = shown[0] == '\\' ? shown[1] : 0;
        if (after == '\\' || after == 'n' || after == 't') {
            name[len++] = (char)(after == 'n' ? '\n' : after == 't' ? '\t' : '\\');
            shown++;
        } else if (after == 'x') {
            char hex[3] = {shown[2], shown[3], 0};
            name[len++] = (char)strtol(hex, NULL, 16);
            shown += 3;
        } else
            name[len++] = *shown;
    }
    return len;
}

/* No two names are shown alike: every string of up to six of the awkward bytes can be read back. */
static void test_printable_is_unambiguous(void **state) {
    (void)state;
    static const char alphabet[] = {'\\', 'n', 'x', '\n', '\xff', 'a', '0'};
    struct buf b = BUF_INIT;
    for (unsigned number = 0; number < 7 * 7 * 7 * 7 * 7 * 7; number++) {
        char name[6], back[32];
        unsigned rest = number;
        for (int i = 0; i < 6; i++, rest /= 7)
            name[i] = alphabet[rest % 7];
        buf_clear(&b);
        assert_int_equal(text_add_printable(&b, slice_make(name, 6)), 0);
        size_t len = read_printable(b.data, back);
        if (len != 6 || memcmp(back, name, 6) != 0)
            fail_msg("%s", b.data);
    }
    buf_release(&b);
}

UNIT_MAIN(cmocka_unit_test(test_utf8_tables), cmocka_unit_test(test_utf8_every_code_point),
          cmocka_unit_test(test_json_strings), cmocka_unit_test(test_json_escapes_anywhere),
          cmocka_unit_test(test_json_lossy), cmocka_unit_test(test_base64_vectors),
          cmocka_unit_test(test_base64_every_byte_value_and_length), cmocka_unit_test(test_base64_refuses_other_forms),
          cmocka_unit_test(test_printable_names), cmocka_unit_test(test_printable_is_unambiguous))
