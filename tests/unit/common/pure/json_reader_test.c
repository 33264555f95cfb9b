/* The strict JSON reader, token by token. Each text ends at an unreadable page. */
#include "edge.h"
#include "pure/json_reader.h"
#include "unit.h"
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct buf scratch;

static struct json_reader reader(const char *text) {
    buf_clear(&scratch);
    return json_reader_of(edge_text(text), &scratch);
}

static int clear(void **state) {
    (void)state;
    buf_release(&scratch);
    return 0;
}

static void test_whole_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
        size_t used;
    } good[] = {{"0", 0, 1}, {"7,", 7, 1}, {"10x", 10, 2}, {"18446744073709551615", UINT64_MAX, 20}};
    static const char *const bad[] = {"", "x", "00", "01", "-1", "18446744073709551616", "99999999999999999999"};
    uint64_t value;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct json_reader in = reader(good[i].text);
        const char *start = in.at;
        assert_int_equal(json_read_u64(&in, &value), 0);
        assert_true(value == good[i].value);
        assert_int_equal(in.at - start, good[i].used);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct json_reader in = reader(bad[i]);
        assert_int_equal(json_read_u64(&in, &value), ERR_INVALID);
    }
}

static void test_signed_numbers_in_quotes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"\"0\"", 0}, {"\"-1\"", -1}, {"\"9223372036854775807\"", INT64_MAX}, {"\"-9223372036854775808\"", INT64_MIN}};
    static const char *const bad[] = {"",
                                      "\"",
                                      "5",
                                      "\"5",
                                      "\"-0\"",
                                      "\"-\"",
                                      "\"\"",
                                      "\"01\"",
                                      "\"+1\"",
                                      "\"--1\"",
                                      "\"1 \"",
                                      "\"9223372036854775808\"",
                                      "\"-9223372036854775809\""};
    int64_t value;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct json_reader in = reader(good[i].text);
        assert_int_equal(json_read_quoted_i64(&in, &value), 0);
        assert_true(value == good[i].value);
        assert_ptr_equal(in.at, in.end);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct json_reader in = reader(bad[i]);
        if (json_read_quoted_i64(&in, &value) != ERR_INVALID)
            fail_msg("%s", bad[i]);
    }
}

/* Each text is the inside of a string; NULL: refused. */
static const struct {
    const char *inside, *value;
} strings[] = {
    {"", ""},
    {"seven b", "seven b"},
    {"exactly8", "exactly8"},
    {"more than one word of eight bytes", "more than one word of eight bytes"},
    {"\xe2\x80\x80 \xc2\x80", "\xe2\x80\x80 \xc2\x80"}, /* 0x80 in a sequence */
    {" \x7f", " \x7f"},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
    {"\\u007f\\u0080\\u07ff\\u0800", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"},
    {"\\ud7ff\\ue000\\uffff", "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"},
    {"\\ud800\\udc00\\udbff\\udfff", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
    {"\\u0AFa\\u0faF", "\xe0\xab\xba\xe0\xbe\xaf"},
    {"a long run before\\n\xc3\xa4 and after", "a long run before\n\xc3\xa4 and after"},
    {"\x1f", NULL},
    {"\n", NULL},
    {"\x80", NULL},
    {"\xc3", NULL},
    {"seven b\xff", NULL},
    {"\\", NULL},
    {"\\x", NULL},
    {"\\u", NULL},
    {"\\u12", NULL},
    {"\\u123", NULL},
    {"\\u00g0", NULL},
    {"\\u00`0", NULL},
    {"\\u00/0", NULL},
    {"\\u00:0", NULL},
    {"\\u0000", NULL},
    {"\\udc00", NULL},
    {"\\udfff", NULL},
    {"\\udc00\\udc00", NULL},
    {"\\ud800", NULL},
    {"\\ud800\\udbff", NULL},
    {"\\ud800\\ue000", NULL},
    {"\\ud800\\u0041", NULL},
    {"\\ud800\\", NULL},
};

static void test_strings(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(strings); i++) {
        char text[100];
        struct slice value;
        snprintf(text, sizeof text, "\"%s\"", strings[i].inside);
        struct json_reader in = reader(text);
        int err = json_read_string(&in, &value);
        if (err != (strings[i].value ? 0 : ERR_INVALID))
            fail_msg("%s", text);
        if (err)
            continue;
        assert_true(slice_equal(value, slice_of(strings[i].value)));
        assert_ptr_equal(in.at, in.end);
    }
}

static void test_a_string_that_is_cut_is_refused(void **state) {
    (void)state;
    static const char text[] = "\"a \\n\\u00e4 \xc3\xa4 \\ud83d\\ude80 of some length\"";
    struct slice value;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        buf_clear(&scratch);
        struct json_reader in = json_reader_of(edge_slice(slice_make(text, len)), &scratch);
        assert_int_equal(json_read_string(&in, &value), ERR_INVALID);
        in = json_reader_of(edge_slice(slice_make(text, len)), &scratch);
        assert_int_equal(json_skip_value(&in), ERR_INVALID);
    }
}

static void test_an_escaped_nul_byte_is_no_escape(void **state) {
    (void)state;
    struct slice value;
    struct json_reader in = json_reader_of(slice_make("\"\\\0\"", 4), &scratch);
    assert_int_equal(json_read_string(&in, &value), ERR_INVALID);
}

static void test_a_name_has_no_escapes(void **state) {
    (void)state;
    struct slice value;
    struct json_reader in = reader("\"plain\"");
    assert_int_equal(json_read_unescaped(&in, &value), 0);
    assert_true(slice_equal(value, slice_of("plain")));
    assert_ptr_equal(in.at, in.end);
    in = reader("\"\\u0041\"");
    assert_int_equal(json_read_unescaped(&in, &value), ERR_INVALID);
    in = reader("plain");
    assert_int_equal(json_read_unescaped(&in, &value), ERR_INVALID);
}

static void test_a_string_of_fixed_length_has_exactly_this_length(void **state) {
    (void)state;
    struct slice value;
    struct json_reader in = reader("\"four\"");
    assert_int_equal(json_read_fixed(&in, 4, &value), 0);
    assert_true(slice_equal(value, slice_of("four")));
    assert_ptr_equal(in.at, in.end);
    static const char *const bad[] = {"", "\"", "\"four", "\"fou\"", "\"fours\"", "four\"\"", "\"fou\"\""};
    for (size_t i = 0; i < COUNT(bad); i++) {
        in = reader(bad[i]);
        if (json_read_fixed(&in, 4, &value) != (i == 6 ? 0 : ERR_INVALID)) /* its bytes are not checked */
            fail_msg("%s", bad[i]);
    }
}

/* "it never moves under earlier slices": a small string, then one for which a growing buffer would move. */
static void test_values_stay_where_they_are_when_more_follow(void **state) {
    (void)state;
    const size_t many = 400000;
    char *text = malloc(2 * many + 100), *end = text + sprintf(text, "\"\\n\"\"eHk=\"\"\\t");
    memset(end, 'a', many);
    strcpy(end + many, "\"\"");
    end += many + 2;
    memset(end, 'A', many);
    strcpy(end + many, "\"");
    struct json_reader in = reader(text);
    struct slice escaped, base64, long_escaped, long_base64;
    assert_int_equal(json_read_string(&in, &escaped), 0);
    assert_int_equal(json_read_base64(&in, &base64), 0);
    assert_int_equal(json_read_string(&in, &long_escaped), 0);
    assert_int_equal(json_read_base64(&in, &long_base64), 0);
    assert_ptr_equal(escaped.ptr, scratch.data);
    assert_true(slice_equal(escaped, slice_of("\n")));
    assert_true(slice_equal(base64, slice_of("xy")));
    assert_int_equal(long_escaped.len, many + 1);
    assert_int_equal(long_base64.len, many / 4 * 3);
    in = reader(text + 4); /* with base64 as the first value */
    assert_int_equal(json_read_base64(&in, &base64), 0);
    assert_int_equal(json_read_string(&in, &long_escaped), 0);
    assert_ptr_equal(base64.ptr, scratch.data);
    assert_true(slice_equal(base64, slice_of("xy")));
    free(text);
}

static void test_any_value_is_skipped(void **state) {
    (void)state;
    static const char *const good[] = {"0",
                                       "-0",
                                       "10",
                                       "-1.50",
                                       "1e5",
                                       "1E+05",
                                       "2.5e-1",
                                       "true",
                                       "false",
                                       "null",
                                       "\"\"",
                                       "\"\\n\"",
                                       "[]",
                                       "{}",
                                       "[1]",
                                       "[1,2]",
                                       "[[],{}]",
                                       "{\"a\":1}",
                                       "{\"a\":[{\"b\":{}}],\"c\":\"]\"}"};
    static const char *const bad[] = {"",       "-",       "01",       "1.",        "1.e5",      "1e",
                                      "1e+",    ".5",      "+1",       "tru",       "nulls]",    "[",
                                      "[1",     "[1,",     "[,1]",     "[1 ,2]",    "{",         "{\"",
                                      "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1]", "{1:1}",
                                      "[1}",    "[1,]",    "{,}",      "{\"a\"1}",  "\"",        "\"\\"};
    for (size_t i = 0; i < COUNT(good); i++) {
        struct json_reader in = reader(good[i]);
        if (json_skip_value(&in) || in.at != in.end)
            fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct json_reader in = reader(bad[i]);
        if (json_skip_value(&in) == 0 && in.at == in.end)
            fail_msg("%s", bad[i]);
    }
}

static void test_nesting_has_a_limit(void **state) {
    (void)state;
    char text[2 * (JSON_NESTING_MAX + 1) + 1] = "";
    memset(text, '[', JSON_NESTING_MAX);
    memset(text + JSON_NESTING_MAX, ']', JSON_NESTING_MAX);
    struct json_reader in = reader(text);
    assert_int_equal(json_skip_value(&in), 0);
    assert_ptr_equal(in.at, in.end);
    memset(text, '[', JSON_NESTING_MAX + 1);
    in = reader(text);
    assert_int_equal(json_skip_value(&in), ERR_LIMIT);
}

#define TEST(test) cmocka_unit_test_teardown(test, clear)
UNIT_MAIN(TEST(test_whole_numbers), TEST(test_signed_numbers_in_quotes), TEST(test_strings),
          TEST(test_a_string_that_is_cut_is_refused), TEST(test_an_escaped_nul_byte_is_no_escape),
          TEST(test_a_name_has_no_escapes), TEST(test_a_string_of_fixed_length_has_exactly_this_length),
          TEST(test_values_stay_where_they_are_when_more_follow), TEST(test_any_value_is_skipped),
          TEST(test_nesting_has_a_limit))
